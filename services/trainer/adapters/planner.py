"""The scheduler as the coordinator sees it."""

from collections.abc import Sequence

from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.rpc import ask
from shared.contracts import codec, subjects
from shared.contracts.configuration import Configuration
from shared.contracts.errors import Unavailable
from shared.contracts.records import Universe
from shared.contracts.requests import PlannedJob, PlanRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode


class SchedulerPlanner:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._config = Bucket(connection, subjects.CONFIG)

    async def plan(self, mode: Mode, symbols: Sequence[Symbol] | None) -> list[PlannedJob]:
        question = PlanRequest(mode=mode, symbols=tuple(symbols) if symbols is not None else None)
        return await ask(self._connection, "evertrain.scheduler.plan", question, list[PlannedJob])

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
