from collections.abc import AsyncGenerator
from datetime import datetime, timedelta

import pytest

from services.trainer.cleanup import Cleanup
from services.trainer.domain.retention import Retention, Version
from shared.contracts.artifacts import Artifact
from shared.contracts.records import CleanupReport
from shared.contracts.requests import CleanupRequest
from tests.support.coordination import BEGIN

LONG_AGO = BEGIN - timedelta(days=100)


class Store:
    """Artifacts of one symbol, all of them old, and what its registry says."""

    def __init__(self, *names: str) -> None:
        self.artifacts = [
            Artifact(name=name, size=10, stored_at=LONG_AGO, sequence=number, nuid=name)
            for number, name in enumerate(names)
        ]
        self.models = [Version(version="v1", created_at=LONG_AGO, sha256="live")]
        self.deleted: list[str] = []
        #: How old what is swept away has to be, each time.
        self.swept: list[timedelta] = []

    async def all(self) -> AsyncGenerator[Artifact]:
        for artifact in self.artifacts:
            yield artifact

    async def delete(self, artifact: Artifact) -> None:
        self.deleted.append(artifact.name)

    async def sweep(self, older_than: datetime) -> int:
        self.swept.append(BEGIN - older_than)
        return 0

    async def versions(self) -> list[list[Version]]:
        return [self.models]

    async def clean_up(self, *, dry_run: bool = False) -> CleanupReport:
        cleanup = Cleanup(
            artifacts=self,
            registry=self,
            retention=Retention(models_per_symbol=1, days=30),
            clock=lambda: BEGIN,
        )
        return await cleanup.clean_up(CleanupRequest(dry_run=dry_run))


async def test_what_nothing_needs_is_deleted() -> None:
    store = Store("live", "old", "older")
    report = await store.clean_up()
    assert store.deleted == ["old", "older"]
    assert store.swept == [timedelta(days=1)]
    assert report == CleanupReport(kept=1, deleted=2, freed_bytes=20, dry_run=False)


async def test_a_dry_run_deletes_nothing_and_says_what_would_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    store = Store("live", "old")
    report = await store.clean_up(dry_run=True)
    assert (store.deleted, store.swept) == ([], [])
    assert report == CleanupReport(kept=1, deleted=1, freed_bytes=10, dry_run=True)
    assert caplog.messages == []


async def test_what_was_stored_a_moment_ago_stays_until_the_registry_names_it() -> None:
    store = Store("live", "just stored")
    store.artifacts[1] = store.artifacts[1]._replace(stored_at=BEGIN)
    await store.clean_up()
    assert store.deleted == []
