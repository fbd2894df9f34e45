"""The three boosting libraries behind the learners' interface, each asked for what it does cheaply.

One thread each: two processes with one thread train twice as much as one process with two. Values
are quantised once per library, with edges that have seen no more than the first training window;
folds and horizons share them. Seeds are fixed and rows keep their order, so that the same rows give
the same trees, bit by bit.

Rounds are boosted one by one through the libraries' own steps, because their training functions
spend as long on what surrounds a round as on the round, where rows are few.
"""

import ctypes
import json
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, ClassVar, Final

import catboost
import lightgbm
import numpy as np
import xgboost
from xgboost.libpath import find_lib_path

from services.trainer.domain import packing
from services.trainer.domain.learners import (
    BoosterLearner,
    Effort,
    Labels,
    LabelTable,
    Probabilities,
)
from services.trainer.domain.packing import Group
from services.trainer.domain.patience import PATIENCE, Patience
from shared.model.features import Matrix
from shared.model.odds import sigmoid

#: An object of a library: none of the three has types.
Untyped = Any

#: Fewer rows of the rarer class than this teach a booster nothing but accidents.
MIN_MINORITY: Final = 5

_SEED: Final = 1
_LEARNING_RATE: Final = 0.05
_ROW_SHARE: Final = 0.8
_COLUMN_SHARE: Final = 0.8
_LEAF_ROWS: Final = 20

#: Bytes that must be free before catboost starts a thread: if the stack of that does not fit, it
#: waits for ever. More than any stack, and more than the heap might still have in reserve.
_ROOM: Final = 40 << 20

#: What catboost writes into a model beside the model.
_CHANCE_NOTES: Final = frozenset({"model_guid", "train_finish_time"})

#: The log-odds in front of lightgbm's text.
AVERAGE: Final = struct.Struct("<d")

XGBOOST: Final[dict[str, Any]] = {
    "objective": "binary:logistic",
    "eta": _LEARNING_RATE,
    "nthread": 1,
    "seed": _SEED,
    "verbosity": 0,
}

#: Its documented C interface. A step through the package's own `update` costs half as much again as
#: the round itself, on 730 rows: it asks for the names of all features each time.
_XGBOOST: Final = ctypes.CDLL(find_lib_path()[0])
_XGBOOST.XGBGetLastError.restype = ctypes.c_char_p


def reserve() -> None:
    """Let catboost take what it takes when it is first used: a gigabyte of addresses, of which it
    uses little, and a thread. If a memory cap left no room for the stack of that thread, catboost
    would wait for it for ever.
    """
    catboost.Pool(np.zeros((1, 1), np.float32))


def catboost_parameters(effort: Effort) -> dict[str, Any]:
    return {
        "loss_function": "Logloss",
        "boosting_type": "Plain",
        "depth": effort.depth,
        "border_count": effort.bins,
        "learning_rate": _LEARNING_RATE,
        "boost_from_average": True,  # by default this loss begins at even odds
        "leaf_estimation_iterations": 1,
        "bootstrap_type": "Bernoulli",
        "subsample": _ROW_SHARE,
        "random_seed": _SEED,
        "thread_count": 1,
        "allow_writing_files": False,
        "verbose": False,
    }


def boosters(
    features: Matrix, labels: LabelTable, effort: Effort, *, edges: range
) -> tuple[BoosterLearner, ...]:
    """The three boosters, to learn from any of these rows, with bins whose edges are made of the
    rows in `edges` alone.
    """
    labels = np.asfortranarray(labels)
    quantiles = _quantiles(features[_slice(edges)], 4 * effort.bins)
    return (
        XGBoost(features, labels, effort, quantiles),
        LightGBM(features, labels, effort, quantiles),
        CatBoost(features, labels, effort, quantiles),
    )


def _quantiles(rows: Matrix, most: int) -> Matrix:
    """Every column sorted and thinned out to `most` values, from the least to the greatest: all
    that bins are made of, and quicker than each library's own sorting of all rows.
    """
    kept = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.intp)
    return np.sort(rows.T, axis=1)[:, kept].T


def _slice(rows: range) -> slice:
    return slice(rows.start, rows.stop)


