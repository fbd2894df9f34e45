"""Buckets that others write, followed into our copies."""

import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import TypeVar

from shared.bus.kv import Bucket, CaughtUp, Entry
from shared.contracts import codec
from shared.contracts.errors import InvalidSymbol, MalformedMessage

log = logging.getLogger(__name__)
T = TypeVar("T")


async def follow(
    bucket: Bucket,
    kind: type[T],
    *,
    put: Callable[[T], None],
    gone: Callable[[str], None],
    caught_up: Callable[[], None],
    pattern: str = ">",
) -> None:
    """Every record of one kind, then each change, without end; after a reconnect all again.

    `gone` gets the key. A record that cannot be read is skipped: the last good one stays.
    """
    async with aclosing(bucket.watch(pattern)) as changes:
        async for change in changes:
            if isinstance(change, CaughtUp):
                caught_up()
                continue
            try:
                if isinstance(change, Entry):
                    put(codec.decode(change.value, kind))
                else:
                    gone(change.key)
            except (MalformedMessage, InvalidSymbol) as exc:
                log.warning("skipped a record", extra={"key": change.key, "reason": str(exc)})
