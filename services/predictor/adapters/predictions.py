"""Predictions in KV `evertrain_predictions`, which any number of predictors share."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final, TypeVar

from services.predictor.domain.freshness import replaces
from shared.bus.kv import Bucket, Entry
from shared.bus.publisher import Publisher
from shared.bus.watch import follow
from shared.contracts import codec
from shared.contracts.errors import Conflict, InvalidSymbol, MalformedMessage
from shared.contracts.events import PredictionUpdated
from shared.contracts.records import ModelRecord, Prediction
from shared.contracts.symbols import Symbol
from shared.runtime.clock import Clock, to_ms

T = TypeVar("T")

#: Each conflict is another predictor that was faster.
_TRIES: Final = 5


class KvPredictions:
    """`models` is the registry, which decides between predictions of different versions."""

    def __init__(
        self, predictions: Bucket, models: Bucket, publisher: Publisher, *, clock: Clock
    ) -> None:
        self._predictions = predictions
        self._models = models
        self._publisher = publisher
        self._clock = clock

    async def follow(
        self,
        *,
        told: Callable[[Prediction], None],
        removed: Callable[[Symbol], None],
        caught_up: asyncio.Event,
    ) -> None:
        """Tell what is stored and each change of it, again after each reconnect; never returns."""
        await follow(
            self._predictions,
            Prediction,
            put=told,
            gone=lambda key: removed(Symbol.from_token(key)),
            caught_up=caught_up.set,
        )

    async def publish(self, prediction: Prediction) -> Prediction:
        """Write it, unless the same or a newer one is there, and say so where it is another one;
        what is there now.

        A compare-and-set that loses looks again, so an older one never replaces a newer one,
        whatever other predictors do in between.

        Raises:
            Unavailable: NATS did not answer; trying again is safe.
            Conflict: others wrote all the time.
        """
        key = prediction.symbol.token
        for _ in range(_TRIES):
            entry = await self._predictions.get(key)
            stored = _read(entry, Prediction) if entry else None
            if stored and not await self._improves(prediction, stored):
                return stored
            try:
                await self._write(prediction, entry)
            except Conflict:
                continue
            if not stored or _identity(stored) != _identity(prediction):
                await self._publisher.emit(self._updated(prediction))
            return prediction
        raise Conflict(f"other predictors keep writing {key}")

    async def remove(self, symbols: Collection[Symbol] | None) -> set[Symbol]:
        """Delete what is stored of these symbols, or of all; of which there was something.

        Raises:
            Unavailable: NATS did not answer; doing it again is safe.
        """
        removed = set()
        for entry in await self._predictions.entries():
            with suppress(InvalidSymbol):
                symbol = Symbol.from_token(entry.key)
                if symbols is None or symbol in symbols:
                    await self._predictions.delete(entry.key)
                    removed.add(symbol)
        return removed

    async def _improves(self, new: Prediction, stored: Prediction) -> bool:
        if new.model_version == stored.model_version:
            return replaces(new, stored, self._clock())
        entry = await self._models.get(new.symbol.token)
        live = _read(entry, ModelRecord) if entry else None
        return live is not None and live.version == new.model_version

    async def _write(self, prediction: Prediction, over: Entry | None) -> None:
        key, value = prediction.symbol.token, codec.encode(prediction)
        if over is None:
            await self._predictions.create(key, value)
        else:
            await self._predictions.update(key, value, over.revision)

    def _updated(self, prediction: Prediction) -> PredictionUpdated:
        version, candle_ms = _identity(prediction)
        return PredictionUpdated(
            id=f"prediction.updated:{prediction.symbol}:{version}:{candle_ms}",
            at=self._clock(),
            symbol=prediction.symbol,
            model_version=version,
            candle_at=prediction.candle_at,
        )


def _identity(prediction: Prediction) -> tuple[str, int]:
    return prediction.model_version, to_ms(prediction.candle_at)


def _read(entry: Entry, kind: type[T]) -> T | None:
    """None for what this version cannot read, which is as good as nothing."""
    try:
        return codec.decode(entry.value, kind)
    except (MalformedMessage, InvalidSymbol):
        return None
