"""The stored artifacts, which trainers can delete."""

import logging
from typing import Final

from shared.bus.connection import Connection
from shared.bus.rpc import ask
from shared.contracts.errors import Unavailable
from shared.contracts.records import CleanupReport
from shared.contracts.requests import CleanupRequest

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 60.0


class StoredArtifacts:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def clean_up(self) -> None:
        """Have those deleted that nothing needs any more. Where no trainer answers, they stay."""
        subject, question = "evertrain.trainer.cleanup", CleanupRequest()
        try:
            report = await ask(
                self._connection, subject, question, CleanupReport, timeout=_TIMEOUT_S
            )
        except Unavailable as exc:
            log.warning("nothing cleaned up", extra={"reason": str(exc)})
        else:
            log.info("cleaned up", extra={"deleted": report.deleted, "kept": report.kept})
