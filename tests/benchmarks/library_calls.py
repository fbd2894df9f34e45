"""What a job asks of the learning libraries, noted while it runs, to be asked again without it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import catboost
import lightgbm
import xgboost

Train = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One training, and the booster that came of it.

    `watched` does the same again: the same rows, labels and parameters, with early stopping where
    there was some. `bare` boosts as many rounds as were boosted, without looking at other rows.
    """

    booster: Any
    watched: Callable[[], object]
    bare: Callable[[], object]


@contextmanager
def noted() -> Iterator[list[Call]]:
    """The list of trainings begun while the body runs, in their order."""
    calls: list[Call] = []
    with (
        _wrapped(xgboost, "train", lambda train: _xgboost(train, calls)),
        _wrapped(lightgbm, "train", lambda train: _lightgbm(train, calls)),
        _wrapped(catboost.CatBoost, "fit", lambda fit: _catboost(fit, calls)),
    ):
        yield calls


@contextmanager
def _wrapped(owner: Any, name: str, wrap: Callable[[Train], Train]) -> Iterator[None]:
    """`owner`, a module or a class, with another function under the name."""
    before = getattr(owner, name)
    setattr(owner, name, wrap(before))
    try:
        yield
    finally:
        setattr(owner, name, before)


def _xgboost(train: Train, calls: list[Call]) -> Train:
    def noting(parameters: Any, rows: Any, rounds: int, **options: Any) -> Any:
        labelled = _labelled(rows, *(valid for valid, _ in options.get("evals", ())))
        booster = train(parameters, rows, rounds, **options)
        boosted = booster.num_boosted_rounds()
        calls.append(
            Call(
                booster=booster,
                watched=lambda: (labelled(), train(parameters, rows, rounds, **options)),
                bare=lambda: (labelled(), train(parameters, rows, boosted)),
            )
        )
        return booster

    return noting


def _lightgbm(train: Train, calls: list[Call]) -> Train:
    def noting(parameters: Any, rows: Any, rounds: int, **options: Any) -> Any:
        labelled = _labelled(rows, *options.get("valid_sets", ()))
        booster = train(parameters, rows, rounds, **options)
        boosted = booster.current_iteration()
        calls.append(
            Call(
                booster=booster,
                watched=lambda: (labelled(), train(parameters, rows, rounds, **options)),
                bare=lambda: (labelled(), train(parameters, rows, boosted)),
            )
        )
        return booster

    return noting


def _catboost(fit: Train, calls: list[Call]) -> Train:
    def noting(booster: Any, rows: Any, *labels: Any, **options: Any) -> Any:
        parameters = booster.get_params()
        fit(booster, rows, *labels, **options)
        boosted = len(booster.get_evals_result()["learn"]["Logloss"])
        calls.append(
            Call(
                booster=booster,
                watched=lambda: fit(catboost.CatBoost(parameters), rows, *labels, **options),
                bare=lambda: fit(
                    catboost.CatBoost(parameters | {"iterations": boosted}), rows, *labels
                ),
            )
        )
        return booster

    return noting


def _labelled(*matrices: Any) -> Callable[[], None]:
    """Gives matrices that horizons share the labels back that they have now."""
    labels = [(matrix, matrix.get_label()) for matrix in matrices]

    def again() -> None:
        for matrix, theirs in labels:
            matrix.set_label(theirs)

    return again
