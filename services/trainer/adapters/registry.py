"""Live models in KV `evertrain_models`, their bytes in the Object Store."""

from collections.abc import Sequence
from typing import Protocol

from services.trainer.domain.retention import Version
from shared.bus.connection import Connection
from shared.bus.kv import Bucket, Entry
from shared.bus.objects import Artifacts
from shared.contracts import codec, subjects
from shared.contracts.errors import ArtifactRefused, Conflict, Fenced, NotFound, Unavailable
from shared.contracts.records import (
    ModelRecord,
    PostTrainCheck,
    Problem,
    Universe,
    UnsoundModel,
)
from shared.contracts.symbols import Symbol

#: Each conflict is another promotion of the same symbol; a lease allows none, a zombie one.
_TRIES = 5


class FencedBucket(Protocol):
    """Reads see every write that was acknowledged. Every verb may raise Unavailable."""

    async def get(self, key: str) -> Entry | None: ...

    async def create(self, key: str, value: bytes) -> int:
        """Raises Conflict if the key is there."""

    async def update(self, key: str, value: bytes, last: int) -> int:
        """Raises Conflict if `last` is not the key's revision."""


class FencedModels:
    """The live model of each symbol. Within an epoch, tokens only grow."""

    def __init__(self, bucket: FencedBucket) -> None:
        self._models = bucket

    async def promote(self, model: ModelRecord) -> ModelRecord | None:
        """Make the model live unless a newer lease has already promoted one; what it replaced.

        Both the comparison of tokens and the compare-and-set are needed: without the first a
        frozen worker overwrites its successor, without the second two workers that compared at
        the same time both write.

        Raises:
            Fenced: the live model has this token or a later one.
            Unavailable: NATS did not answer, and the registry does not show our write either.
        """
        key, replaced = model.symbol.token, None
        for _ in range(_TRIES):
            entry = await self._models.get(key)
            live = codec.decode(entry.value, ModelRecord) if entry else None
            if live == model:
                return replaced  # our own write, whose answer was lost
            self._compare(model, live)
            try:
                await self._write(key, model, entry)
            except (Conflict, Unavailable):
                replaced = live
            else:
                return live
        raise Unavailable(f"the promotion of {model.symbol} was not acknowledged")

    def _compare(self, model: ModelRecord, live: ModelRecord | None) -> None:
        if live is not None and live.epoch == model.epoch and live.token >= model.token:
            raise Fenced(f"{model.symbol}: a newer holder has promoted {live.version}")

    async def _write(self, key: str, model: ModelRecord, entry: Entry | None) -> None:
        if entry is None:
            await self._models.create(key, codec.encode(model))
        else:
            await self._models.update(key, codec.encode(model), entry.revision)


class KvRegistry:
    def __init__(self, connection: Connection) -> None:
        self._models = Bucket(connection, subjects.MODELS)
        self._fenced = FencedModels(self._models)
        self._artifacts = Artifacts(connection)

    async def live_model(self, symbol: Symbol) -> ModelRecord | None:
        entry = await self._models.get(symbol.token)
        return codec.decode(entry.value, ModelRecord) if entry else None

    async def kept(self, symbol: Symbol) -> list[ModelRecord]:
        """What was written for the symbol, as far back as the bucket keeps it, oldest first. The
        last one is the live one, read from the leader: the history may be behind.
        """
        history = [
            codec.decode(entry.value, ModelRecord)
            for entry in await self._models.history(symbol.token)
        ]
        live = await self.live_model(symbol)
        if live is not None and live not in history[-1:]:
            history.append(live)
        return history

    async def versions(self) -> list[list[Version]]:
        """The same of all symbols, and as much of it as says which files are needed."""
        return [
            [
                codec.decode(written.value, Version)
                for written in await self._models.history(live.key)
            ]
            for live in await self._models.entries()
        ]

    async def fetch(self, sha256: str) -> bytes:
        """What was stored under this name; empty where it is lost or damaged."""
        try:
            return await self._artifacts.get(sha256)
        except (NotFound, ArtifactRefused):
            return b""

    async def store(self, artifact: bytes) -> str:
        return await self._artifacts.put(artifact)

    async def promote(self, model: ModelRecord) -> ModelRecord | None:
        """As `FencedModels.promote`."""
        return await self._fenced.promote(model)

    async def check(self, symbols: Sequence[Symbol], universe: Universe) -> PostTrainCheck:
        """Which of the symbols have a live model that is there, whole, and what the universe asks
        for. That it computes is known from its training, and looked at by the predictor.
        """
        missing, unsound = [], []
        for symbol in symbols:
            model = await self.live_model(symbol)
            if model is None:
                missing.append(symbol)
            elif reason := await self._fault(model, universe):
                unsound.append(UnsoundModel(symbol=symbol, reason=reason))
        return PostTrainCheck(
            sound=len(symbols) - len(missing) - len(unsound),
            missing=tuple(missing),
            unsound=tuple(unsound),
        )

    async def _fault(self, model: ModelRecord, universe: Universe) -> Problem | None:
        try:
            await self._artifacts.get(model.sha256)
        except (NotFound, ArtifactRefused) as exc:
            return Problem.of(exc)
        if model.timeframe is not universe.timeframe:
            told = f"it is of {model.timeframe} candles, not {universe.timeframe}"
            return Problem(code="other_timeframe", message=told)
        if lacking := sorted(set(universe.horizons) - set(model.horizons)):
            told = f"it has no horizon {', '.join(map(str, lacking))}"
            return Problem(code="missing_horizons", message=told)
        return None
