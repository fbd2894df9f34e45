"""Taking work from a JetStream stream: one message, one outcome."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import nats.errors
from nats.aio.msg import Msg
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from shared.bus.connection import Connection
from shared.bus.publisher import Publisher
from shared.contracts.errors import AppError, Permanent, Transient, Unavailable
from shared.contracts.events import RequestRefused
from shared.contracts.records import Problem
from shared.runtime.clock import utc_now
from shared.runtime.tasks import alongside

log = logging.getLogger(__name__)

#: How long one fetch waits. A fetch is never cancelled: the server would hand the next message to
#: an inbox that nobody reads, and it would be lost for a whole acknowledgement time.
_FETCH_S: Final = 1.0
_LONGEST_RETRY_S: Final = 30.0
_READ_WITHIN_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message. `sequence` and `stored_at` are its place in the stream, the same each time."""

    subject: str
    data: bytes
    sequence: int
    stored_at: datetime
    attempt: int

    @property
    def place(self) -> str:
        """A name for its place in the stream, also where the stream was made anew."""
        return f"{self.stored_at:%Y%m%dT%H%M%S}-{self.sequence}"


#: Returns: done, acknowledged. Raises Transient: comes again later. Raises Permanent: parked with
#: its reason. Anything else is a bug and ends the process; the message comes again elsewhere.
#: A server that crashes may forget that it just delivered a message, so two handlers can have the
#: same one at once: what must not happen twice needs a lease or a compare-and-set.
Handler = Callable[[Delivery], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A durable consumer, shared by every process that names it, and what to do with its messages.

    `at_once` bounds this process; `in_flight` bounds all processes together (None: no bound), and
    counts what waits to be tried again. All times are in seconds.
    """

    stream: str
    durable: str
    filters: tuple[str, ...]
    handler: Handler
    at_once: int = 1
    in_flight: int | None = None
    #: A process that was not heard of for so long has died, and its message goes to another.
    ack_wait: float = 20.0
    #: The first delay after a Transient; it doubles each time.
    retry_after: float = 3.0
    #: What was delivered this often took a process down each time, or never found its peer.
    most_deliveries: int = 50


async def consume(
    connection: Connection, publisher: Publisher, work: Work, stop: asyncio.Event
) -> None:
    """Handle messages until `stop` is set, then finish those in hand.

    Raises:
        ExceptionGroup: a handler raised something that is neither Transient nor Permanent.
    """
    free = asyncio.Semaphore(work.at_once)
    source = _Source(connection, work)
    async with asyncio.TaskGroup() as handlers:
        while not stop.is_set():
            await free.acquire()
            message = None if stop.is_set() else await source.next()
            if message is None:
                free.release()
                continue
            task = handlers.create_task(_handle(publisher, work, message))
            task.add_done_callback(lambda _: free.release())
        await source.close()


async def lying_in(connection: Connection, stream: str, subject: str) -> AsyncGenerator[Delivery]:
    """The messages of a stream as they lie there, oldest first, without taking them. In a work
    queue these are the ones that nobody has done with yet. Wildcards are allowed.
    """
    sequence = 0
    while True:
        try:
            async with asyncio.timeout(_READ_WITHIN_S):
                found = await connection.js.get_msg(
                    stream, seq=sequence + 1, subject=subject, next=True
                )
        except NotFoundError:
            return
        except (nats.errors.Error, OSError, TimeoutError) as exc:
            raise Unavailable(f"NATS does not answer for {stream}") from exc
        assert found.seq is not None
        assert found.time is not None
        assert found.subject is not None
        sequence = found.seq
        yield Delivery(
            subject=found.subject,
            data=found.data or b"",
            sequence=sequence,
            stored_at=found.time,
            attempt=1,
        )


class _Source:
    """Messages of a durable consumer, which is made again if someone deleted it."""

    def __init__(self, connection: Connection, work: Work) -> None:
        self._connection = connection
        self._work = work
        self._subscription: JetStreamContext.PullSubscription | None = None

    async def next(self) -> Msg | None:
        """The next message; None if there is none yet, or NATS is away."""
        # Each fetch that is sent while NATS is away would be kept, and would get a message later.
        if not self._connection.connected:
            await asyncio.sleep(_FETCH_S)
            return None
        try:
            subscription = self._subscription or await self._bind()
            return (await subscription.fetch(1, timeout=_FETCH_S))[0]
        except nats.errors.TimeoutError:
            return None
        except (nats.errors.Error, OSError) as exc:
            log.warning(
                "cannot take work", extra={"durable": self._work.durable, "reason": repr(exc)}
            )
            await self.close()
            await asyncio.sleep(_FETCH_S)
            return None

    async def close(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()

    async def _bind(self) -> JetStreamContext.PullSubscription:
        js, work = self._connection.js, self._work
        await js.add_consumer(
            work.stream,
            api.ConsumerConfig(
                durable_name=work.durable,
                filter_subjects=list(work.filters),
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=work.ack_wait,
                max_deliver=-1,
                max_ack_pending=work.in_flight or -1,
            ),
        )
        bound = await js.pull_subscribe_bind(stream=work.stream, durable=work.durable)
        self._subscription = bound
        return bound


async def _handle(publisher: Publisher, work: Work, message: Msg) -> None:
    delivery = _delivery(message)
    try:
        if delivery.attempt > work.most_deliveries:
            raise _GaveUp(
                f"given up after {work.most_deliveries} deliveries: the log of those who took it "
                "says why it could not be done each time"
            )
        heartbeat = _keep_in_progress(message, every=work.ack_wait / 4)
        async with alongside(heartbeat, name=f"heartbeat {message.subject}"):
            await work.handler(delivery)
    except asyncio.CancelledError:
        await _settle(message.nak())  # this process ends, and another can take it at once
        raise
    except Transient as exc:
        log.info("will try again", extra={"subject": message.subject, "reason": str(exc)})
        await _settle(message.nak(delay=_retry_delay(work, delivery.attempt)))
    except Permanent as exc:
        await _settle(_park(publisher, work.stream, delivery, exc, message))
    else:
        await _settle(message.ack())


class _GaveUp(Permanent):
    code = "gave_up"


async def _park(
    publisher: Publisher, stream: str, delivery: Delivery, reason: AppError, message: Msg
) -> None:
    await refuse(publisher, stream, delivery, reason)
    await message.term()


async def refuse(publisher: Publisher, stream: str, delivery: Delivery, reason: AppError) -> None:
    """Keep the message with its reason in EVERTRAIN_DEAD, and tell; only then let go of it.

    Raises:
        Unavailable: NATS did not answer. Refusing it again is the same refusal.
    """
    problem = Problem.of(reason)
    log.warning("parked", extra={"subject": delivery.subject, "reason": problem.message})
    identity = f"{stream}:{delivery.sequence}:{delivery.stored_at.timestamp()}"
    await publisher.park(stream, delivery.subject, delivery.data, problem, identity)
    await publisher.emit(
        RequestRefused(
            id=f"request.refused:{identity}",
            at=utc_now(),
            subject=delivery.subject,
            error=problem,
        )
    )


def _retry_delay(work: Work, attempt: int) -> float:
    doublings = min(attempt - 1, 10)
    return min(work.retry_after * 2.0**doublings, _LONGEST_RETRY_S)


async def _keep_in_progress(message: Msg, *, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        await _settle(message.in_progress())


async def _settle(answer: Awaitable[object]) -> None:
    """An answer that is lost only means that the message comes again."""
    with contextlib.suppress(nats.errors.Error, OSError, Unavailable):
        await answer


def _delivery(message: Msg) -> Delivery:
    metadata = message.metadata
    return Delivery(
        subject=message.subject,
        data=message.data,
        sequence=metadata.sequence.stream,
        stored_at=metadata.timestamp,
        attempt=metadata.num_delivered,
    )
