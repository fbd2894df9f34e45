"""A right held by at most one process that still trusts itself to hold it.

The store is authoritative; local time only bounds trust. Trust counts from when a renewal was
*sent*, so a slow round trip can only shorten it. A holder that is frozen past its trust cannot
know it, which is why every write made under a lease carries its fencing token.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, NewType, Protocol

from shared.contracts.errors import LeaseLost, LeaseTaken, Unavailable
from shared.runtime.tasks import alongside, insist_on_cancelling

Revision = NewType("Revision", int)

#: What stands in the store for as long as the lease is held, given the fencing token: 0 in the
#: first write, whose revision becomes the token, and which is renewed before the body begins. It
#: must name this holder and no other.
Inscription = Callable[[int], bytes]


class LeaseStore(Protocol):
    """The compare-and-set verbs that a lease needs. All may raise Unavailable."""

    #: The identity of the store: tokens of different epochs cannot be compared.
    epoch: str

    async def create(self, key: str, value: bytes, *, ttl: float) -> Revision:
        """Raises LeaseTaken if the key is live."""

    async def renew(self, key: str, value: bytes, last: Revision, *, ttl: float) -> Revision:
        """Raises LeaseLost if `last` is not the current revision."""

    async def delete(self, key: str, value: bytes, last: Revision) -> None:
        """Raises LeaseLost if `last` is not the current revision, nor `value` the current value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasePolicy:
    """All times in seconds. The store counts in whole seconds, so `ttl` is one."""

    ttl: float = 15.0
    #: Stop trusting the lease this long before the store would expire it.
    margin: float = 3.0
    renew_every: float = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Proof of the acquisition: a later holder of any key in the store has a larger token."""

    key: str
    token: int
    epoch: str


@asynccontextmanager
async def hold(
    store: LeaseStore,
    key: str,
    inscription: Inscription,
    *,
    policy: LeasePolicy,
    poll_every: float | None = None,
) -> AsyncIterator[Lease]:
    """Hold `key` while the body runs; cancel the body when the lease can no longer be trusted.

    With `poll_every`, in seconds, a key that someone else holds is waited for.

    Raises:
        LeaseTaken: someone else holds the key, and `poll_every` is None. The body did not run.
        LeaseLost: renewals stopped succeeding. The body was cancelled.
        Unavailable: the store did not answer. The body did not run.
    """
    asked, token = await _acquire(store, key, inscription, policy, poll_every)
    trust = asyncio.timeout_at(asked + policy.ttl - policy.margin)
    renewal = _Renewal(store, key, inscription(token), policy, token)
    try:
        async with trust:
            await renewal.renew(trust)
            async with alongside(renewal.keep(trust, _this_task()), name=f"renew {key}"):
                yield Lease(key=key, token=token, epoch=store.epoch)
        if trust.expired():
            raise LeaseLost(f"the work under the lease on {key} went on after its loss")
    except TimeoutError as exc:
        if trust.expired():
            raise LeaseLost(f"the lease on {key} could not be renewed in time") from exc
        raise
    finally:
        if not trust.expired():
            with suppress(LeaseLost, Unavailable):
                await renewal.release()


async def _acquire(
    store: LeaseStore,
    key: str,
    inscription: Inscription,
    policy: LeasePolicy,
    poll_every: float | None,
) -> tuple[float, Revision]:
    """The loop's time before the successful request was sent, and its revision."""
    loop = asyncio.get_running_loop()
    while True:
        asked = loop.time()
        try:
            return asked, await store.create(key, inscription(0), ttl=policy.ttl)
        except LeaseTaken:
            if poll_every is None:
                raise
            await asyncio.sleep(poll_every)


class _Renewal:
    def __init__(
        self, store: LeaseStore, key: str, value: bytes, policy: LeasePolicy, revision: Revision
    ) -> None:
        self._store = store
        self._key = key
        self._value = value
        self._policy = policy
        self._revision = revision

    async def keep(self, trust: asyncio.Timeout, holder: asyncio.Task[Any]) -> None:
        """Renew until the trust has expired."""
        while not trust.expired():
            await asyncio.sleep(self._policy.renew_every)
            await self.renew(trust)
        await insist_on_cancelling(holder)

    async def renew(self, trust: asyncio.Timeout) -> None:
        """Renew once; only an answer moves the deadline of the trust."""
        trusted_until = await self._renew(asyncio.get_running_loop())
        # The deadline may pass in the very turn of the loop that brought the answer.
        if trusted_until is not None and not trust.expired():
            trust.reschedule(trusted_until)

    async def release(self) -> None:
        await self._store.delete(self._key, self._value, self._revision)

    async def _renew(self, loop: asyncio.AbstractEventLoop) -> float | None:
        """Until when the lease can be trusted now; None if the store did not answer."""
        asked = loop.time()
        try:
            self._revision = await self._store.renew(
                self._key, self._value, self._revision, ttl=self._policy.ttl
            )
        except LeaseLost:
            return loop.time()
        except Unavailable:
            return None
        return asked + self._policy.ttl - self._policy.margin


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
