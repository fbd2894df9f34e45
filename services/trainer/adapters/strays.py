"""Requests for a mode that does not exist. No consumer's filter covers them, and NATS refuses one
that would overlap with the others on a work queue; so they are looked for.
"""

import asyncio
import contextlib
from contextlib import aclosing
from typing import Final

import nats.errors

from shared.bus.connection import Connection
from shared.bus.consumer import lying_in, refuse
from shared.bus.publisher import Publisher
from shared.contracts import subjects
from shared.contracts.errors import MalformedMessage, Unavailable
from shared.contracts.terms import Mode
from shared.runtime.tasks import stopped_within

_EVERY_S: Final = 5.0
_TIMEOUT_S: Final = 30.0


async def refuse_strays(connection: Connection, publisher: Publisher, stop: asyncio.Event) -> None:
    """A worker: park such requests, and tell. Trainers that find the same one park it once."""
    while True:
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError, Unavailable):
            async with asyncio.timeout(_TIMEOUT_S):
                await _sweep(connection, publisher)
        if await stopped_within(stop, _EVERY_S):
            return


async def _sweep(connection: Connection, publisher: Publisher) -> None:
    info = await connection.js.stream_info(subjects.REQUESTS, subjects_filter=">")
    for subject in (info.state.subjects or {}).keys() - subjects.TRAINING.keys():
        reason = MalformedMessage(
            f"there is no mode {subject.rpartition('.')[2]!r}; use {', '.join(Mode)}"
        )
        async with aclosing(lying_in(connection, subjects.REQUESTS, subject)) as strays:
            async for stray in strays:
                await refuse(publisher, subjects.REQUESTS, stray, reason)
                await connection.js.delete_msg(subjects.REQUESTS, stray.sequence)
