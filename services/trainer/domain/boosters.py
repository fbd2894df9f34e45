"""The three boosting libraries behind the learners' interface, each asked for what it does cheaply.

One thread each: two processes with one thread train twice as much as one process with two. Values
are quantised once per library, with edges that have seen no more than the first training window;
folds and horizons share them. Seeds are fixed and rows keep their order, so that the same rows give
the same trees, bit by bit.
"""

import json
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import catboost
import lightgbm
import numpy as np
import xgboost

from services.trainer.domain import packing
from services.trainer.domain.learners import BoosterLearner, Effort, Labels, Probabilities
from services.trainer.domain.packing import Group
from shared.model.features import Matrix
from shared.model.odds import sigmoid

#: Fewer rows of the rarer class than this teach a booster nothing but accidents.
MIN_MINORITY: Final = 5

_SEED: Final = 1
_LEARNING_RATE: Final = 0.05
_ROW_SHARE: Final = 0.8
_COLUMN_SHARE: Final = 0.8
_LEAF_ROWS: Final = 20
_PATIENCE: Final = 20

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


@contextmanager
def boosters(edges: Matrix, effort: Effort) -> Iterator[tuple[BoosterLearner, ...]]:
    """The three boosters, with bins whose edges are made of the rows in `edges`."""
    with tempfile.TemporaryDirectory(prefix="evertrain-") as scratch:
        yield (
            XGBoost(edges, effort),
            LightGBM(edges, effort),
            CatBoost(edges, effort, scratch),
        )


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

    def __init__(self, edges: Matrix, effort: Effort) -> None:
        self._bins = effort.bins
        self._edges = xgboost.QuantileDMatrix(edges, max_bin=effort.bins, nthread=1)
        self._parameters = XGBOOST | {
            "tree_method": "hist",
            "max_depth": effort.depth,
            "max_bin": effort.bins,
            "subsample": _ROW_SHARE,
            "colsample_bytree": _COLUMN_SHARE,
            "min_child_weight": _LEAF_ROWS / 4.0,  # a row weighs p (1 - p)
        }

    def study(self, train: Matrix, valid: Matrix | None = None) -> "XGBoostStudy":
        binned = self._binned(train, self._edges)
        return XGBoostStudy(
            train=binned,
            valid=None if valid is None else self._binned(valid, binned),
            parameters=self._parameters,
        )

    def _binned(self, rows: Matrix, edges: Any) -> Any:  # noqa: ANN401, the library has no types
        return xgboost.QuantileDMatrix(rows, max_bin=self._bins, nthread=1, ref=edges)


