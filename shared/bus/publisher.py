"""Publishing so that an acknowledged message is stored, and stored once."""

import asyncio
import logging
from typing import Final

import nats.errors
from nats.js.errors import APIError

from shared.bus.connection import Connection
from shared.contracts import codec, subjects
from shared.contracts.errors import Conflict, Permanent, Unavailable
from shared.contracts.events import Event
from shared.contracts.records import Problem
from shared.runtime.backoff import backoff

log = logging.getLogger(__name__)

#: The work queue already holds a message for this subject. JetStream uses the same error code for
#: a disk that failed, so only its words tell.
_SUBJECT_FULL: Final = "maximum messages per subject exceeded"
#: JetStream's error code for a message that is larger than its stream allows.
_TOO_LARGE: Final = 10054


class TooLarge(Permanent):
    """A message that will never fit into its stream."""

    code = "too_large"


class Publisher:
    """Publishes to JetStream, trying again under the same message id until it is acknowledged."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        message_id: str,
        headers: dict[str, str] | None = None,
        give_up_after: float = 30.0,
    ) -> int:
        """The sequence number of the stored message.

        A try that timed out may have been stored; the repeated id makes that the same message for
        as long as the stream's duplicate window lasts.

        Raises:
            Conflict: the stream holds a message for this subject already.
            TooLarge: the stream does not take messages of this size.
            Unavailable: not acknowledged in time; it may be stored or not.
        """
        try:
            async with asyncio.timeout(give_up_after):
                identified = {**(headers or {}), "Nats-Msg-Id": message_id}
                return await self._publish_until_acknowledged(subject, payload, identified)
        except TimeoutError as exc:
            raise Unavailable(f"NATS did not acknowledge a message to {subject}") from exc

    async def emit(self, fact: Event) -> None:
        """Publish an event.

        Raises:
            Unavailable: as in `publish`.
        """
        await self.publish(subjects.event(fact), codec.encode(fact), message_id=fact.id)

    async def park(
        self, stream: str, subject: str, payload: bytes, reason: Problem, identity: str
    ) -> None:
        """Keep a message that cannot be handled, as it was, with its subject and reason.

        Raises:
            Unavailable: as in `publish`.
        """
        await self.publish(
            subjects.dead(stream),
            payload,
            message_id=f"dead:{identity}",
            headers={
                "Evertrain-Subject": subject,
                "Evertrain-Code": reason.code,
                "Evertrain-Reason": _one_ascii_line(reason.message),
            },
        )

    async def _publish_until_acknowledged(
        self, subject: str, payload: bytes, headers: dict[str, str]
    ) -> int:
        for delay in backoff(0.1, most=1.0):
            try:
                # The library adds to the headers that it is given, so each try gets its own.
                ack = await self._connection.js.publish(
                    subject, payload, timeout=2, headers={**headers}
                )
            except APIError as exc:
                if exc.description == _SUBJECT_FULL:
                    raise Conflict(f"a message for {subject} is already queued") from exc
                if exc.err_code == _TOO_LARGE:
                    size = f"{len(payload):,} bytes"
                    raise TooLarge(f"{size} are more than a message to {subject} may have") from exc
                log.warning(
                    "NATS refuses a message", extra={"subject": subject, "reason": str(exc)}
                )
            except (nats.errors.Error, OSError):
                log.debug("no acknowledgement yet", extra={"subject": subject})
            else:
                return ack.seq
            await asyncio.sleep(delay)
        raise AssertionError("backoff is endless")


def _one_ascii_line(text: str) -> str:
    """What a header can hold, and what every client reads back as text."""
    return " ".join(text.split()).encode("ascii", "backslashreplace").decode()
