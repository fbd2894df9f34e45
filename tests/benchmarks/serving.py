"""A packed model against the native libraries, from the file to the probabilities."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import catboost
import lightgbm
import numpy as np
import xgboost

from shared.contracts.terms import Timeframe
from shared.model.artifact import decode
from shared.model.candles import Candles
from shared.model.features import Matrix, matrix
from shared.model.forecast import forecast, probabilities
from shared.model.history import WARMUP
from tests.benchmarks import markets
from tests.benchmarks.jobs import HORIZONS, artifact, job_for
from tests.benchmarks.library_calls import noted
from tests.benchmarks.measure import Row, Section, at_least, at_most, in_turns, times_less, value
from tests.benchmarks.plan import Plan

#: A model in the library's own format, as bytes, and what reads them.
Native = tuple[bytes, Callable[[bytes], Any]]

_BOOSTERS: Final = 3


def measure(plan: Plan) -> Section:
    daily = markets.daily(plan.candles)
    candles = daily.long_enough(markets.with_history(plan.daily_rows))[0]
    packed, natives = trained(candles, plan)
    row = matrix(candles[-WARMUP - 1 :])
    return Section(
        title="Serving",
        notes=(
            f"CPU time of {len(HORIZONS)} horizons and four learners for one row of features: the "
            "packed artifact (checked and evaluated by numpy) against the same boosters in the "
            "libraries' own formats, loaded and asked with one thread.",
            f"Artifact {len(packed) / 1000:.0f} kB, native files "
            f"{sum(len(data) for data, _ in natives) / 1000:.0f} kB; trained on {daily.source}.",
        ),
        rows=_rows(packed, natives, row, candles[-WARMUP - 1 :], plan),
    )


def _rows(
    packed: bytes, natives: list[Native], row: Matrix, newest: Candles, plan: Plan
) -> tuple[Row, ...]:
    model, loaded = decode(packed), [load(data) for data, load in natives]
    times = 50 if plan.turns > 1 else 1
    cold = in_turns(
        lambda: probabilities(decode(packed), row),
        lambda: asked([load(data) for data, load in natives], row),
        turns=plan.turns,
        times=(times, 1),
    )
    warm = in_turns(
        partial(probabilities, model, row),
        partial(asked, loaded, row),
        turns=plan.turns,
        times=(times, times),
    )
    copies = [bytes(bytearray(packed)) for _ in range(plan.cold)]
    many = in_turns(
        lambda: [probabilities(decode(copy), row) for copy in copies],
        lambda: [asked([load(data) for data, load in natives], row) for _ in copies],
        turns=1,
    )
    whole = in_turns(
        partial(forecast, model, newest),
        lambda: asked(loaded, matrix(newest)),
        turns=plan.turns,
        times=(times, times),
    )
    return (
        times_less("load and predict", cold, "us"),
        value("load and predict, alone", cold.ours, "us", at_most(1000)),
        times_less("predict, loaded before", warm, "us", at_least(10.0)),
        value("predict, loaded before, alone", warm.ours, "us", at_most(150)),
        times_less(f"{plan.cold} symbols, load and predict each", many, "s"),
        value(f"{plan.cold} symbols, alone", many.ours, "s", at_most(0.5)),
        times_less("features of the newest candle, and predict", whole, "us"),
    )


def trained(candles: Candles, plan: Plan) -> tuple[bytes, list[Native]]:
    """An artifact, and the boosters that it was packed from."""
    job = job_for(candles, Timeframe.D1, plan.daily_rows, plan.rounds)
    with noted() as calls:
        packed = artifact(job, candles)
    final = [call.booster for call in calls[-len(HORIZONS) * _BOOSTERS :]]
    return packed, [_native(booster) for booster in final]


def _native(booster: Any) -> Native:
    match booster:
        case xgboost.Booster():
            return bytes(booster.save_raw("ubj")), _load_xgboost
        case lightgbm.Booster():
            return booster.model_to_string().encode(), _load_lightgbm
        case _:
            return _saved_catboost(booster), _load_catboost


def _load_xgboost(data: bytes) -> Any:
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(data))
    return booster.inplace_predict


def _load_lightgbm(data: bytes) -> Any:
    booster = lightgbm.Booster(model_str=data.decode())
    return partial(booster.predict, num_threads=1)


def _load_catboost(data: bytes) -> Any:
    model = catboost.CatBoost().load_model(blob=data)
    return partial(model.predict, prediction_type="Probability", thread_count=1)


def _saved_catboost(model: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.cbm"
        model.save_model(str(path))
        return path.read_bytes()


def asked(loaded: list[Any], row: Matrix) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(predict(row)) for predict in loaded]
