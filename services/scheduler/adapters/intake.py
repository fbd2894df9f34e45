"""What a scheduler takes from the streams, and how much of it at once."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

from services.scheduler.domain.cadence import CANDLES, REVIEW
from shared.bus.consumer import Delivery, Work
from shared.contracts import codec, subjects
from shared.contracts.events import Event

#: The name of a tick, and the time of JetStream's clock at which it came.
OnTick = Callable[[str, datetime], Awaitable[None]]

#: An event, and when it was stored.
OnEvent = Callable[[Event, datetime], Awaitable[None]]


def ticks(durable: str, on_tick: OnTick, names: Iterable[str]) -> Work:
    async def handler(delivery: Delivery) -> None:
        await on_tick(delivery.subject.rpartition(".")[2], delivery.stored_at)

    return Work(
        stream=subjects.CLOCK,
        durable=durable,
        filters=tuple(subjects.tick(name) for name in (REVIEW, *names)),
        handler=handler,
    )


def candle_ticks(on_tick: Callable[[], Awaitable[None]]) -> Work:
    async def handler(delivery: Delivery) -> None:
        await on_tick()

    return Work(
        stream=subjects.CLOCK,
        durable="candle-ticks",
        filters=(subjects.tick(CANDLES),),
        handler=handler,
        in_flight=1,
    )


def ended_runs(on_event: OnEvent) -> Work:
    async def handler(delivery: Delivery) -> None:
        await on_event(codec.decode_event(delivery.data), delivery.stored_at)

    return Work(
        stream=subjects.EVENTS,
        durable="regeneration",
        filters=(subjects.RUN_COMPLETED,),
        handler=handler,
    )
