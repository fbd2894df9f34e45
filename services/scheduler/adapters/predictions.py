"""The predictors, which can make predictions before anyone asks."""

import logging
from dataclasses import asdict
from typing import Final

from shared.bus.connection import Connection
from shared.bus.rpc import ask
from shared.contracts.errors import Unavailable
from shared.contracts.records import Pregenerated
from shared.contracts.requests import PregenerateRequest

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 60.0


class Predictors:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def pregenerate(self, ttl_hours: float | None) -> None:
        """Have every prediction made anew. Where no predictor answers there is nothing to refresh:
        one that starts computes everything by itself.
        """
        question = PregenerateRequest(ttl_hours=ttl_hours)
        subject = "evertrain.predictor.pregenerate"
        try:
            found = await ask(self._connection, subject, question, Pregenerated, timeout=_TIMEOUT_S)
        except Unavailable as exc:
            log.warning("nothing pregenerated", extra={"reason": str(exc)})
        else:
            log.info("pregenerated", extra=asdict(found))
