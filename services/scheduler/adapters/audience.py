"""What clients listen to, as their gateways say when they are asked."""

from itertools import chain

from shared.bus.connection import Connection
from shared.bus.survey import survey
from shared.contracts.symbols import Symbol


class Audience:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def watched(self) -> frozenset[Symbol]:
        """Takes half a second; of a gateway that does not answer in it, nothing is known."""
        reports = await survey(self._connection)
        return frozenset(chain.from_iterable(report.watched for report in reports))
