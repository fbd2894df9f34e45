"""Events that are told once, although a decision is made again and again."""

from collections import deque
from typing import Final

from shared.bus import stored
from shared.bus.connection import Connection
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.errors import InvalidSymbol, MalformedMessage
from shared.contracts.events import Event

#: Of one subject. The decision on a candle can waver between a few reasons.
_REMEMBERED: Final = 8


class Announcements:
    """Whether a fact was told is what the stream of events says, so it holds for all predictors and
    after a restart; what this one knows of it saves asking.
    """

    def __init__(self, connection: Connection, publisher: Publisher) -> None:
        self._connection = connection
        self._publisher = publisher
        self._told: dict[str, deque[str]] = {}

    def knows(self, fact: Event) -> bool:
        """Whether it was told for certain, as far as is known without asking."""
        return fact.id in self._told.get(subjects.event(fact), ())

    async def tell(self, fact: Event) -> None:
        """Tell it, unless it is the last that was told of its subject.

        Raises:
            Unavailable: NATS does not answer; to be told again.
        """
        if self.knows(fact):
            return
        subject = subjects.event(fact)
        last = await stored.newest(self._connection, subjects.EVENTS, subject)
        if last is None or _id(last.data) != fact.id:
            await self._publisher.emit(fact)
        self._told.setdefault(subject, deque(maxlen=_REMEMBERED)).append(fact.id)


def _id(data: bytes) -> str | None:
    try:
        return codec.decode_event(data).id
    except (MalformedMessage, InvalidSymbol):
        return None
