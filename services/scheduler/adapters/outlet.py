"""What the scheduler asks trainers for."""

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
