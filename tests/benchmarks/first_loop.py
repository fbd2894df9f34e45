"""The loop that a good engineer writes first: the yardstick of a whole job.

Features by pandas, a new matrix for every horizon, fold and library, the libraries' own defaults
(depth 6, all bins), 300 rounds, no early stopping; one thread, as in the jobs that it is compared
with. The scikit-learn wrappers of xgboost and lightgbm cannot be imported without scikit-learn, so
their native interfaces are called with what the wrappers would pass on.
"""

from collections.abc import Callable, Iterator

import catboost
import lightgbm
import numpy as np
import numpy.typing as npt
import xgboost

from shared.model.candles import Candles
from shared.model.features import Matrix
from shared.model.history import WARMUP
from tests.benchmarks import pandas_features

Labels = npt.NDArray[np.float32]

#: A fitted model: rows of features to probabilities.
Fitted = Callable[[Matrix], npt.NDArray[np.float64]]

_FOLDS = 4
_RATE = 0.05


def train(candles: Candles, horizons: tuple[int, ...], rounds: int) -> None:
    """Validate in four expanding folds, then fit on everything."""
    for rows, labels in _known(candles, horizons):
        for train_rows, test_rows in _folds(len(rows)):
            if len(np.unique(labels[train_rows])) < 2:
                continue  # catboost refuses it
            for fit in _LIBRARIES:
                fit(rows[train_rows], labels[train_rows], rounds)(rows[test_rows])
        for fit in _LIBRARIES:
            fit(rows, labels, rounds)


def fitted(candles: Candles, horizons: tuple[int, ...], rounds: int) -> dict[int, list[Fitted]]:
    """The models of each horizon that `train` ends with, without its validation."""
    known = zip(horizons, _known(candles, horizons), strict=True)
    return {
        horizon: [fit(rows, labels, rounds) for fit in _LIBRARIES]
        for horizon, (rows, labels) in known
    }


def foreseen(models: list[Fitted], rows: Matrix) -> npt.NDArray[np.float64]:
    """The mean of the models' probabilities."""
    mean: npt.NDArray[np.float64] = np.mean([model(rows) for model in models], axis=0)
    return mean


def _known(candles: Candles, horizons: tuple[int, ...]) -> Iterator[tuple[Matrix, Labels]]:
    """Features and labels of each horizon; the newest `horizon` rows, whose future is not known,
    are left out.
    """
    features = pandas_features.matrix(candles)[WARMUP:]
    close = candles["close"][WARMUP:]
    return ((features[:-horizon], _rises(close, horizon)) for horizon in horizons)


def _folds(rows: int) -> Iterator[tuple[slice, slice]]:
    size = rows // (_FOLDS + 1)
    for start in range(rows - _FOLDS * size, rows, size):
        yield slice(0, start), slice(start, start + size)


def _rises(close: npt.NDArray[np.float64], horizon: int) -> Labels:
    return (close[horizon:] > close[:-horizon]).astype(np.float32)


def _xgboost(rows: Matrix, labels: Labels, rounds: int) -> Fitted:
    parameters = {"objective": "binary:logistic", "eta": _RATE, "max_depth": 6, "nthread": 1}
    matrix = xgboost.DMatrix(rows, labels, nthread=1)
    booster = xgboost.train(parameters | {"verbosity": 0}, matrix, rounds)
    return lambda unseen: np.asarray(booster.predict(xgboost.DMatrix(unseen, nthread=1)), float)


def _lightgbm(rows: Matrix, labels: Labels, rounds: int) -> Fitted:
    parameters = {"objective": "binary", "learning_rate": _RATE, "max_depth": 6, "num_leaves": 63}
    parameters |= {"num_threads": 1, "verbosity": -1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(rows, labels), rounds)
    return lambda unseen: np.asarray(booster.predict(unseen, num_threads=1), float)


def _catboost(rows: Matrix, labels: Labels, rounds: int) -> Fitted:
    model = catboost.CatBoostClassifier(
        iterations=rounds,
        learning_rate=_RATE,
        depth=6,
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
    )
    model.fit(rows, labels)
    return lambda unseen: np.asarray(model.predict_proba(unseen, thread_count=1)[:, 1], float)


_LIBRARIES = (_xgboost, _lightgbm, _catboost)
