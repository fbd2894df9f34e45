"""The numbers of event channels: how many events of a channel there have been.

Every gateway reads the same events in the same order, so all count the same if they begin at the
same place with the same numbers: a mark. Marks are kept outside, so that a gateway which starts
again, and every other one, counts on where the last one was.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: A mark is made at each multiple of this, so that gateways make the same ones.
EVERY: Final = 4096
#: A gateway that starts reads at least so many events again, if there are marks so old: for clients
#: that come back.
DEPTH: Final = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """`counts` are the numbers of the channels after the event `after` of the stream that was made
    at `stream`. In another `epoch` the same number means another event.
    """

    epoch: str
    stream: str
    after: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a stream holds: events `first` to `last`, nothing if `last` is smaller."""

    stream: str
    first: int
    last: int


def beginning(marks: Sequence[Mark], held: Held) -> Mark | None:
    """The mark to count from, of those that were kept, oldest first; None when the events after
    every mark cannot all be had any more, so that a new epoch has to begin.
    """
    newest = marks[-1] if marks else None
    if newest is None or newest.stream != held.stream or newest.after > held.last:
        return None
    usable = [m for m in marks if m.epoch == newest.epoch and m.after >= held.first - 1]
    deep = [mark for mark in usable if mark.after <= held.last - DEPTH]
    return deep[-1] if deep else next(iter(usable), None)


class Numbers:
    """The numbers that the channels have reached in one epoch."""

    def __init__(self, epoch: str, reached: Mapping[str, int] | None = None) -> None:
        self.epoch = epoch
        self._reached = Counter(reached)

    def next(self, channel: str) -> int:
        self._reached[channel] += 1
        return self._reached[channel]

    def last(self, channel: str) -> int:
        """0 for a channel on which there was nothing yet."""
        return self._reached[channel]

    def mark(self, stream: str, after: int) -> Mark | None:
        """The mark that is due after the event `after` was numbered, if one is."""
        if after % EVERY:
            return None
        return Mark(epoch=self.epoch, stream=stream, after=after, counts=dict(self._reached))
