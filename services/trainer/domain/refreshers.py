"""Boosters of a full model brought up to date: with the same trees, or with a few more.

Learning on and on from the newest rows alone destroys a model (ROC AUC 0.66 to 0.53 in 48 rounds of
it). So an update always begins at the full model, whatever updates there were before. Where the
library can, leaves are estimated anew on recent rows and the trees stay what they are; catboost
cannot, and is given a few trees more.
"""

from typing import ClassVar, Final

import catboost
import lightgbm
import numpy as np
import xgboost

from services.trainer.domain.boosters import (
    AVERAGE,
    XGBOOST,
    CatBoostFitted,
    Constant,
    LightGBMFitted,
    XGBoostFitted,
    boost,
    catboost_parameters,
    one_sided,
)
from services.trainer.domain.learners import Booster, Effort, Labels, Refresher
from shared.model.features import Matrix

#: More trees than this an update never adds to the full model, however many updates went before.
MOST_ADDED: Final = 30

#: How much of a lightgbm leaf stays what it was.
_DECAY: Final = 0.5

_REFRESH: Final = {"process_type": "update", "updater": "refresh", "refresh_leaf": True}

#: What a refit needs to know. The model brings a hundred parameters of its making, which would be
#: copied over and over. A refit looks at labels leaf by leaf, and not at the bins that are made for
#: it all the same: so they are few, and made of a few rows.
_REFIT: Final = {
    "objective": "binary",
    "num_threads": 1,
    "verbosity": -1,
    "max_bin": 2,
    "min_data_in_bin": 1,
    "linear_tree": False,
    "enable_bundle": False,
}
_BINNED_ROWS: Final = 8


def refreshers(effort: Effort, *, added: int) -> tuple[Refresher, ...]:
    """The three, for boosters made with this effort; `added` trees where trees are added."""
    return XGBoost(), LightGBM(), CatBoost(effort, min(added, MOST_ADDED))


class XGBoost:
    name: ClassVar[str] = "xgboost"

    def refreshed(self, native: bytes, rows: Matrix, labels: Labels) -> Booster:
        """New values for all leaves. On plain rows: quantised ones would need the bins of the full
        model, and with others it silently gives other numbers.
        """
        if not native:
            return Constant.of(labels)
        base = xgboost.Booster({"nthread": 1}, model_file=bytearray(native))
        rounds = base.num_boosted_rounds()
        if one_sided(labels):
            return XGBoostFitted(booster=base, rounds=rounds)
        base.set_param(XGBOOST | _REFRESH)
        plain = xgboost.DMatrix(rows, labels, nthread=1)
        for number in range(rounds):
            boost(base, number, plain)
        return XGBoostFitted(booster=base, rounds=rounds)


class LightGBM:
    name: ClassVar[str] = "lightgbm"

    def refreshed(self, native: bytes, rows: Matrix, labels: Labels) -> Booster:
        """Leaves half way between what they were and what the rows ask for."""
        if not native:
            return Constant.of(labels)
        (average,) = AVERAGE.unpack_from(native)
        booster = lightgbm.Booster(model_str=native[AVERAGE.size :].decode())
        rounds = booster.current_iteration()
        if not one_sided(labels):
            booster.params = _REFIT
            few = lightgbm.Dataset(rows[:_BINNED_ROWS], params=_REFIT)
            booster = booster.refit(
                rows,
                labels,
                reference=few,
                dataset_params=_REFIT,
                decay_rate=_DECAY,
                init_score=np.full(len(rows), average),
                num_threads=1,
            )
        return LightGBMFitted(booster=booster, rounds=rounds, average=average)


class CatBoost:
    name: ClassVar[str] = "catboost"

    def __init__(self, effort: Effort, added: int) -> None:
        self._parameters = catboost_parameters(effort) | {
            "iterations": added,
            "boost_from_average": False,  # the base has done so
        }

    def refreshed(self, native: bytes, rows: Matrix, labels: Labels) -> Booster:
        """The same trees, and some more that learn from the rows what those got wrong."""
        if not native:
            return Constant.of(labels)
        model = base = catboost.CatBoost().load_model(blob=native)
        if not one_sided(labels):
            model = catboost.CatBoost(self._parameters)
            model.fit(catboost.Pool(np.asfortranarray(rows), labels), init_model=base)
        return CatBoostFitted(model=model, rounds=model.tree_count_)
