"""What the scheduler asks for: runs of the trainers, and candles of whichever scheduler is free."""

from services.scheduler.domain.cadence import CANDLES
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.requests import TrainRequest
from shared.contracts.terms import Mode


class TrainingRequests:
    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def request(self, mode: Mode, request: TrainRequest) -> None:
        await self._publisher.publish(
            subjects.train(mode), codec.encode(request), message_id=f"train:{request.request_id}"
        )


class CandleTicks:
    """A tick out of turn, for whichever scheduler takes the next one."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def hurry(self, revision: int) -> None:
        """Have candles fetched at once for this revision of the universe. May raise Unavailable."""
        await self._publisher.publish(
            subjects.tick(CANDLES), b"", message_id=f"candles:universe:{revision}"
        )
