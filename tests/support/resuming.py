"""Clients of a gateway that come back until they have heard everything."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.support.gateways import Gateway

_AGAIN_AFTER_S = 0.05


@dataclass(slots=True)
class Resuming:
    """Listens to one channel and notes the number and the data of each event. `lost` counts how
    often it was told that what it missed cannot be had.
    """

    channel: str
    events: list[tuple[int, Any]] = field(default_factory=list)
    codes: list[int | None] = field(default_factory=list)
    hints: list[int] = field(default_factory=list)
    lost: int = 0
    epoch: str | None = None
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.events]

    async def listen(self, gateway: Gateway, *, until: int) -> None:
        """Until the event of that number was heard. It may be another gateway than before."""
        while not self.events or self.events[-1][0] < until:
            try:
                async with connect(gateway.socket_url, close_timeout=0.1) as socket:
                    await self._hear(socket, until)
            except (OSError, EOFError, InvalidHandshake, TimeoutError):
                await asyncio.sleep(_AGAIN_AFTER_S)
            except ConnectionClosed as exc:
                self.codes.append(exc.rcvd.code if exc.rcvd else None)

    async def _hear(self, socket: ClientConnection, until: int) -> None:
        since = {}
        if self.epoch is not None:
            last = self.events[-1][0] if self.events else 0
            since = {self.channel: {"epoch": self.epoch, "seq": last}}
        await socket.send(
            json.dumps({"op": "subscribe", "channels": [self.channel], "since": since})
        )
        async for text in socket:
            message = json.loads(text)
            match message["type"]:
                case "subscribed":
                    self.lost += bool(since) and not message["recovered"]
                    self.epoch = message["epoch"]
                    self.subscribed.set()
                case "event":
                    self.events.append((message["seq"], message["data"]))
                    if message["seq"] >= until:
                        return
                case "closing":
                    self.hints.append(message["retry_after_ms"])