def versions() -> dict[str, str]:
    """Of everything that decides which numbers a fit gives."""
    libraries = (xgboost, lightgbm, catboost, np)
    return {str(library.__name__): str(library.__version__) for library in libraries}


@dataclass(frozen=True, slots=True)
class Constant:
    """What a booster says where the rows show one class only: how rare the other one is, at most
    (Laplace's rule of succession).
    """

    share: float
    rounds: int = 1

    @classmethod
    def of(cls, labels: Labels) -> "Constant":
        return cls((float(labels.sum()) + 1.0) / (len(labels) + 2.0))

    def probabilities(self, rows: Matrix) -> Probabilities:
        return np.full(len(rows), self.share)

    def packed(self, depth: int) -> Group:
        return packing.pack_constant(float(np.log(self.share / (1.0 - self.share))), depth)

    def native(self) -> bytes:
        return b""


def log_odds(labels: Labels) -> float:
    share = float(labels.mean(dtype=np.float64))
    return float(np.log(share / (1.0 - share)))


def one_sided(labels: Labels) -> bool:
    ups = int(labels.sum())
    return min(ups, len(labels) - ups) < MIN_MINORITY


class XGBoost:
    name: ClassVar[str] = "xgboost"

    def __init__(
        self, features: Matrix, labels: LabelTable, effort: Effort, quantiles: Matrix
    ) -> None:
        self._features, self._labels = features, labels
        self._bins = effort.bins
        self._edges = self._binned(quantiles, None)
        self._parameters = XGBOOST | {
            "tree_method": "hist",
            "max_depth": effort.depth,
            "max_bin": effort.bins,
            "subsample": _ROW_SHARE,
            "colsample_bytree": _COLUMN_SHARE,
            "min_child_weight": _LEAF_ROWS / 4.0,  # a row weighs p (1 - p)
        }

    def study(self, train: range, valid: range | None = None) -> "XGBoostStudy":
        return XGBoostStudy(
            train=self._binned(self._features[_slice(train)], self._edges),
            train_labels=self._labels[_slice(train)],
            valid=None
            if valid is None
            else xgboost.DMatrix(self._features[_slice(valid)], nthread=1),
            valid_labels=None if valid is None else self._labels[_slice(valid)],
            parameters=self._parameters,
        )

    def _binned(self, rows: Matrix, edges: Untyped) -> Untyped:
        return xgboost.QuantileDMatrix(rows, max_bin=self._bins, nthread=1, ref=edges)


@dataclass(frozen=True, slots=True, kw_only=True)
class XGBoostStudy:
    train: Untyped
    train_labels: LabelTable
    valid: Untyped
    valid_labels: LabelTable | None
    parameters: dict[str, Any]

    def fit(self, column: int, *, rounds: int) -> "XGBoostFitted | Constant":
        labels = self.train_labels[:, column]
        if one_sided(labels):
            return Constant.of(labels)
        self.train.set_label(labels)
        parameters = self.parameters | {"base_score": float(labels.mean())}
        if self.valid is None or self.valid_labels is None:
            booster = xgboost.Booster(parameters, [self.train])
            for number in range(rounds):
                boost(booster, number, self.train)
            return XGBoostFitted(booster=booster, rounds=rounds)
        self.valid.set_label(self.valid_labels[:, column])
        booster = xgboost.Booster(parameters, [self.train, self.valid])
        patience = Patience(rounds)
        while not patience.over:
            boost(booster, patience.looked, self.train)
            patience.look(_loss(booster, patience.looked, self.valid))
        return XGBoostFitted(booster=booster, rounds=patience.best)


def boost(booster: Untyped, number: int, rows: Untyped) -> None:
    """One round more."""
    _done(_XGBOOST.XGBoosterUpdateOneIter(booster.handle, number, rows.handle))


def _loss(booster: Untyped, number: int, rows: Untyped) -> float:
    """The log loss by now, which the library says at the end of a line for people to read."""
    line = ctypes.c_char_p()
    _done(
        _XGBOOST.XGBoosterEvalOneIter(
            booster.handle,
            number,
            (ctypes.c_void_p * 1)(rows.handle),
            (ctypes.c_char_p * 1)(b""),
            ctypes.c_uint64(1),
            ctypes.byref(line),
        )
    )
    return float((line.value or b"").rpartition(b":")[2])


