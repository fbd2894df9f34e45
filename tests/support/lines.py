"""A client's line, as the gateway's sessions see it."""

import json
from typing import Any

from services.gateway.domain.wire import PING_FRAME
from services.gateway.sessions import Session


class MemoryLine:
    """Takes `room` frames and then says that it is full, until it is drained."""

    def __init__(self, room: int | None = None) -> None:
        self.room = room
        self.frames: list[bytes] = []
        self.closed_with: tuple[int, str] | None = None
        self.aborted = False
        self.session: Session | None = None

    def write(self, frame: bytes) -> None:
        self.frames.append(frame)
        if self.room is not None:
            self.room -= 1
            if self.room == 0 and self.session is not None:
                self.session.paused()

    def close(self, code: int, reason: str) -> None:
        self.closed_with = (int(code), reason)

    def abort(self) -> None:
        self.aborted = True

    def drain(self, room: int | None = None) -> None:
        """The client has read everything and can take `room` frames more."""
        self.room = room
        assert self.session is not None
        self.session.resumed()

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(_payload(f)) for f in self.frames if f != PING_FRAME]

    @property
    def pings(self) -> int:
        return self.frames.count(PING_FRAME)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def numbers(self) -> list[int]:
        """The sequence numbers of the events."""
        return [message["seq"] for message in self.of("event")]


def _payload(frame: bytes) -> bytes:
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]
