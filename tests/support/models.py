"""A small model with made-up numbers, in the shape of a real one, and its score."""

import numpy as np

from shared.contracts.records import Score
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Timeframe
from shared.model.artifact import Card, Model, Outlook
from shared.model.features import NAMES, SPEC
from shared.model.forest import Forest
from shared.model.linear import Linear
from shared.model.trial import Trial

BOOSTERS = ("xgboost", "lightgbm", "catboost")


def made_up_model(
    *, horizons: tuple[int, ...] = (1, 3), depth: int = 3, seed: int = 0, spec: str = SPEC
) -> Model:
    rng = np.random.default_rng(seed)
    groups = len(horizons) * len(BOOSTERS)
    trees = rng.integers(1, 5, groups).astype(np.int32)
    count, features = int(trees.sum()), len(NAMES)
    return Model(
        card=Card(
            symbol=Symbol("BTC/USDT"),
            timeframe=Timeframe.M15,
            mode=Mode.FULL,
            candle_at_ms=1_704_067_200_000,
            rows=730,
            spec=spec,
            features=NAMES,
            boosters=BOOSTERS,
            outlooks=tuple(
                Outlook(
                    horizon=horizon,
                    usual_atr_pct=2.0,
                    mean_up_pct=1.5,
                    mean_down_pct=-1.0,
                    low_pct=-2.0,
                    high_pct=2.5,
                    weights=(0.25, 0.25, 0.25, 0.25),
                    slope=1.0,
                    intercept=0.0,
                )
                for horizon in horizons
            ),
            libraries={"numpy": "2.4.6"},
        ),
        forest=Forest(
            depth=depth,
            feature=rng.integers(0, features, (count, 2**depth - 1)).astype(np.uint8),
            threshold=rng.normal(0.0, 0.1, (count, 2**depth - 1)).astype(np.float32),
            leaf=rng.normal(0.0, 0.1, (count, 2**depth)).astype(np.float32),
            trees=trees,
            base=rng.normal(0.0, 0.1, groups),
        ),
        linear=Linear(
            centre=rng.normal(0.0, 0.1, features),
            scale=rng.uniform(0.5, 2.0, features),
            weights=rng.normal(0.0, 0.1, (len(horizons), 1 + features)),
        ),
        trial=Trial(
            at=1_704_067_200_000 - 900_000 * np.arange(20, 0, -1),
            p_up=rng.uniform(0.4, 0.6, (20, len(horizons))).astype(np.float32),
        ),
    )


def made_up_score(*, horizon: int = 1) -> Score:
    """The ensemble's, which says nothing of its slope."""
    return Score(
        horizon=horizon,
        learner="ensemble",
        roc_auc=0.55,
        roc_auc_interval=(0.5, 0.6),
        roc_auc_null=None,
        roc_auc_null_high=None,
        log_loss=0.69,
        brier=0.25,
        calibration_error=0.01,
        accuracy=0.5,
        base_rate=0.5,
        up_share=0.5,
        rows=120,
        effective_rows=120.0,
    )
