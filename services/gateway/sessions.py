"""One connected client: what it listens to, and the frames it is still owed."""

from typing import Protocol

from services.gateway.domain.access import Role
from services.gateway.domain.history import Publication
from services.gateway.domain.outbox import FellBehind, Outbox
from services.gateway.domain.pace import Pace
from services.gateway.domain.wire import Close


class Line(Protocol):
    """The way to one client. Neither verb waits or raises."""

    def write(self, frame: bytes) -> None:
        """Hand over a frame; may call the session's `paused` before it returns."""

    def close(self, code: int, reason: str) -> None:
        """Say goodbye after what was written, and end the connection soon."""

    def abort(self) -> None:
        """End the connection at once."""


class Session:
    """Never blocks and never raises: the hub writes to thousands of them in a loop.

    A client that keeps up is written to directly. One that does not is behind: what it is owed
    waits in its outbox until its line drains.
    """

    def __init__(
        self,
        name: str,
        line: Line,
        *,
        role: Role | None,
        account: str,
        pace: Pace,
        capacity: int,
    ) -> None:
        self.name = name
        #: On whose account it is.
        self.account = account
        #: None until the client has shown a key.
        self.role = role
        self.pace = pace
        self.open = True
        #: Why we ended it; None if the client did.
        self.closed_with: int | None = None
        #: Whether anything was sent, or heard, since the last beat.
        self.spoke = False
        self.heard = True
        self.silent_beats = 0
        #: The names of the channels it listens to.
        self.channels: set[str] = set()
        self.outbox = Outbox(capacity)
        #: Whether what it is owed waits in the outbox.
        self.behind = False
        self._line = line

    def offer(self, publication: Publication) -> None:
        self.spoke = True
        if not self.open:
            return
        if not self.behind:
            self._line.write(publication.frame)
            return
        try:
            self.outbox.put(publication)
        except FellBehind:
            self._lose()

    def reply(self, frame: bytes) -> None:
        """Send what concerns this client alone, in order with everything else."""
        self.spoke = True
        if not self.open:
            return
        if not self.behind:
            self._line.write(frame)
            return
        try:
            self.outbox.put_reply(frame)
        except FellBehind:
            self._lose()

    def paused(self) -> None:
        """The line is full."""
        self.behind = True

    def resumed(self) -> None:
        """The line has drained, so somebody reads; send what is owed until it is full again."""
        self.heard = True
        self.behind = False
        try:
            while self.open and not self.behind and (frame := self.outbox.take()) is not None:
                self._line.write(frame)
        except FellBehind:
            self._lose()

    def close(self, code: int, reason: str) -> None:
        if self.open:
            self.open = False
            self.closed_with = code
            self._line.close(code, reason)

    def abort(self) -> None:
        """It is silent; there is nobody to say goodbye to."""
        self.open = False
        self.closed_with = Close.SILENT
        self._line.abort()

    def _lose(self) -> None:
        self.close(Close.TOO_SLOW, "too slow: come back and resume with since")
