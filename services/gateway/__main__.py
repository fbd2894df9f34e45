"""The gateway: informs clients over HTTP and websockets, and waits for none of them."""

import asyncio
import logging
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, closing, suppress
from functools import partial
from secrets import token_hex
from typing import Any

from services.gateway.adapters import keys
from services.gateway.adapters.colleagues import BusColleagues, StoredCandles
from services.gateway.adapters.events import CaughtUp, EventsMissing, Fact, facts
from services.gateway.adapters.marks import Marks
from services.gateway.adapters.server import listen, serve
from services.gateway.adapters.websocket import WebSocket
from services.gateway.app.application import create
from services.gateway.app.assets import Assets
from services.gateway.app.context import Context
from services.gateway.app.express import Express
from services.gateway.app.metrics import Metrics
from services.gateway.domain.access import Door, own_names
from services.gateway.domain.accounts import Accounts
from services.gateway.domain.copies import Copies
from services.gateway.domain.numbering import Numbers
from services.gateway.domain.pace import Quotas
from services.gateway.domain.readiness import (
    EVENTS,
    MODELS,
    PREDICTIONS,
    SIGNALS,
    STATUS,
    SYMBOLS,
    Readiness,
)
from services.gateway.handlers.clients import Clients
from services.gateway.handlers.facts import Facts
from services.gateway.hub import Hub
from services.gateway.settings import Settings
from shared.bus import topology
from shared.bus.connection import Connection, connecting
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.bus.status import RollCall, collect
from shared.bus.survey import Reporter
from shared.bus.watch import follow
from shared.contracts import codec, subjects
from shared.contracts.errors import InvalidSymbol, MalformedMessage, Unavailable
from shared.contracts.records import ModelRecord, Prediction, Universe
from shared.contracts.symbols import Symbol
from shared.contracts.trading import Signal
from shared.market.store import CandleStore
from shared.runtime.clock import utc_now
from shared.runtime.service import run
from shared.runtime.settings import Environment
from shared.runtime.tasks import Worker, endless, stopped_within, supervise
from shared.runtime.version import VERSION

log = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]

_LOOK_EVERY_S = 2.0
_LOOK_AGAIN_S = 0.1
_TURN = 64


async def main(env: Environment) -> None:
    settings = Settings.read(env)
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(
            closing(listen(settings.host, settings.port, shared=settings.shares_port))
        )
        door = _door(settings, listener)
        connection = await stack.enter_async_context(connecting(settings.nats, name="gateway"))
        opened = asyncio.Event()

        copies = Copies()
        readiness = Readiness(SYMBOLS, PREDICTIONS, MODELS, SIGNALS, EVENTS, STATUS)
        news = Facts(copies)
        metrics = Metrics()
        hub = Hub(epoch=token_hex(6), sources=news, clock=utc_now, timings=metrics)
        metrics.show(hub)
        news.tell(hub.publish)
        clients = Clients(
            hub,
            door,
            Accounts(settings.sockets_per_key),
            check_symbol=copies.check_symbol,
            ready=lambda: readiness.complete,
            clock=utc_now,
        )
        context = Context(
            copies=copies,
            colleagues=BusColleagues(connection, Publisher(connection)),
            system=news,
            readiness=readiness,
            clock=utc_now,
        )
        metrics.show_predictions(context)
        quotas = Quotas(settings.requests_per_s, time.monotonic)
        app = create(
            context,
            door,
            Assets(settings.data_dir / "gateway"),
            quotas=quotas,
            observe=metrics.observe,
            metrics=metrics.expose,
        )
        express = Express(context, door, quotas, metrics.observe)
        reporter = Reporter(
            "gateway",
            VERSION,
            figures=lambda: {"sockets": len(hub.sessions)},
            watched=lambda: hub.watched,
        )
        store = StoredCandles(CandleStore(Bucket(connection, subjects.CANDLES)))

        def on_the_bus(work: Work) -> Worker:
            return endless(partial(_once, opened, work))

        answer = partial(serve, app, partial(WebSocket, clients), express, listener)
        log.info("listening", extra={"address": _address(listener)})
        await supervise(
            connection.stay_open,
            partial(_once_ready, readiness, answer) if settings.shares_port else answer,
            endless(partial(_open_bus, connection, opened)),
            on_the_bus(partial(reporter.report_itself, connection, asyncio.Event())),
            *map(on_the_bus, _copied(connection, news, readiness)),
            on_the_bus(partial(_follow_events, connection, hub, news, readiness)),
            on_the_bus(partial(news.read_candles, store, hub.supply)),
            on_the_bus(partial(_look_around, connection, news, reporter, readiness, settings)),
            endless(hub.deliver),
            endless(hub.keep_alive),
            grace=5,
        )


