"""Models in memory, decoded off the loop.

An artifact is one packed numpy file. Reading it makes views of bytes whose hash was compared: it
parses nothing but a small JSON header, in Python, and checks every index and number before a row
is ever evaluated. No native parser of a learning library sees it, so nothing in it can crash a
process, and a thread is enough where a native model format would need a throw-away child.
"""

import asyncio
import math
from collections import OrderedDict
from typing import Final, NamedTuple, Protocol

from services.predictor.domain.reading import Reading
from shared.contracts.errors import ArtifactRefused
from shared.contracts.records import Forecast, ModelRecord
from shared.model.artifact import Model
from shared.model.candles import view
from shared.model.forecast import forecast
from shared.model.history import WARMUP
from shared.model.opening import opened
from shared.model.reach import atr_pct
from shared.model.splits import adjusted

#: Of artifacts; evaluating a model about quadruples what it takes.
_MOST_BYTES: Final = 8 << 20


class ArtifactSource(Protocol):
    """Gives the bytes with a hash. Raises NotFound, ArtifactRefused or Unavailable."""

    async def get(self, sha256: str) -> bytes: ...


class PackedModel:
    """A model that is ready to be asked."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def read(self, candles: bytes) -> Reading:
        """What the newest of these packed candles says.

        Raises:
            NotEnoughHistory: too few candles.
            CandlesRefused: they are out of order, or cannot be computed with.
            ArtifactRefused: the model says something that is not a number.
        """
        return await asyncio.to_thread(_read, self._model, candles)


class _Loaded(NamedTuple):
    model: PackedModel
    size: int


class ModelCache:
    """The models used last, as many as fit into `most_bytes` of artifacts, and at least one."""

    def __init__(self, artifacts: ArtifactSource, *, most_bytes: int = _MOST_BYTES) -> None:
        self._artifacts = artifacts
        self._most_bytes = most_bytes
        self._models: OrderedDict[str, _Loaded] = OrderedDict()

    @property
    def loaded(self) -> int:
        return len(self._models)

    async def load(self, record: ModelRecord) -> PackedModel:
        """The model of this record.

        Raises:
            NotFound: its artifact is gone.
            ArtifactRefused: its artifact is damaged, of a format or with features that this version
                does not know, or the model of something else.
            Unavailable: its artifact could not be fetched now.
        """
        found = self._models.get(record.sha256)
        if found is None:
            data = await self._artifacts.get(record.sha256)
            model = await asyncio.to_thread(opened, data, record)
            found = self._models[record.sha256] = _Loaded(PackedModel(model), len(data))
        self._models.move_to_end(record.sha256)
        self._make_room()
        return found.model

    def _make_room(self) -> None:
        size = sum(each.size for each in self._models.values())
        while size > self._most_bytes and len(self._models) > 1:
            _, oldest = self._models.popitem(last=False)
            size -= oldest.size


def _read(model: Model, packed: bytes) -> Reading:
    candles = view(packed)
    forecasts = forecast(model, candles)
    newest, _ = adjusted(candles[-WARMUP - 1 :])
    close, atr = float(newest["close"][-1]), float(atr_pct(newest)[-1])
    if not all(map(math.isfinite, [atr, *_numbers(forecasts)])):
        raise ArtifactRefused("the model says something that is not a number")
    return Reading(forecasts=forecasts, close=close, atr_pct=atr)


def _numbers(forecasts: tuple[Forecast, ...]) -> list[float]:
    return [
        number
        for each in forecasts
        for number in (
            each.p_up,
            each.expected_return_pct,
            *each.interval_pct,
            *each.by_learner.values(),
        )
    ]
