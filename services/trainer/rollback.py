"""An earlier model of a symbol lives again, in one step."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from services.trainer.domain import announcements
from services.trainer.domain.lineage import to_live_again
from shared.contracts import codec
from shared.contracts.errors import ArtifactRefused, LeaseTaken, NoEarlierModel
from shared.contracts.events import Event
from shared.contracts.records import ModelRecord, RolledBack, SymbolHolder
from shared.contracts.requests import RollbackRequest
from shared.contracts.subjects import symbol_lock
from shared.contracts.symbols import Symbol
from shared.runtime.clock import Clock
from shared.runtime.lease import Lease, LeasePolicy, LeaseStore, hold

log = logging.getLogger(__name__)


class Registry(Protocol):
    """The artifacts and the models that were live. Every verb may raise Unavailable."""

    async def kept(self, symbol: Symbol) -> list[ModelRecord]:
        """What was written for the symbol, as far back as that is kept, oldest first."""

    async def fetch(self, sha256: str) -> bytes:
        """What was stored under this name; empty where it is lost or damaged."""

    async def store(self, artifact: bytes) -> str:
        """Keep these bytes; those that are there already are as young as new ones again."""

    async def promote(self, model: ModelRecord) -> ModelRecord | None:
        """Make the model live; the one it replaced.

        Raises:
            Fenced: a model of a newer lease is live.
        """


class Inspector(Protocol):
    async def inspect(self, artifact: bytes, model: ModelRecord) -> None:
        """Raises ArtifactRefused: this version cannot forecast with it."""


class Locks(Protocol):
    async def symbol_holder(self, symbol: Symbol) -> SymbolHolder | None:
        """Who works on the symbol. May raise Unavailable."""


class Outlet(Protocol):
    async def emit(self, fact: Event) -> None:
        """May raise Unavailable."""


class Rollbacks:
    """Gives a symbol its earlier model back, under the lease and the fence of a training."""

    def __init__(
        self,
        *,
        name: str,
        registry: Registry,
        inspector: Inspector,
        locks: Locks,
        outlet: Outlet,
        leases: LeaseStore,
        policy: LeasePolicy,
        clock: Clock,
    ) -> None:
        self._name = name
        self._registry = registry
        self._inspector = inspector
        self._locks = locks
        self._outlet = outlet
        self._leases = leases
        self._policy = policy
        self._clock = clock

    async def roll_back(self, request: RollbackRequest) -> ModelRecord:
        """Make the model before the live one live, or the named one; what the registry says of it.

        A `request_id` that was carried out is not carried out again, as long as the registry
        remembers it, whatever was promoted since.

        Raises:
            LeaseTaken: the symbol is being trained, and by whom.
            NoEarlierModel, UnknownVersion: there is nothing to go back to, or not that.
            ArtifactRefused: its file is gone, damaged, or of another version of this program.
            LeaseLost, Fenced: somebody else has the symbol by now; nothing was changed.
            Unavailable: NATS does not answer; asking again with the same `request_id` is safe.
        """
        try:
            async with hold(
                self._leases,
                symbol_lock(request.symbol),
                lambda token: codec.encode(self._holder(request, token)),
                policy=self._policy,
            ) as lease:
                model = await self._live_again(request, lease)
        except LeaseTaken as exc:
            raise LeaseTaken(await self._busy(request.symbol)) from exc
        return model

    async def _live_again(self, request: RollbackRequest, lease: Lease) -> ModelRecord:
        kept = await self._registry.kept(request.symbol)
        if not kept:
            raise NoEarlierModel(f"{request.symbol} has no model, so there is no earlier one")
        if (done := _carried_out(request, kept)) is not None:
            if done == kept[-1]:
                await self._announce(done)  # whoever wrote it may have died before it said so
            return done
        live, earlier = kept[-1], to_live_again(kept, request.version)
        await self._secure(earlier)
        model = replace(
            earlier,
            token=lease.token,
            epoch=lease.epoch,
            rolled_back=RolledBack(
                at=self._clock(),
                from_version=live.version,
                by=request.by,
                request_id=request.request_id,
            ),
        )
        await self._registry.promote(model)
        log.warning(
            "model rolled back",
            extra={"symbol": model.symbol, "version": model.version, "from": live.version},
        )
        await self._announce(model)
        return model

    async def _secure(self, model: ModelRecord) -> None:
        """See that its file is there and sound, and that no clean-up deletes it meanwhile, nor the
        file that its updates start from. Without the latter its next update is a full training.
        """
        artifact = await self._registry.fetch(model.sha256)
        if not artifact:
            raise ArtifactRefused(
                f"the file of model {model.version} is gone or damaged; name another version, or "
                f"make a new model: `evertrain train --mode full --symbols {model.symbol}`"
            )
        await self._inspector.inspect(artifact, model)
        await self._registry.store(artifact)
        if model.native_sha256 and (native := await self._registry.fetch(model.native_sha256)):
            await self._registry.store(native)

    async def _announce(self, model: ModelRecord) -> None:
        if model.rolled_back is not None:
            await self._outlet.emit(announcements.model_rolled_back(model, model.rolled_back))

    async def _busy(self, symbol: Symbol) -> str:
        holder = await self._locks.symbol_holder(symbol)
        if holder is None:
            return f"somebody was working on {symbol} a moment ago; ask again"
        return (
            f"{symbol} is in the hands of {holder.run_id} on {holder.holder} since "
            f"{holder.started_at:%H:%M:%S} UTC; ask again when that is done, or end it first: "
            f"`evertrain auto-train stop`"
        )

    def _holder(self, request: RollbackRequest, token: int) -> SymbolHolder:
        return SymbolHolder(
            run_id=request.request_id or "rollback",
            holder=self._name,
            started_at=self._clock(),
            token=token,
        )


def _carried_out(request: RollbackRequest, kept: Sequence[ModelRecord]) -> ModelRecord | None:
    """What the same request has made live before."""
    if request.request_id is None:
        return None
    return next(
        (
            model
            for model in reversed(kept)
            if model.rolled_back and model.rolled_back.request_id == request.request_id
        ),
        None,
    )
