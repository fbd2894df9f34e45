"""What one client that reads too slowly is still owed."""

from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from services.gateway.domain import wire


class Publication(NamedTuple):
    """One frame of a channel. A newer one with the same `key` replaces it; None: nothing does.

    A snapshot has a key too, but unlike an event it never says what was left out before it.
    """

    channel: str
    seq: int
    frame: bytes
    key: str | None = None
    is_snapshot: bool = False


@dataclass(slots=True)
class Outbox:
    """Frames in the order in which they are to be sent.

    A client that reads slowly misses intermediate values, never the latest one. What may not be
    replaced is bounded by `capacity`; what may is bounded by the number of its keys.
    """

    capacity: int
    #: Values that were replaced before they could be sent.
    conflated: int = 0
    _owed: dict[object, Publication | bytes] = field(default_factory=dict)
    _irreplaceable: int = 0
    _numbers: "count[int]" = field(default_factory=count)
    #: The last sequence number of each channel that was sent, or needs not be.
    _sent: dict[str, int] = field(default_factory=dict)

    def put(self, publication: Publication) -> bool:
        """Whether there was room. If not, the client can only be told to come back later."""
        if publication.key is None:
            return self._append(publication)
        place = (publication.channel, publication.key)
        self.conflated += self._owed.pop(place, None) is not None
        self._owed[place] = publication
        self._sent.setdefault(publication.channel, publication.seq - 1)
        return True

    def put_reply(self, frame: bytes) -> bool:
        """Like `put`, for what concerns this client alone."""
        return self._append(frame)

    def take(self) -> bytes | None:
        """The frame to send next, or None when nothing is owed."""
        if not self._owed:
            self._sent.clear()
            return None
        owed = self._owed.pop(next(iter(self._owed)))
        if isinstance(owed, bytes):
            self._irreplaceable -= 1
            return owed
        if owed.key is None:
            self._irreplaceable -= 1
            return owed.frame
        return self._with_what_was_left_out(owed)

    def __len__(self) -> int:
        return len(self._owed)

    def _append(self, owed: Publication | bytes) -> bool:
        if self._irreplaceable >= self.capacity:
            return False
        self._irreplaceable += 1
        self._owed[next(self._numbers)] = owed
        return True

    def _with_what_was_left_out(self, owed: Publication) -> bytes:
        left_out = owed.seq - self._sent.get(owed.channel, owed.seq - 1) - 1
        self._sent[owed.channel] = owed.seq
        if owed.is_snapshot or left_out <= 0:
            return owed.frame
        return wire.conflated(owed.frame, left_out)