@dataclass(frozen=True, slots=True, kw_only=True)
class XGBoostStudy:
    train: Any
    valid: Any
    parameters: dict[str, Any]

    def fit(
        self, labels: Labels, valid_labels: Labels | None = None, *, rounds: int
    ) -> "XGBoostFitted | Constant":
        if one_sided(labels):
            return Constant.of(labels)
        self.train.set_label(labels)
        parameters = self.parameters | {"base_score": float(labels.mean())}
        if valid_labels is None:
            booster = xgboost.train(parameters, self.train, rounds)
            return XGBoostFitted(booster=booster, rounds=rounds)
        self.valid.set_label(valid_labels)
        booster = xgboost.train(
            parameters,
            self.train,
            rounds,
            evals=[(self.valid, "valid")],
            early_stopping_rounds=_PATIENCE,
            verbose_eval=False,
        )
        return XGBoostFitted(booster=booster, rounds=booster.best_iteration + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class XGBoostFitted:
    booster: Any
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

    def __init__(self, edges: Matrix, effort: Effort) -> None:
        self._parameters = {
            "objective": "binary",
            "max_depth": effort.depth,
            "num_leaves": 2**effort.depth - 1,
            "max_bin": effort.bins - 1,
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
        self._edges = self._binned(edges, None)

    def study(self, train: Matrix, valid: Matrix | None = None) -> "LightGBMStudy":
        return LightGBMStudy(
            train=self._binned(train, self._edges),
            valid=None if valid is None else self._binned(valid, self._edges),
            parameters=self._parameters,
        )

    def _binned(self, rows: Matrix, edges: Any) -> Any:  # noqa: ANN401, the library has no types
        labels = np.zeros(len(rows), np.float32)
        binned = lightgbm.Dataset(rows, labels, params=self._parameters, reference=edges)
        return binned.construct()


@dataclass(frozen=True, slots=True, kw_only=True)
class LightGBMStudy:
    train: Any
    valid: Any
    parameters: dict[str, Any]

    def fit(
        self, labels: Labels, valid_labels: Labels | None = None, *, rounds: int
    ) -> "LightGBMFitted | Constant":
        if one_sided(labels):
            return Constant.of(labels)
        average = log_odds(labels)
        _set(self.train, labels, average)
        if valid_labels is None:
            booster = lightgbm.train(self.parameters, self.train, rounds)
            return LightGBMFitted(booster=booster, rounds=rounds, average=average)
        _set(self.valid, valid_labels, average)
        booster = lightgbm.train(
            self.parameters,
            self.train,
            rounds,
            valid_sets=[self.valid],
            callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
        )
        kept = booster.best_iteration or rounds
        return LightGBMFitted(booster=booster, rounds=kept, average=average)


def _set(binned: Any, labels: Labels, average: float) -> None:  # noqa: ANN401, as above
    """The labels, and where boosting begins. Left to itself the library hides the average in its
    first tree, which then counts for more than the others when leaves are refreshed.
    """
    binned.set_label(labels)
    binned.set_init_score(np.full(len(labels), average))


@dataclass(frozen=True, slots=True, kw_only=True)
class LightGBMFitted:
    """`average` is the log-odds that the trees add to."""

    booster: Any
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
    """It hands out bin edges and trees only through files, hence the scratch directory."""

    name: ClassVar[str] = "catboost"

    def __init__(self, edges: Matrix, effort: Effort, scratch: str) -> None:
        self._scratch = scratch
        self._edges = f"{scratch}/edges.tsv"
        pool = catboost.Pool(edges)
        pool.quantize(border_count=effort.bins, task_type="CPU")
        pool.save_quantization_borders(self._edges)
        _complete(self._edges, edges)
        self._parameters = catboost_parameters(effort)

    def study(self, train: Matrix, valid: Matrix | None = None) -> "CatBoostStudy":
        return CatBoostStudy(
            train=train,
            valid=valid,
            edges=self._edges,
            trees=f"{self._scratch}/trees.json",
            parameters=self._parameters,
        )


def _complete(path: str, edges: Matrix) -> None:
    """Give a feature that stands still in `edges` an edge where it stands. It has none in the file,
    and so catboost would make other edges of it for each part of the rows, or drop it from some.
    """
    with open(path, "r+") as file:  # noqa: PTH123, see CatBoost
        known = {int(line.split("\t", 1)[0]) for line in file}
        still = set(range(edges.shape[1])) - known
        file.writelines(f"{column}\t{edges[0, column]!s}\n" for column in sorted(still))


@dataclass(frozen=True, slots=True, kw_only=True)
class CatBoostStudy:
    train: Matrix
    valid: Matrix | None
    edges: str
    trees: str
    parameters: dict[str, Any]

    def fit(
        self, labels: Labels, valid_labels: Labels | None = None, *, rounds: int
    ) -> "CatBoostFitted | Constant":
        if one_sided(labels):
            return Constant.of(labels)
        model = catboost.CatBoost(self.parameters | {"iterations": rounds})
        train = self._binned(self.train, labels)
        if self.valid is None or valid_labels is None:
            model.fit(train)
        else:
            model.fit(
                train,
                eval_set=self._binned(self.valid, valid_labels),
                early_stopping_rounds=_PATIENCE,
                use_best_model=True,
            )
        return CatBoostFitted(model=model, rounds=model.tree_count_, trees=self.trees)

    def _binned(self, rows: Matrix, labels: Labels) -> Any:  # noqa: ANN401, the library has no types
        pool = catboost.Pool(rows, labels)
        pool.quantize(input_borders=self.edges)
        return pool


@dataclass(frozen=True, slots=True, kw_only=True)
class CatBoostFitted:
    model: Any
    rounds: int
    trees: str

    def probabilities(self, rows: Matrix) -> Probabilities:
        known: Probabilities = self.model.predict(
            rows, prediction_type="Probability", thread_count=1
        )
        return known[:, 1]

    def packed(self, depth: int) -> Group:
        self.model.save_model(self.trees, format="json")
        with open(self.trees) as file:  # noqa: PTH123, see CatBoost
            return packing.pack_catboost(json.load(file), depth)

    def native(self) -> bytes:
        """Without what would make the same model another file each time."""
        notes = self.model.get_metadata()
        for name in _CHANCE_NOTES & set(notes.keys()):
            del notes[name]
        self.model.save_model(self.trees, format="cbm")
        with open(self.trees, "rb") as file:  # noqa: PTH123, see CatBoost
            return file.read()