def _done(status: int) -> None:
    if status:
        raise xgboost.core.XGBoostError(_XGBOOST.XGBGetLastError().decode())


@dataclass(frozen=True, slots=True, kw_only=True)
class XGBoostFitted:
    booster: Untyped
    rounds: int

    def probabilities(self, rows: Matrix) -> Probabilities:
        known: Probabilities = self.booster.inplace_predict(rows, iteration_range=(0, self.rounds))
        return known.astype(np.float64)

    def packed(self, depth: int) -> Group:
        return packing.pack_xgboost(self.booster, depth)

    def native(self) -> bytes:
        return bytes(self.booster.save_raw("ubj"))


class LightGBM:
    name: ClassVar[str] = "lightgbm"

    def __init__(
        self, features: Matrix, labels: LabelTable, effort: Effort, quantiles: Matrix
    ) -> None:
        self._features, self._labels = features, labels
        self._parameters = {
            "objective": "binary",
            "max_depth": effort.depth,
            "num_leaves": 2**effort.depth - 1,
            "max_bin": effort.bins - 1,
            "min_data_in_bin": 1,
            "enable_bundle": False,
            "learning_rate": _LEARNING_RATE,
            "bagging_fraction": _ROW_SHARE,
            "bagging_freq": 1,
            "feature_fraction": _COLUMN_SHARE,
            "min_data_in_leaf": _LEAF_ROWS,
            "feature_pre_filter": False,
            "force_row_wise": True,
            "deterministic": True,
            "num_threads": 1,
            "seed": _SEED,
            "verbosity": -1,
        }
        self._rows = self._binned(features, self._binned(quantiles, None))

    def study(self, train: range, valid: range | None = None) -> "LightGBMStudy":
        return LightGBMStudy(
            train=self._cut(train),
            train_labels=self._labels[_slice(train)],
            valid=None if valid is None else self._cut(valid),
            valid_labels=None if valid is None else self._labels[_slice(valid)],
            parameters=self._parameters,
        )

    def _cut(self, rows: range) -> Untyped:
        if len(rows) == len(self._features):
            return self._rows
        return self._rows.subset(np.array(rows), self._parameters).construct()

    def _binned(self, rows: Matrix, edges: Untyped) -> Untyped:
        labels = np.zeros(len(rows), np.float32)
        binned = lightgbm.Dataset(rows, labels, params=self._parameters, reference=edges)
        return binned.construct()


@dataclass(frozen=True, slots=True, kw_only=True)
class LightGBMStudy:
    train: Untyped
    train_labels: LabelTable
    valid: Untyped
    valid_labels: LabelTable | None
    parameters: dict[str, Any]

    def fit(self, column: int, *, rounds: int) -> "LightGBMFitted | Constant":
        """`update` says true where the rows bear no more trees."""
        labels = self.train_labels[:, column]
        if one_sided(labels):
            return Constant.of(labels)
        average = log_odds(labels)
        _set(self.train, labels, average)
        booster = lightgbm.Booster(self.parameters, self.train)
        if self.valid is None or self.valid_labels is None:
            while booster.current_iteration() < rounds and not booster.update():
                pass
            return LightGBMFitted(booster=booster, rounds=rounds, average=average)
        _set(self.valid, self.valid_labels[:, column], average)
        booster.add_valid(self.valid, "valid")
        patience = Patience(rounds)
        while not patience.over and not booster.update():
            patience.look(booster.eval_valid()[0][2])
        return LightGBMFitted(booster=booster, rounds=max(patience.best, 1), average=average)


def _set(binned: Untyped, labels: Labels, average: float) -> None:
    """The labels, and where boosting begins. Left to itself the library hides the average in its
    first tree, which then counts for more than the others when leaves are refreshed.
    """
    binned.set_label(labels)
    binned.set_init_score(np.full(len(labels), average))


