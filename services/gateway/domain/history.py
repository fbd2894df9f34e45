"""The newest events of a channel, for clients that come back."""

from collections import deque

from services.gateway.domain.outbox import Publication


class History:
    """The last `capacity` publications, whose sequence numbers follow each other."""

    def __init__(self, capacity: int) -> None:
        self._kept: deque[Publication] = deque(maxlen=capacity)

    def add(self, publication: Publication) -> None:
        self._kept.append(publication)

    def after(self, seq: int, *, until: int) -> list[Publication] | None:
        """Everything behind `seq` up to the channel's present number, `until`, in order; None when
        it cannot be proven complete.
        """
        if not 0 <= seq <= until:
            return None
        missed = until - seq
        if missed > len(self._kept):
            return None
        return [self._kept[i] for i in range(len(self._kept) - missed, len(self._kept))]
