"""Buckets that others write, followed record by record into what one keeps of them in memory."""

import logging
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import TypeVar

from shared.bus.kv import Bucket, CaughtUp, Entry, Removed
from shared.contracts import codec
from shared.contracts.errors import InvalidSymbol, MalformedMessage

log = logging.getLogger(__name__)
T = TypeVar("T")


def ignored(*_: object) -> None:
    """For whoever does not want to know: what was there stays."""


async def follow(
    bucket: Bucket,
    kind: type[T],
    *,
    put: Callable[[T], object],
    gone: Callable[[str], object] = ignored,
    caught_up: Callable[[], object] = ignored,
    pattern: str = ">",
) -> None:
    """Every record of one kind, then each change, without end; after a reconnect all again.

    `gone` gets the key. A record that cannot be read is skipped: the last good one stays.
    """
    async with aclosing(bucket.watch(pattern)) as changes:
        async for change in changes:
            match change:
                case Entry(key, value):
                    with skipping(key):
                        put(codec.decode(value, kind))
                case Removed(key):
                    with skipping(key):
                        gone(key)
                case CaughtUp():
                    caught_up()


@contextmanager
def skipping(what: str) -> Iterator[None]:
    """Something that cannot be read must not keep the rest from being heard."""
    try:
        yield
    except (MalformedMessage, InvalidSymbol) as exc:
        log.warning("skipped what cannot be read", extra={"what": what, "reason": str(exc)})
