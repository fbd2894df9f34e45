"""What one client that reads too slowly is still owed."""

from dataclasses import dataclass, field
from itertools import count

from services.gateway.domain import wire
from services.gateway.domain.history import History, Publication


class FellBehind(Exception):
    """What the client is owed next cannot be had any more, or it is owed too many answers."""


@dataclass(slots=True)
class _Stretch:
    """Events of one channel that follow each other, from `seq` to `last`. They are not held here:
    a client that is far behind costs no more than one that is near.
    """

    history: History
    channel: str
    seq: int
    last: int

    def next(self) -> Publication:
        publication = self.history.get(self.channel, self.seq)
        if publication is None:
            raise FellBehind
        return publication


@dataclass(slots=True)
class Outbox:
    """What is to be sent, in order of its channel; a stretch of events stands where it began.

    A client that reads slowly misses intermediate values, never the latest one, and no event.
    `capacity` bounds the answers and stretches; what can be replaced is bounded by its keys.
    """

    capacity: int
    #: Values that were replaced before they could be sent.
    conflated: int = 0
    _owed: dict[object, Publication | _Stretch | bytes] = field(default_factory=dict)
    _irreplaceable: int = 0
    _numbers: "count[int]" = field(default_factory=count)
    #: The stretch of each channel that the next event may lengthen.
    _open: dict[str, _Stretch] = field(default_factory=dict)
    #: The last sequence number of each channel that was sent, or needs not be.
    _sent: dict[str, int] = field(default_factory=dict)

    def put(self, publication: Publication) -> None:
        """Raises FellBehind: the client can only be told to come back later."""
        if publication.kept is not None:
            self._put_event(publication, publication.kept)
            return
        place = (publication.channel, publication.key)
        self.conflated += self._owed.pop(place, None) is not None
        self._owed[place] = publication
        self._sent.setdefault(publication.channel, publication.seq - 1)

    def put_reply(self, frame: bytes) -> None:
        """Like `put`, for what concerns this client alone. What is published after it comes after
        it.
        """
        self._open.clear()
        self._append(frame)

    def take(self) -> bytes | None:
        """The frame to send next, or None when nothing is owed. Raises FellBehind."""
        if not self._owed:
            self._sent.clear()
            return None
        place = next(iter(self._owed))
        owed = self._owed[place]
        if isinstance(owed, _Stretch):
            return self._take_event(place, owed)
        del self._owed[place]
        if isinstance(owed, bytes):
            self._irreplaceable -= 1
            return owed
        return self._with_what_was_left_out(owed)

    def __len__(self) -> int:
        """Frames owed."""
        return sum(
            owed.last - owed.seq + 1 if isinstance(owed, _Stretch) else 1
            for owed in self._owed.values()
        )

    def _put_event(self, publication: Publication, history: History) -> None:
        stretch = self._open.get(publication.channel)
        if stretch is None:
            stretch = _Stretch(history, publication.channel, publication.seq, publication.seq)
            self._open[publication.channel] = stretch
            self._append(stretch)
        else:
            stretch.next()  # the first of them must still be there, or the rest is worth nothing
            stretch.last = publication.seq

    def _append(self, owed: _Stretch | bytes) -> None:
        if self._irreplaceable >= self.capacity:
            raise FellBehind
        self._irreplaceable += 1
        self._owed[next(self._numbers)] = owed

    def _take_event(self, place: object, stretch: _Stretch) -> bytes:
        publication = stretch.next()
        stretch.seq += 1
        if stretch.seq > stretch.last:
            del self._owed[place]
            self._irreplaceable -= 1
            if self._open.get(stretch.channel) is stretch:
                del self._open[stretch.channel]
        return publication.frame

    def _with_what_was_left_out(self, owed: Publication) -> bytes:
        left_out = owed.seq - self._sent.get(owed.channel, owed.seq - 1) - 1
        self._sent[owed.channel] = owed.seq
        if owed.is_snapshot or left_out <= 0:
            return owed.frame
        return wire.conflated(owed.frame, left_out)
