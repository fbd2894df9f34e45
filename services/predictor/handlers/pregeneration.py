"""Predictions made before anyone asks, and how far that has come."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final, Literal, Protocol

from services.predictor.domain.desk import Desk
from services.predictor.domain.desks import Desks
from shared.contracts.records import Pregenerated, Pregeneration
from shared.contracts.requests import PregenerateRequest
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)

#: One less than the predictor computes at once, so that who asks for something need not wait.
_AT_ONCE: Final = 3
#: Predictions.
_TOLD_EVERY: Final = 100


class Renewing(Protocol):
    async def renew(self, desk: Desk, ttl: timedelta) -> Literal["kept", "made", "failed"]:
        """Have a prediction that was made just now, to live for `ttl`; what that took."""


class Pregenerator:
    """One at a time: who asks meanwhile waits, and then finds nearly everything done.

    What is done is on disk and known to everyone. After a death in the middle, whoever is asked
    again, and whichever predictor that is, goes on where it ended.
    """

    def __init__(
        self, desks: Desks, predictor: Renewing, *, usual_ttl: timedelta, clock: Clock
    ) -> None:
        self.progress: Pregeneration | None = None
        self._desks = desks
        self._predictor = predictor
        self._usual_ttl = usual_ttl
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    async def pregenerate(self, asked: PregenerateRequest) -> Pregenerated:
        """Make the predictions that were not made just now anew, and say how it went.

        Raises:
            NotReady: it is not known yet which symbols there are.
            UnknownSymbol: a named symbol is not in the universe.
        """
        named = asked.symbols
        desks = list(self._desks.covered() if named is None else map(self._desks.asked, named))
        modelled = [desk for desk in desks if desk.live is not None]
        ttl = timedelta(hours=asked.ttl_hours) if asked.ttl_hours else self._usual_ttl
        async with self._one_at_a_time:
            outcomes = await self._renewed(modelled, ttl)
        return Pregenerated(
            made=outcomes["made"],
            failed=outcomes["failed"],
            waiting=len(desks) - len(modelled),
            kept=outcomes["kept"],
        )

    async def _renewed(self, desks: list[Desk], ttl: timedelta) -> Counter[str]:
        outcomes: Counter[str] = Counter()
        loop = asyncio.get_running_loop()
        progress = Pregeneration(running=True, done=0, of=len(desks), failed=0, since=self._clock())
        self.progress = progress

        async def renew_one_after_the_other(queue: Iterator[Desk]) -> None:
            for desk in queue:
                began = loop.time()
                outcomes[await self._predictor.renew(desk, ttl)] += 1
                self._note(replace(progress, done=outcomes.total(), failed=outcomes["failed"]))
                # Half of the time, so that readers find the loop free.
                await asyncio.sleep(loop.time() - began)

        queue = iter(desks)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(renew_one_after_the_other(queue))
        finally:
            self.progress = replace(self.progress, running=False)
        return outcomes

    def _note(self, progress: Pregeneration) -> None:
        self.progress = progress
        if progress.done % _TOLD_EVERY == 0 or progress.done == progress.of:
            log.info("pregenerating", extra={"done": progress.done, "of": progress.of})
