"""The marks of the numbering, in a bucket that all gateways share."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from services.gateway.adapters.events import held
from services.gateway.domain.numbering import Mark, beginning
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.contracts import codec, subjects
from shared.contracts.errors import Unavailable
from shared.runtime.backoff import backoff
from shared.runtime.version import VERSION

log = logging.getLogger(__name__)

#: Another release may count other events, so it has an epoch of its own.
KEY: Final = f"gateway.{VERSION}"


class Marks:
    """Where the gateways of this release begin to count."""

    def __init__(self, connection: Connection, new_epoch: Callable[[], str]) -> None:
        self._connection = connection
        self._bucket = Bucket(connection, subjects.MARKS)
        self._new_epoch = new_epoch

    async def begin(self) -> Mark:
        """One that was kept, or else the first of a new epoch, behind the newest event. Gateways
        that begin an epoch at the same time agree on one.
        """
        for delay in backoff(0.05, most=2.0):
            with suppress(Unavailable):
                kept = [codec.decode(e.value, Mark) for e in await self._bucket.history(KEY)]
                mark = beginning(kept, await held(self._connection))
                if mark is not None:
                    return mark
                await self.end(kept[-1].epoch if kept else None)
            await asyncio.sleep(delay)
        raise AssertionError("backoff is endless")

    async def keep(self, mark: Mark) -> None:
        """For those who begin later. Where an epoch began that is not ours, it stays.

        Raises:
            Unavailable: NATS does not answer.
        """

        def newest(value: bytes | None) -> bytes:
            if value is not None:
                kept = codec.decode(value, Mark)
                if kept.epoch != mark.epoch or kept.after >= mark.after:
                    return value
            return codec.encode(mark)

        await self._bucket.revise(KEY, newest)

    async def end(self, epoch: str | None) -> None:
        """Begin a new epoch behind the newest event, unless somebody has done so: the events of
        `epoch` (None: there is none yet) cannot all be had.

        Raises:
            Unavailable: NATS does not answer.
        """
        stretch = await held(self._connection)
        first = Mark(epoch=self._new_epoch(), stream=stretch.stream, after=stretch.last, counts={})

        def newest(value: bytes | None) -> bytes:
            known = codec.decode(value, Mark).epoch if value is not None else None
            return codec.encode(first) if value is None or known == epoch else value

        if await self._bucket.revise(KEY, newest) == codec.encode(first):
            log.info("events are numbered anew", extra={"epoch": first.epoch})
