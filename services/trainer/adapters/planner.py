"""The scheduler as the coordinator sees it."""

from collections.abc import Sequence
from typing import Final

from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.rpc import ask
from shared.contracts import codec, subjects
from shared.contracts.configuration import Configuration
from shared.contracts.errors import Unavailable
from shared.contracts.records import RunRecord, Universe
from shared.contracts.requests import PlannedJob, PlanRequest, RunsRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode

#: Runs of a mode come one after the other, so an older one is not the same as a new request.
_NEWEST: Final = 5


class SchedulerPlanner:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._config = Bucket(connection, subjects.CONFIG)

    async def plan(self, mode: Mode, symbols: Sequence[Symbol] | None) -> list[PlannedJob]:
        question = PlanRequest(mode=mode, symbols=tuple(symbols) if symbols is not None else None)
        return await ask(self._connection, "evertrain.scheduler.plan", question, list[PlannedJob])

    async def newest_runs(self, mode: Mode) -> list[RunRecord]:
        question = RunsRequest(mode=mode, limit=_NEWEST)
        return await ask(self._connection, "evertrain.scheduler.runs", question, list[RunRecord])

    async def configuration(self) -> Configuration:
        entry = await self._config.get(subjects.CONFIGURATION)
        if entry is None:
            raise Unavailable("the scheduler has not stored the configuration yet")
        return codec.decode(entry.value, Configuration)

    async def universe(self) -> Universe:
        entry = await self._config.get(subjects.UNIVERSE)
        if entry is None:
            raise Unavailable("the scheduler has not stored the universe yet")
        return codec.decode(entry.value, Universe)
