"""Artifacts that nothing needs any more are deleted."""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Final, Protocol

from services.trainer.domain.retention import Retention, Version, aged_out, needed
from shared.contracts.artifacts import Artifact
from shared.contracts.records import CleanupReport
from shared.contracts.requests import CleanupRequest
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)

#: What was begun so long ago is not going to be finished.
_UNFINISHED: Final = timedelta(days=1)


class Artifacts(Protocol):
    """Every verb may raise Unavailable."""

    def all(self) -> AsyncGenerator[Artifact]: ...

    async def delete(self, artifact: Artifact) -> None:
        """Delete it, unless it was stored again since it was listed."""

    async def sweep(self, older_than: datetime) -> int:
        """Delete what is left of storings and deletions that were never finished."""


class Registry(Protocol):
    async def versions(self) -> Sequence[Sequence[Version]]:
        """What was written for each symbol, oldest first. May raise Unavailable."""


class Cleanup:
    """Deletes what nobody needs. Two at once do no harm, nor does one beside trainings: what is
    stored is young for days before the registry has to name it.
    """

    def __init__(
        self, *, artifacts: Artifacts, registry: Registry, retention: Retention, clock: Clock
    ) -> None:
        self._artifacts = artifacts
        self._registry = registry
        self._retention = retention
        self._clock = clock

    async def clean_up(self, request: CleanupRequest) -> CleanupReport:
        """Delete what is too old and not needed, or say what would be deleted.

        Raises:
            Unavailable: NATS does not answer; what is deleted by then is deleted.
        """
        names = needed(await self._registry.versions(), self._retention)
        now, kept, old = self._clock(), 0, list[Artifact]()
        async with aclosing(self._artifacts.all()) as stored:
            async for artifact in stored:
                if artifact.name in names or not aged_out(artifact.stored_at, self._retention, now):
                    kept += 1
                else:
                    old.append(artifact)
        if not request.dry_run:
            for artifact in old:
                await self._artifacts.delete(artifact)
            await self._artifacts.sweep(now - _UNFINISHED)
            log.info("artifacts cleaned up", extra={"kept": kept, "deleted": len(old)})
        return CleanupReport(
            kept=kept,
            deleted=len(old),
            freed_bytes=sum(artifact.size for artifact in old),
            dry_run=request.dry_run,
        )
