import asyncio
import logging
from datetime import timedelta
from functools import partial

import pytest

from services.scheduler.adapters.artifacts import StoredArtifacts
from services.scheduler.ticks import cleaning_up
from shared.bus.connection import Connection
from shared.bus.rpc import Endpoint, serve
from shared.contracts.records import CleanupReport
from shared.contracts.requests import CleanupRequest
from shared.runtime.tasks import alongside
from shared.runtime.version import VERSION
from tests.support.coordination import BEGIN
from tests.support.system import eventually


async def test_a_trainer_is_asked_to_delete_what_nothing_needs(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[CleanupRequest] = []

    async def clean_up(question: CleanupRequest) -> CleanupReport:
        asked.append(question)
        return CleanupReport(kept=5, deleted=2, freed_bytes=1000, dry_run=question.dry_run)

    endpoint = Endpoint(name="cleanup", request=CleanupRequest, handler=clean_up)
    served = partial(serve, connection, "trainer", VERSION, (endpoint,))
    caplog.set_level(logging.INFO)
    act = cleaning_up(StoredArtifacts(connection))
    async with alongside(served(asyncio.Event()), name="trainer"):

        async def answered() -> bool:
            await act(BEGIN)
            return "cleaned up" in caplog.messages

        await eventually(answered, within=5)
    assert asked[-1] == CleanupRequest(dry_run=False)


async def test_without_a_trainer_everything_stays_until_the_next_tick(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await cleaning_up(StoredArtifacts(connection))(BEGIN + timedelta(days=1))
    assert caplog.messages == ["nothing cleaned up"]
