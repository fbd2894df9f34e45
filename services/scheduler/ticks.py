"""What the scheduler does when it is woken: act on what is due, once, whoever else is awake."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from services.scheduler.domain.cadence import REVIEW, InForce, Schedule
from shared.contracts.errors import Conflict
from shared.contracts.events import Event, RunCompleted
from shared.contracts.records import TickRecord
from shared.contracts.requests import TrainRequest
from shared.contracts.terms import Mode, Source
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)

#: Less than the ledger remembers.
_LOOKED_BACK: Final = timedelta(days=28)
_MOST_MISSED: Final = 1000
_LATE_NEWS: Final = timedelta(hours=1)

#: Does what a schedule is for, at the instant that was due. Doing it again for the same instant
#: must change nothing. May raise Unavailable.
Action = Callable[[datetime], Awaitable[None]]


class Ledger(Protocol):
    """What was acted on. Every verb may raise Unavailable."""

    async def find(self, schedule: str, due: datetime) -> TickRecord | None: ...

    async def note(self, tick: TickRecord) -> None:
        """Keep a new record; of many who try, one succeeds.

        Raises:
            Conflict: the instant is noted already.
        """

    async def finish(self, tick: TickRecord) -> None:
        """Keep that it is done."""


class Requests(Protocol):
    async def request(self, mode: Mode, request: TrainRequest) -> None:
        """Queue a run; the same `request_id` is the same run. May raise Unavailable."""


def training(mode: Mode, requests: Requests) -> Action:
    """Ask for a run of this mode, named by the mode and the instant."""
    source = Source.AUTOMATION if mode is Mode.CYCLE else Source.CRONTAB

    async def ask(due: datetime) -> None:
        run_id = f"{mode}-{due:%Y%m%dT%H%M%SZ}"
        await requests.request(mode, TrainRequest(source=source, request_id=run_id))
        log.info("tick", extra={"schedule": mode, "run_id": run_id})

    return ask


class Predictions(Protocol):
    async def pregenerate(self, ttl_hours: float | None) -> None:
        """Make all of them anew, to last so long, or as usual."""


def pregenerating(predictions: Predictions, ttl_hours: float) -> Action:
    """Make predictions that outlast the full run that is about to begin."""

    async def make(due: datetime) -> None:
        await predictions.pregenerate(ttl_hours)

    return make


class Artifacts(Protocol):
    async def clean_up(self) -> None:
        """Have those deleted that nothing needs any more."""


def cleaning_up(artifacts: Artifacts) -> Action:
    """Delete what nothing needs; what is left over today is left for tomorrow."""

    async def clean_up(due: datetime) -> None:
        await artifacts.clean_up()

    return clean_up


class Regeneration:
    """After a full run, predictions are made anew, to last as usual again."""

    def __init__(self, predictions: Predictions, clock: Clock) -> None:
        self._predictions = predictions
        self._clock = clock

    async def on_event(self, event: Event, at: datetime) -> None:
        """A run that ended long ago, of which only the stream still tells, changes nothing."""
        full = isinstance(event, RunCompleted) and event.mode is Mode.FULL
        if full and self._clock() - at < _LATE_NEWS:
            await self._predictions.pregenerate(None)


class Ticks:
    """Acts on each instant of each schedule once. It is noted, acted on, and noted as done: whoever
    finds it noted but not done finishes the work of a scheduler that died, and the action, which is
    named by schedule and instant, is the same.

    `actions` are by the name of their schedule. What is too old to be caught up is left out, and
    counted with the next one that is acted on.
    """

    def __init__(self, ledger: Ledger, actions: Mapping[str, Action], clock: Clock) -> None:
        self._ledger = ledger
        self._actions = actions
        self._clock = clock
        self._in_force: tuple[InForce, ...] = ()
        #: The instant of each schedule that was last told to be missed: each review finds it again.
        self._told: dict[str, datetime] = {}

    def obey(self, schedules: tuple[InForce, ...]) -> None:
        """These are the schedules in force from now on; they are reviewed in their order."""
        self._in_force = tuple(one for one in schedules if one.schedule.name in self._actions)

    async def on_tick(self, name: str, at: datetime) -> None:
        """JetStream says that a schedule may have come due `at` this time of its clock, or that it
        is time for a review.

        Raises:
            Unavailable: it could not be acted on, or that could not be noted; to be taken again.
        """
        if name == REVIEW:
            await self._review(max(at, self._clock()))
        for one in self._in_force:
            if one.schedule.name == name:
                await self._settle(one, at)

    async def review(self) -> None:
        """Act on what was due by now, and on which nobody has acted: each schedule at most once.

        Raises:
            Unavailable: as in `on_tick`.
        """
        await self._review(self._clock())

    async def _review(self, at: datetime) -> None:
        for one in self._in_force:
            await self._settle(one, at)

    async def _settle(self, one: InForce, at: datetime) -> None:
        due = one.schedule.due_by(at)
        if due < one.since:
            return
        tick = await self._ledger.find(one.schedule.name, due)
        if tick is not None and tick.done_at is not None:
            return
        late = self._clock() - due
        if late > one.schedule.patience(due):
            self._tell_missed(one.schedule, due, late)
            return
        await self._act(tick or await self._noted(one, due))

    def _tell_missed(self, schedule: Schedule, due: datetime, late: timedelta) -> None:
        if self._told.get(schedule.name) != due:
            self._told[schedule.name] = due
            log.warning("tick missed", extra={"tick": _name(schedule, due), "late": str(late)})

    async def _noted(self, one: InForce, due: datetime) -> TickRecord:
        """The record of the instant, ours or of another who was quicker."""
        name, missed = one.schedule.name, await self._missed(one, due)
        tick = TickRecord(schedule=name, due=due, noted_at=self._clock(), missed=missed)
        try:
            await self._ledger.note(tick)
        except Conflict:
            return await self._ledger.find(name, due) or tick
        if tick.missed:
            extra = {"tick": _name(one.schedule, due), "missed": tick.missed}
            log.warning("ticks missed before this one", extra=extra)
        return tick

    async def _missed(self, one: InForce, due: datetime) -> int:
        """How many instants since the last that was acted on were not."""
        oldest = max(one.since, due - _LOOKED_BACK)
        for missed, earlier in enumerate(one.schedule.before(due)):
            known = earlier < oldest or await self._ledger.find(one.schedule.name, earlier)
            if known or missed == _MOST_MISSED:
                return missed
        raise AssertionError("a schedule has no first instant")

    async def _act(self, tick: TickRecord) -> None:
        if tick.done_at is None:
            await self._actions[tick.schedule](tick.due)
            await self._ledger.finish(replace(tick, done_at=self._clock()))


def _name(schedule: Schedule, due: datetime) -> str:
    return f"{schedule.name}@{due:%Y-%m-%dT%H:%M:%SZ}"
