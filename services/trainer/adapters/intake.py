"""What a trainer takes from the queues, and how much of it at once."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from shared.bus.consumer import Delivery, Work
from shared.contracts import subjects
from shared.contracts.terms import Mode

#: The mode and the content of a request, its place in the stream, and when it was made.
OnRequest = Callable[[Mode, bytes, str, datetime], Awaitable[None]]

#: The content of an order, and how often it was delivered.
OnOrder = Callable[[bytes, int], Awaitable[None]]


def requests(on_request: OnRequest) -> tuple[Work, Work]:
    """Cycles may be skipped, so several are looked at at once. Everything else waits its turn: one
    is in flight over all trainers, and the order of the queue is the order of the runs.
    """

    async def handler(delivery: Delivery) -> None:
        mode = subjects.TRAINING[delivery.subject]
        await on_request(mode, delivery.data, delivery.place, delivery.stored_at)

    cycles = Work(
        stream=subjects.REQUESTS,
        durable="cycles",
        filters=(subjects.train(Mode.CYCLE),),
        handler=handler,
        at_once=4,
    )
    others = Work(
        stream=subjects.REQUESTS,
        durable="runs",
        filters=tuple(subjects.train(mode) for mode in Mode if mode is not Mode.CYCLE),
        handler=handler,
        in_flight=1,
    )
    return cycles, others


def orders(on_order: OnOrder, *, at_once: int) -> Work:
    async def handler(delivery: Delivery) -> None:
        await on_order(delivery.data, delivery.attempt)

    return Work(
        stream=subjects.JOBS,
        durable="workers",
        filters=("evertrain.job.*",),
        handler=handler,
        at_once=at_once,
    )
