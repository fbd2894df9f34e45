"""The newest events, for clients that come back and for those that are behind."""

from collections import OrderedDict
from typing import NamedTuple


class Publication(NamedTuple):
    """One frame of a channel. A newer one with the same `key` replaces it, unless it is `kept`: it
    is an event then, which nothing replaces, and can be had again from there.

    A snapshot has a key too, but unlike a value it never says what was left out before it.
    """

    channel: str
    seq: int
    frame: bytes
    key: str = ""
    kept: "History | None" = None
    is_snapshot: bool = False


class History:
    """The last `capacity` events of one topic, whichever of its channels they were published on."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[tuple[str, int], Publication] = OrderedDict()

    def add(self, publication: Publication) -> None:
        self._kept[publication.channel, publication.seq] = publication
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)

    def get(self, channel: str, seq: int) -> Publication | None:
        """None for one that is too old, or not there yet."""
        return self._kept.get((channel, seq))

    def after(self, channel: str, seq: int, *, until: int) -> list[Publication] | None:
        """Everything behind `seq` up to the channel's present number, `until`, in order; None when
        it cannot be proven complete.
        """
        if not 0 <= seq <= until or until - seq > len(self._kept):
            return None
        missed = [self._kept.get((channel, number)) for number in range(seq + 1, until + 1)]
        found = [publication for publication in missed if publication is not None]
        return found if len(found) == len(missed) else None
