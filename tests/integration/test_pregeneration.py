import asyncio
import logging
from functools import partial

import pytest

from services.scheduler.adapters.predictions import Predictors
from shared.bus.connection import Connection
from shared.bus.rpc import Endpoint, serve
from shared.contracts.records import Pregenerated
from shared.contracts.requests import PregenerateRequest
from shared.runtime.tasks import alongside
from shared.runtime.version import VERSION
from tests.support.system import eventually


async def test_a_predictor_is_asked_and_its_answer_is_logged(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[PregenerateRequest] = []

    async def pregenerate(question: PregenerateRequest) -> Pregenerated:
        asked.append(question)
        return Pregenerated(made=3, failed=1, waiting=2)

    endpoint = Endpoint(name="pregenerate", request=PregenerateRequest, handler=pregenerate)
    served = partial(serve, connection, "predictor", VERSION, (endpoint,))
    caplog.set_level(logging.INFO)
    async with alongside(served(asyncio.Event()), name="predictor"):

        async def answered() -> bool:
            await Predictors(connection).pregenerate(24)
            return "pregenerated" in caplog.messages

        await eventually(answered, within=5)
    assert asked[-1] == PregenerateRequest(ttl_hours=24)


async def test_without_a_predictor_there_is_nothing_to_do_but_to_say_so(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await Predictors(connection).pregenerate(None)
    assert caplog.messages == ["nothing pregenerated"]
