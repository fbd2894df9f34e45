import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import nats.errors
import pytest

from shared.bus.connection import Connection
from shared.bus.rpc import Endpoint, ask, serve
from shared.contracts import codec
from shared.contracts.errors import (
    AppError,
    InvalidSymbol,
    MalformedMessage,
    NotReady,
    TrainingLocked,
    Unavailable,
    UnknownSymbol,
)
from shared.contracts.records import Problem
from shared.contracts.requests import PlannedJob, PredictRequest, TopRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode
from shared.runtime.tasks import cancelled

WITHIN_S = 10.0
BTC = PredictRequest(symbol=Symbol("BTC/USDT"))
GET = "evertrain.predictor.get"

Handler = Callable[[PredictRequest], Awaitable[object]]


@asynccontextmanager
async def serving(
    connection: Connection, handler: Handler, stop: asyncio.Event | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    endpoint = Endpoint(name="get", request=PredictRequest, handler=handler)
    stop = stop or asyncio.Event()
    server = asyncio.create_task(serve(connection, "predictor", "0.1.0", (endpoint,), stop))
    try:
        await answered(connection)
        yield server
    finally:
        await cancelled(server)


async def answered(connection: Connection) -> None:
    """Until the service answers a ping, as `nats micro ping` would send it."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            with contextlib.suppress(nats.errors.Error):
                await connection.client.request("$SRV.PING.predictor", timeout=1)
                return
            await asyncio.sleep(0.01)


async def echo(request: PredictRequest) -> object:
    return request


async def test_a_question_is_answered(connection: Connection) -> None:
    async with serving(connection, echo):
        assert await ask(connection, GET, BTC, PredictRequest) == BTC


async def test_an_answer_may_be_a_list(connection: Connection) -> None:
    jobs = [PlannedJob(symbol=Symbol("THYAO.IS"), mode=Mode.FULL)]

    async def plan(_: PredictRequest) -> object:
        return jobs

    async with serving(connection, plan):
        assert await ask(connection, GET, BTC, list[PlannedJob]) == jobs


class LockedHere(TrainingLocked):
    """A service's own kind of an error, with the code that it inherits: nobody else hears it."""


@pytest.mark.parametrize(
    "error",
    [
        UnknownSymbol("XYZ is not in the universe"),
        NotReady("no model yet"),
        TrainingLocked("full-1 trains"),
        InvalidSymbol("btc"),
        Unavailable("the scheduler does not answer"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_keeps_its_type_and_words(connection: Connection, error: AppError) -> None:
    async def refuse(_: PredictRequest) -> object:
        raise error

    async with serving(connection, refuse):
        with pytest.raises(AppError) as refused:
            await ask(connection, GET, BTC, PredictRequest)
    assert type(refused.value) is type(error)
    assert str(refused.value) == str(error)


async def test_a_question_that_cannot_be_read_is_refused_and_the_service_lives(
    connection: Connection,
) -> None:
    async with serving(connection, echo):
        with pytest.raises(MalformedMessage):
            await ask(connection, GET, TopRequest(), PredictRequest)
        with pytest.raises(InvalidSymbol):
            await ask(connection, GET, {"symbol": "*"}, PredictRequest)
        assert await ask(connection, GET, BTC, PredictRequest) == BTC


async def test_an_answer_that_cannot_be_read_is_malformed(connection: Connection) -> None:
    async with serving(connection, echo):
        with pytest.raises(MalformedMessage):
            await ask(connection, GET, BTC, Problem)


async def test_nobody_there_is_unavailable_at_once_and_names_the_service(
    connection: Connection,
) -> None:
    async with asyncio.timeout(1):
        with pytest.raises(Unavailable, match="predictor"):
            await ask(connection, GET, BTC, PredictRequest)


async def test_an_answer_that_takes_too_long_is_unavailable(connection: Connection) -> None:
    async def slow(_: PredictRequest) -> object:
        await asyncio.sleep(60)
        return BTC

    async with serving(connection, slow):
        with pytest.raises(Unavailable):
            await ask(connection, GET, BTC, PredictRequest, timeout=0.1)


async def test_questions_are_answered_beside_each_other(connection: Connection) -> None:
    together = asyncio.Barrier(20)

    async def meet(request: PredictRequest) -> object:
        async with asyncio.timeout(WITHIN_S):
            await together.wait()
        return request

    async with serving(connection, meet), asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(ask(connection, GET, BTC, PredictRequest))


async def test_stopping_answers_what_was_asked_and_takes_no_more(connection: Connection) -> None:
    asked, stop = asyncio.Event(), asyncio.Event()

    async def slow(request: PredictRequest) -> object:
        asked.set()
        await asyncio.sleep(0.3)
        return request

    async with serving(connection, slow, stop) as server, asyncio.TaskGroup() as group:
        question = group.create_task(ask(connection, GET, BTC, PredictRequest))
        await asked.wait()
        stop.set()
        await asyncio.sleep(0.1)
        with pytest.raises(Unavailable):
            await ask(connection, GET, BTC, PredictRequest)
        assert await question == BTC
        async with asyncio.timeout(WITHIN_S):
            await server


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError("disk full")], ids=repr)
async def test_a_bug_in_a_handler_ends_the_service(
    connection: Connection, error: Exception
) -> None:
    async def broken(_: PredictRequest) -> object:
        raise error

    async with serving(connection, broken) as server:
        with pytest.raises(Unavailable):
            await ask(connection, GET, BTC, PredictRequest, timeout=0.3)
        async with asyncio.timeout(WITHIN_S):
            await asyncio.wait([server])
        failed = server.exception()
    assert isinstance(failed, ExceptionGroup)
    assert failed.subgroup(type(error))


async def test_a_question_without_a_reply_subject_is_done_and_the_service_lives(
    connection: Connection,
) -> None:
    done: asyncio.Queue[PredictRequest] = asyncio.Queue()

    async def do(request: PredictRequest) -> object:
        done.put_nowait(request)
        return request

    async with serving(connection, do):
        await connection.client.publish(GET, codec.encode(BTC))
        async with asyncio.timeout(WITHIN_S):
            assert await done.get() == BTC
        assert await ask(connection, GET, BTC, PredictRequest) == BTC


async def test_the_statistics_tell_what_went_wrong_and_how_long_answers_took(
    connection: Connection,
) -> None:
    async def refuse(_: PredictRequest) -> object:
        await asyncio.sleep(0.02)
        raise UnknownSymbol("XYZ is not in the universe")

    async with serving(connection, refuse):
        for _ in range(2):
            with pytest.raises(UnknownSymbol):
                await ask(connection, GET, BTC, PredictRequest)
        reply = await connection.client.request("$SRV.STATS.predictor", timeout=WITHIN_S)
    (stats,) = json.loads(reply.data)["endpoints"]
    assert (stats["num_requests"], stats["num_errors"]) == (2, 2)
    assert stats["last_error"] == "unknown_symbol: XYZ is not in the universe"
    assert stats["average_processing_time"] >= 10_000_000  # nanoseconds
    assert stats["processing_time"] >= 20_000_000


async def test_replicas_share_the_questions(connection: Connection) -> None:
    answers = {"a": 0, "b": 0}

    async def count(name: str, request: PredictRequest) -> object:
        answers[name] += 1
        return request

    async with (
        serving(connection, partial(count, "a")),
        serving(connection, partial(count, "b")),
    ):
        for _ in range(60):
            await ask(connection, GET, BTC, PredictRequest)
    assert sum(answers.values()) == 60
    assert min(answers.values()) > 5
