"""A rollback through a real gateway, trainer's answers and predictor: what clients see of it."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from services.trainer.adapters.outlet import BusOutlet
from services.trainer.adapters.registry import KvRegistry
from services.trainer.rollback import Rollbacks
from shared.bus.connection import Connection
from shared.bus.locks import JetStreamLeases, SymbolLocks
from shared.bus.publisher import Publisher
from shared.bus.rpc import Endpoint, serve
from shared.contracts.records import ModelRecord
from shared.contracts.requests import RollbackRequest
from shared.runtime.clock import utc_now
from shared.runtime.lease import LeasePolicy
from shared.runtime.tasks import alongside
from shared.runtime.version import VERSION
from tests.support.gateways import SYMBOLS, Gateway, Market, gateway_on, model, prediction
from tests.support.servers import NatsServer

BTC = SYMBOLS[0]
NOW = datetime.now(UTC)


class Credulous:
    """Finds every file sound: these hold no models."""

    async def inspect(self, artifact: bytes, model: ModelRecord) -> None:
        pass


@pytest.fixture
async def market(connection: Connection) -> Market:
    """With two models of one symbol: v1, and v2, which is live and predicted from."""
    market, registry = Market(connection), KvRegistry(connection)
    await market.open()
    file = await registry.store(b"v1")
    await market.promote(replace(model(BTC, at=NOW.replace(year=2025)), sha256=file))
    await market.promote(model(BTC, at=NOW, version="v2"))
    await market.predict(prediction(BTC, at=NOW, version="v2"))
    return market


@pytest.fixture
async def gateway(
    market: Market, connection: Connection, nats_server: NatsServer, tmp_path: Path
) -> AsyncIterator[Gateway]:
    rollbacks = Rollbacks(
        name="trainer-a",
        registry=KvRegistry(connection),
        inspector=Credulous(),
        locks=SymbolLocks(connection),
        outlet=BusOutlet(connection, Publisher(connection)),
        leases=await JetStreamLeases.open(connection),
        policy=LeasePolicy(),
        clock=utc_now,
    )
    endpoints = (Endpoint(name="rollback", request=RollbackRequest, handler=rollbacks.roll_back),)
    answering = serve(connection, "trainer", VERSION, endpoints, asyncio.Event())
    async with (
        alongside(answering, name="trainer"),
        gateway_on(tmp_path, nats_server.url) as running,
    ):
        yield running


async def ask(gateway: Gateway, path: str, *, method: str = "GET", **headers: str) -> Any:
    def fetch() -> Any:
        url = f"{gateway.url}/api/v1{path}"
        request = urllib.request.Request(url, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    return await asyncio.to_thread(fetch)


async def test_no_client_is_given_the_wrong_model_s_prediction_as_fresh(
    gateway: Gateway, market: Market
) -> None:
    channels = ["models", "predictions:BTC/USDT"]
    async with asyncio.timeout(20), connect(gateway.socket_url) as client:
        await client.send(json.dumps({"op": "subscribe", "channels": channels}))
        shown = await _next(client, "snapshot", "predictions:BTC/USDT")
        assert (shown["model_version"], shown["stale"]) == ("v2", False)

        rolled = await ask(gateway, "/models/BTC_USDT/rollback", method="POST")
        assert (rolled["version"], rolled["rolled_back"]["from_version"]) == ("v1", "v2")

        told = await _next(client, "event", "predictions:BTC/USDT")
        assert (told["model_version"], told["stale"]) == ("v2", True)
        served = await ask(gateway, "/predictions/BTC_USDT")  # there is no predictor to ask
        assert (served["model_version"], served["stale"]) == ("v2", True)

        await market.predict(prediction(BTC, at=NOW, version="v1"))
        told = await _next(client, "event", "predictions:BTC/USDT")
        assert (told["model_version"], told["stale"]) == ("v1", False)
        served = await ask(gateway, "/predictions/BTC_USDT")
        assert (served["model_version"], served["stale"]) == ("v1", False)


async def test_those_who_follow_the_models_hear_of_it(gateway: Gateway) -> None:
    async with asyncio.timeout(20), connect(gateway.socket_url) as client:
        await client.send(json.dumps({"op": "subscribe", "channels": ["models"]}))
        await _next(client, "snapshot", "models")
        await ask(gateway, "/models/BTC_USDT/rollback", method="POST")
        event = await _next(client, "event", "models")
        assert (event["type"], event["model_version"]) == ("model.rolled_back", "v1")


async def test_the_same_idempotency_key_rolls_back_once(gateway: Gateway, market: Market) -> None:
    key = {"Idempotency-Key": "once"}
    first = await ask(gateway, "/models/BTC_USDT/rollback", method="POST", **key)
    again = await ask(gateway, "/models/BTC_USDT/rollback", method="POST", **key)
    assert (again["version"], again["token"]) == (first["version"], first["token"])


async def _next(client: Any, kind: str, channel: str) -> dict[str, Any]:
    """The data of the next message of this kind on this channel; others are passed over."""
    while True:
        message = json.loads(await client.recv())
        if (message["type"], message.get("channel")) == (kind, channel):
            found: dict[str, Any] = message["data"]
            return found
