"""A model as one file: safe to read whoever wrote it, the same bytes for the same model.

    magic      8 bytes
    sha256    32 bytes, of everything behind it
    length     4 bytes, of the header, little-endian
    header     JSON: what the model is, and the shape of every array
    arrays     one behind the other in the order of `_ARRAYS`, little-endian, C order

Reading makes views of the bytes: nothing is parsed but the header, nothing is allocated by a
claimed size, and every index is checked before a row is ever evaluated.
"""

import hashlib
import json
import math
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt

from shared.contracts.errors import ArtifactRefused, InvalidSymbol
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Horizon, Mode, Timeframe
from shared.model.blend import Blend
from shared.model.forest import MAX_DEPTH, Forest
from shared.model.linear import Linear
from shared.model.trial import Trial

_MAGIC: Final = b"EVTMODEL"

#: Models of format 1 have outlooks without `usual_atr_pct`, and are served as they are.
_FORMAT: Final = 2
_LENGTH: Final = struct.Struct("<I")
_HEAD: Final = len(_MAGIC) + hashlib.sha256().digest_size + _LENGTH.size

#: Larger than any model this system trains; whoever fetches an artifact may stop here.
MAX_SIZE: Final = 64 << 20
_MAX_HEADER: Final = 1 << 18

#: Percentages and calibrations beyond this are damage.
_MOST: Final = 1e9

_FOREST: Final[dict[str, np.dtype[Any]]] = {
    "feature": np.dtype("u1"),
    "threshold": np.dtype("<f4"),
    "leaf": np.dtype("<f4"),
    "trees": np.dtype("<i4"),
    "base": np.dtype("<f8"),
}
_LINEAR: Final[dict[str, np.dtype[Any]]] = {
    "centre": np.dtype("<f8"),
    "scale": np.dtype("<f8"),
    "weights": np.dtype("<f8"),
}
_TRIAL: Final[dict[str, np.dtype[Any]]] = {
    "at": np.dtype("<i8"),
    "p_up": np.dtype("<f4"),
}
_ARRAYS: Final = _FOREST | _LINEAR | _TRIAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What followed, over one horizon, in the training window. Returns in percent of the close.

    All are as they would have been at an average true range of `usual_atr_pct`: see `reach`.
    `mean_up_pct` and `mean_down_pct` are the mean returns of the rows that rose, and of those that
    did not; `low_pct` and `high_pct` bound how far a return was from what was expected of it, with
    the coverage that is promised. `weights` are the learners', the boosters in the card's order and
    the basic model last, `slope` and `intercept` the calibration: see `Blend`.

    Where `usual_atr_pct` is None, in older models, returns are as they were, and `low_pct` and
    `high_pct` bound the middle 80 % of them, whatever was expected.
    """

    horizon: Horizon
    usual_atr_pct: float | None
    mean_up_pct: float
    mean_down_pct: float
    low_pct: float
    high_pct: float
    weights: tuple[float, ...]
    slope: float
    intercept: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a model is, apart from its numbers. `boosters` are the learners that are trees."""

    symbol: Symbol
    timeframe: Timeframe
    mode: Mode
    candle_at_ms: int
    rows: int
    spec: str
    features: tuple[str, ...]
    boosters: tuple[str, ...]
    outlooks: tuple[Outlook, ...]
    libraries: dict[str, str]

    @property
    def horizons(self) -> tuple[Horizon, ...]:
        return tuple(outlook.horizon for outlook in self.outlooks)


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """All learners and horizons of one symbol.

    The forest's groups are horizon by horizon, in each the boosters in the card's order.
    """

    card: Card
    forest: Forest
    linear: Linear
    trial: Trial

    @cached_property
    def blend(self) -> Blend:
        outlooks = self.card.outlooks
        return Blend(
            weights=np.array([outlook.weights for outlook in outlooks]),
            slope=np.array([outlook.slope for outlook in outlooks]),
            intercept=np.array([outlook.intercept for outlook in outlooks]),
        )

    def check(self) -> None:
        """Make sure that every forecast of this model is made of finite numbers.

        Raises:
            ArtifactRefused: one could not be.
        """
        horizons, features = len(self.card.outlooks), len(self.card.features)
        self.forest.check(groups=horizons * len(self.card.boosters), features=features)
        self.linear.check(horizons=horizons, features=features)
        self.blend.check(horizons=horizons, learners=len(self.card.boosters) + 1)
        self.trial.check(horizons=horizons)


def encode(model: Model) -> bytes:
    """The model's file.

    Raises:
        ArtifactRefused: the model would be refused when read.
    """
    arrays = _arrays_of(model)
    header = asdict(model.card) | {
        "format": _FORMAT,
        "depth": model.forest.depth,
        "shapes": {name: list(array.shape) for name, array in arrays.items()},
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    body = b"".join([_LENGTH.pack(len(text)), text, *(a.tobytes() for a in arrays.values())])
    data = _MAGIC + hashlib.sha256(body).digest() + body
    decode(data)
    return data


def decode(data: bytes) -> Model:
    """Read a model's file.

    Raises:
        ArtifactRefused: the bytes are not an artifact, are damaged, or hold a model that could not
            be evaluated safely; it says which.
    """
    header, offset = _read_header(data)
    try:
        model = _model(header, _read_arrays(data, offset, header["shapes"]))
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, InvalidSymbol) as exc:
        raise ArtifactRefused(f"the header of the artifact is not understood: {exc!r}") from exc
    model.check()
    return model


