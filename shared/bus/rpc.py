"""Questions and answers between services, as NATS micro services that `nats micro` can see."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import nats.errors
import nats.micro
from nats.micro.request import ERROR_CODE_HEADER, Request
from nats.micro.service import EndpointConfig, EndpointStats, ServiceConfig

from shared.bus.connection import Connection
from shared.contracts import codec
from shared.contracts.errors import AppError, Permanent, Unavailable
from shared.contracts.records import Problem

log = logging.getLogger(__name__)
T = TypeVar("T")

#: The library hands out requests one at a time; ours run beside each other, up to this many.
_AT_ONCE: Final = 256
_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`evertrain.<service>.<name>`: reads a `request`, answers with whatever `handler` returns;
    bytes are an answer that is encoded already.

    An AppError becomes an error reply with its code; anything else is a bug and ends the process.
    Who only publishes a question gets no answer, and what it asks for is done.
    """

    name: str
    request: type[Any]
    handler: Callable[[Any], Awaitable[object]]


async def serve(
    connection: Connection,
    service: str,
    version: str,
    endpoints: tuple[Endpoint, ...],
    stop: asyncio.Event,
) -> None:
    """Answer until `stop` is set; replicas of a service share the questions."""
    free = asyncio.Semaphore(_AT_ONCE)
    tallies = {endpoint.name: _Tally() for endpoint in endpoints}
    async with asyncio.TaskGroup() as answers:
        micro = await nats.micro.add_service(
            connection.client,
            ServiceConfig(
                name=service,
                version=version,
                stats_handler=lambda stats: tallies[stats.name].complete(stats),
            ),
        )
        for endpoint in endpoints:

            async def handle(request: Request, endpoint: Endpoint = endpoint) -> None:
                await free.acquire()
                task = answers.create_task(_answer(request, endpoint, tallies[endpoint.name]))
                task.add_done_callback(lambda _: free.release())

            await micro.add_endpoint(
                EndpointConfig(
                    name=endpoint.name,
                    subject=f"evertrain.{service}.{endpoint.name}",
                    handler=handle,
                )
            )
        await stop.wait()
        # Before the last answers are given, so that no more questions come.
        with contextlib.suppress(nats.errors.Error, OSError):
            await micro.stop()


async def ask(
    connection: Connection,
    subject: str,
    question: object,
    answer: type[T],
    *,
    timeout: float = _TIMEOUT_S,
) -> T:
    """Ask one service and read its answer.

    Raises:
        Unavailable: nobody answers, or not in time.
        AppError: of the class whose code the service sent.
    """
    try:
        reply = await connection.client.request(subject, codec.encode(question), timeout=timeout)
    except (nats.errors.Error, OSError) as exc:
        service = subject.split(".")[1]
        raise Unavailable(f"the {service} does not answer; is it running?") from exc
    if reply.headers and ERROR_CODE_HEADER in reply.headers:
        raise _error(codec.decode(reply.data, Problem))
    return codec.decode(reply.data, answer)


@dataclass(slots=True)
class _Tally:
    """The statistics of one endpoint. Those of the library end where it hands a question out, so it
    sees neither how long an answer takes nor what goes wrong.
    """

    spent_ns: int = 0
    errors: int = 0
    last_error: str | None = None

    def count(self, spent_ns: int, problem: Problem | None) -> None:
        self.spent_ns += spent_ns
        if problem:
            self.errors += 1
            self.last_error = f"{problem.code}: {problem.message}"

    def complete(self, stats: EndpointStats) -> None:
        stats.processing_time = self.spent_ns
        stats.average_processing_time = self.spent_ns // max(1, stats.num_requests)
        stats.num_errors, stats.last_error = self.errors, self.last_error


async def _answer(request: Request, endpoint: Endpoint, tally: _Tally) -> None:
    problem, began = None, time.perf_counter_ns()
    try:
        answer = await endpoint.handler(codec.decode(request.data, endpoint.request))
    except AppError as exc:
        answer = problem = Problem.of(exc)
    tally.count(time.perf_counter_ns() - began, problem)
    data = answer if isinstance(answer, bytes) else codec.encode(answer)
    try:
        if problem:
            await request.respond_error(problem.code, problem.code, data)
        else:
            await request.respond(data)
    except ValueError:
        log.debug("nobody waits for the answer to %s", request.subject)  # it has no reply subject
    except (nats.errors.Error, OSError):
        log.warning("the answer to %s could not be sent", request.subject)


def _error(problem: Problem) -> AppError:
    kind = _by_code(AppError).get(problem.code, Permanent)
    error = kind.__new__(kind)
    error.args = (problem.message,)  # past __init__: some errors word their message themselves
    return error


def _by_code(kind: type[AppError]) -> dict[str, type[AppError]]:
    found = {kind.code: kind}
    for sub in kind.__subclasses__():
        found = _by_code(sub) | found  # a service's own kind of it carries more than the wire
    return found