@dataclass(frozen=True, slots=True, kw_only=True)
class LightGBMFitted:
    """`average` is the log-odds that the trees add to."""

    booster: Untyped
    rounds: int
    average: float

    def probabilities(self, rows: Matrix) -> Probabilities:
        margins = self.booster.predict(
            rows, num_iteration=self.rounds, raw_score=True, num_threads=1
        )
        return sigmoid(margins + self.average)

    def packed(self, depth: int) -> Group:
        return packing.pack_lightgbm(self.booster, depth, base=self.average)

    def native(self) -> bytes:
        """The average (8 bytes) before the library's text."""
        text: str = self.booster.model_to_string(num_iteration=-1)
        return AVERAGE.pack(self.average) + text.encode()


class CatBoost:
    """It hands out bin edges and trees only through files."""

    name: ClassVar[str] = "catboost"

    def __init__(
        self, features: Matrix, labels: LabelTable, effort: Effort, quantiles: Matrix
    ) -> None:
        self._labels = labels
        self._parameters = catboost_parameters(effort)
        # By columns it copies three times as fast.
        columns = np.array(features, order="F")
        # What stands still in the rows of the edges has none, and would be given some of all rows.
        still = quantiles[0] == quantiles[-1]
        columns[:, still] = quantiles[0, still]
        known = _quantised(quantiles, None, {"border_count": effort.bins})
        with _file() as (borders, path):
            known.save_quantization_borders(path)
            self._pools = []
            for column in labels.T:
                borders.seek(0)
                self._pools.append(_quantised(columns, column, {"input_borders": path}))

    def study(self, train: range, valid: range | None = None) -> "CatBoostStudy":
        return CatBoostStudy(
            pools=self._pools,
            train=train,
            valid=valid,
            labels=self._labels[_slice(train)],
            parameters=self._parameters,
        )


@contextmanager
def _file() -> Iterator[tuple[IO[bytes], str]]:
    """An empty file, and a path to it. It has no name, so nothing is left of it when the process is
    killed. On some systems whoever opens the path goes on where the last one stopped: rewind it.
    """
    with tempfile.TemporaryFile() as file:
        yield file, f"/dev/fd/{file.fileno()}"


def _quantised(columns: Matrix, labels: Labels | None, how: dict[str, Any]) -> Untyped:
    """Not by the public `quantize`, which hands on no thread count, and starts as many threads as
    there are processors for a millisecond's work.
    """
    pool = catboost.Pool(columns, labels, thread_count=1)
    pool._quantize({"task_type": "CPU", "thread_count": 1} | how)  # noqa: SLF001
    return pool


@dataclass(frozen=True, slots=True, kw_only=True)
class CatBoostStudy:
    """`pools` are all rows, for each horizon: a pool's labels cannot be changed."""

    pools: list[Untyped]
    train: range
    valid: range | None
    labels: LabelTable
    parameters: dict[str, Any]

    def fit(self, column: int, *, rounds: int) -> "CatBoostFitted | Constant":
        if one_sided(self.labels[:, column]):
            return Constant.of(self.labels[:, column])
        model = catboost.CatBoost(self.parameters | {"iterations": rounds})
        train = self._cut(column, self.train)
        if self.valid is None:
            model.fit(train)
        else:
            model.fit(
                train,
                eval_set=self._cut(column, self.valid),
                early_stopping_rounds=PATIENCE,
                use_best_model=True,
            )
        return CatBoostFitted(model=model, rounds=model.tree_count_)

    def _cut(self, column: int, rows: range) -> Untyped:
        pool = self.pools[column]
        if len(rows) == pool.num_row():
            return pool
        np.empty(_ROOM, np.uint8)  # fails under a memory cap where a thread's stack would not fit
        return pool.slice(np.array(rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class CatBoostFitted:
    model: Untyped
    rounds: int

    def probabilities(self, rows: Matrix) -> Probabilities:
        known: Probabilities = self.model.predict(
            rows, prediction_type="Probability", thread_count=1
        )
        return known[:, 1]

    def packed(self, depth: int) -> Group:
        return packing.pack_catboost(json.loads(self._saved("json")), depth)

    def native(self) -> bytes:
        """Without what would make the same model another file each time."""
        notes = self.model.get_metadata()
        for name in _CHANCE_NOTES & set(notes.keys()):
            del notes[name]
        return self._saved("cbm")

    def _saved(self, form: str) -> bytes:
        with _file() as (file, path):
            self.model.save_model(path, format=form)
            file.seek(0)
            return file.read()