async def _open_bus(connection: Connection, opened: asyncio.Event) -> None:
    await connection.open()
    await topology.ensure(connection)
    opened.set()
    await asyncio.Event().wait()


async def _once(opened: asyncio.Event, work: Work) -> None:
    await opened.wait()
    await work()


async def _once_ready(readiness: Readiness, worker: Worker, stop: asyncio.Event) -> None:
    """On a port that others share, the kernel would bring us clients that they could serve."""
    while not readiness.complete:
        if await stopped_within(stop, _LOOK_AGAIN_S):
            return
    await worker(stop)


def _copied(connection: Connection, news: Facts, readiness: Readiness) -> tuple[Work, ...]:
    """What keeps our copies of the records that others write."""

    def on_universe(universe: Universe) -> None:
        news.on_universe(universe)
        readiness.known(SYMBOLS)

    return (
        partial(
            follow,
            Bucket(connection, subjects.CONFIG),
            Universe,
            pattern=subjects.UNIVERSE,
            put=on_universe,
        ),
        partial(
            follow,
            Bucket(connection, subjects.PREDICTIONS),
            Prediction,
            put=news.on_prediction,
            gone=lambda key: news.on_prediction_gone(Symbol.from_token(key)),
            caught_up=partial(readiness.known, PREDICTIONS),
        ),
        partial(
            follow,
            Bucket(connection, subjects.MODELS),
            ModelRecord,
            put=news.on_model,
            gone=lambda key: news.on_model_gone(Symbol.from_token(key)),
            caught_up=partial(readiness.known, MODELS),
        ),
        partial(
            follow,
            Bucket(connection, subjects.SIGNALS),
            Signal,
            pattern=subjects.OPEN_SIGNALS,
            put=news.on_open_signal,
            gone=lambda key: news.on_signal_gone(Symbol.from_token(key.removeprefix("open."))),
            caught_up=partial(readiness.known, SIGNALS),
        ),
    )


async def _look_around(
    connection: Connection,
    news: Facts,
    reporter: Reporter,
    readiness: Readiness,
    settings: Settings,
) -> None:
    """See how the whole system is, again and again, and say how we are."""
    roll = RollCall()
    while True:
        reporter.ready = readiness.complete
        news.on_status(
            await collect(connection, roll=roll, data_dir=settings.data_dir, now=utc_now())
        )
        readiness.known(STATUS)
        await asyncio.sleep(_LOOK_EVERY_S)


async def _follow_events(
    connection: Connection, hub: Hub, news: Facts, readiness: Readiness
) -> None:
    """Number events as every gateway does, and leave marks for those that come later."""
    marks = Marks(connection, new_epoch=lambda: token_hex(6))
    mark = await marks.begin()
    numbers = Numbers(mark.epoch, mark.counts)
    hub.begin(numbers)
    try:
        async with aclosing(facts(connection, mark)) as following:
            async for fact in following:
                if isinstance(fact, CaughtUp):
                    readiness.known(EVENTS)
                    continue
                _tell(news, fact)
                if fact.seq % _TURN == 0:
                    await asyncio.sleep(0)  # thousands may be waiting, and so may everybody else
                if not fact.old and (due := numbers.mark(mark.stream, fact.seq)) is not None:
                    with suppress(Unavailable):  # then the one before it serves as well
                        await marks.keep(due)
    except EventsMissing:
        await marks.end(mark.epoch)
        raise


def _tell(news: Facts, fact: Fact) -> None:
    try:
        event = codec.decode_event(fact.data)
    except (MalformedMessage, InvalidSymbol) as exc:
        log.debug("skipped an event", extra={"reason": str(exc)})
    else:
        (news.on_history if fact.old else news.on_event)(event)


def _door(settings: Settings, listener: socket.socket) -> Door:
    """Prints the key that it makes, if it makes one; nobody can read it later."""
    if settings.keys_file is not None and settings.mint_keys:
        minted = keys.mint(settings.keys_file)
        if minted is not None:
            sys.stdout.write(
                f"The admin key of this gateway, shown this once: {minted.key}\n"
                f"Open {_address(listener)}/#key={minted.key}\n"
            )
            sys.stdout.flush()
    port = listener.getsockname()[1]
    return Door(
        keys=keys.read(settings.keys_file) if settings.keys_file is not None else None,
        hosts=own_names(settings.host, port, settings.origins),
        origins=settings.origins,
    )


def _address(listener: socket.socket) -> str:
    """Where a browser on this machine finds it, whatever it listens on."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


if __name__ == "__main__":
    run("gateway", main)