def _read_header(data: bytes) -> tuple[dict[str, Any], int]:
    if not _HEAD <= len(data) <= MAX_SIZE or not data.startswith(_MAGIC):
        raise ArtifactRefused("not a model artifact")
    body = len(data) - (_HEAD - _LENGTH.size)
    digest = hashlib.sha256(memoryview(data)[-body:]).digest()
    if digest != data[len(_MAGIC) : _HEAD - _LENGTH.size]:
        raise ArtifactRefused("the artifact is damaged: its content does not match its checksum")
    (length,) = _LENGTH.unpack_from(data, _HEAD - _LENGTH.size)
    if length > min(_MAX_HEADER, len(data) - _HEAD):
        raise ArtifactRefused("the artifact's header is longer than it may be")
    try:
        header = json.loads(data[_HEAD : _HEAD + length], parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise ArtifactRefused("the artifact's header is not JSON") from exc
    if not isinstance(header, dict) or header.get("format") not in (1, _FORMAT):
        raise ArtifactRefused("the artifact has a format that this version does not read")
    return header, _HEAD + length


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} in JSON")


def _read_arrays(
    data: bytes, offset: int, shapes: dict[str, list[int]]
) -> dict[str, npt.NDArray[Any]]:
    """Views of the arrays.

    Raises:
        ValueError: a shape that is none, or shapes that do not add up to the bytes that are there.
    """
    arrays = {}
    for name, dtype in _ARRAYS.items():
        shape = tuple(_count(size) for size in shapes[name])
        count = math.prod(shape)
        if count * dtype.itemsize > len(data) - offset:
            raise ValueError(f"{name} is larger than the file")
        arrays[name] = np.frombuffer(data, dtype, count, offset).reshape(shape)
        offset += count * dtype.itemsize
    if offset != len(data):
        raise ValueError("bytes are left over")
    return arrays


def _model(header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Model:
    depth = _count(header["depth"])
    if not 1 <= depth <= MAX_DEPTH:
        raise ValueError(f"trees of depth {depth}")
    return Model(
        card=_card(header),
        forest=Forest(depth=depth, **{name: arrays[name] for name in _FOREST}),
        linear=Linear(**{name: arrays[name] for name in _LINEAR}),
        trial=Trial(**{name: arrays[name] for name in _TRIAL}),
    )


def _card(header: dict[str, Any]) -> Card:
    card = Card(
        symbol=Symbol(_text(header["symbol"])),
        timeframe=Timeframe(header["timeframe"]),
        mode=Mode(header["mode"]),
        candle_at_ms=_count(header["candle_at_ms"]),
        rows=_count(header["rows"]),
        spec=_text(header["spec"]),
        features=_texts(header["features"]),
        boosters=_texts(header["boosters"]),
        outlooks=tuple(_outlook(outlook) for outlook in header["outlooks"]),
        libraries={_text(k): _text(v) for k, v in header["libraries"].items()},
    )
    if any(len(outlook.weights) != len(card.boosters) + 1 for outlook in card.outlooks):
        raise ValueError("a weight too many or too few")
    if not (card.outlooks and card.features and card.boosters):
        raise ValueError("no horizon, no feature or no booster")
    if not all(a < b for a, b in pairwise((0, *card.horizons))):
        raise ValueError("horizons out of order")
    return card


def _outlook(fields: dict[str, Any]) -> Outlook:
    fields = dict(fields)
    horizon, weights = fields.pop("horizon"), fields.pop("weights")
    usual = fields.pop("usual_atr_pct", None)
    return Outlook(
        horizon=_count(horizon),
        weights=tuple(map(_number, weights)),
        usual_atr_pct=None if usual is None else _positive(usual),
        **{name: _number(value) for name, value in fields.items()},
    )


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(f"{value!r} is not a count")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or not abs(value) <= _MOST:
        raise ValueError(f"{value!r} is not a number, or not a reasonable one")
    return float(value)


def _positive(value: object) -> float:
    number = _number(value)
    if number <= 0.0:
        raise ValueError(f"{value!r} is not above zero")
    return number


def _text(value: object) -> str:
    if type(value) is not str:
        raise ValueError(f"{value!r} is not a text")
    return value


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    texts = tuple(_text(value) for value in values)
    if len(set(texts)) != len(texts):
        raise ValueError("a name twice")
    return texts


def _arrays_of(model: Model) -> dict[str, npt.NDArray[Any]]:
    """In the order and the layout of the file."""
    arrays = {name: getattr(model.forest, name) for name in _FOREST}
    arrays |= {name: getattr(model.linear, name) for name in _LINEAR}
    arrays |= {name: getattr(model.trial, name) for name in _TRIAL}
    return {name: np.ascontiguousarray(array, _ARRAYS[name]) for name, array in arrays.items()}
