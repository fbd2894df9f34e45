"""What a job asks of the learning libraries, noted while it runs, to be asked again without it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import catboost
import lightgbm
import xgboost


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One training, and the booster that came of it.

    `bare` does it again by the library's own training function: the same rows, labels and
    parameters, and as many rounds as were boosted, without a look at other rows.
    """

    booster: Any
    bare: Callable[[], Any]


@contextmanager
def noted() -> Iterator[list[Call]]:
    """The list of trainings begun while the body runs, in their order."""
    calls: list[Call] = []
    with (
        _wrapped(xgboost, "Booster", lambda made: _xgboost(made, calls)),
        _wrapped(lightgbm, "Booster", lambda made: _lightgbm(made, calls)),
        _wrapped(catboost.CatBoost, "fit", lambda fit: _catboost(fit, calls)),
    ):
        yield calls


@contextmanager
def _wrapped(
    owner: Any, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """`owner`, a module or a class, with another function under the name."""
    before = getattr(owner, name)
    setattr(owner, name, wrap(before))
    try:
        yield
    finally:
        setattr(owner, name, before)


def _xgboost(made: Callable[..., Any], calls: list[Call]) -> Callable[..., Any]:
    def noting(parameters: Any, matrices: Any = (), **options: Any) -> Any:
        booster = made(parameters, matrices, **options)
        if matrices:  # none where a booster is read from its file
            rows = matrices[0]
            labels = rows.get_label()

            def bare() -> Any:
                rows.set_label(labels)
                return xgboost.train(parameters, rows, booster.num_boosted_rounds())

            calls.append(Call(booster=booster, bare=bare))
        return booster

    return noting


def _lightgbm(made: Callable[..., Any], calls: list[Call]) -> Callable[..., Any]:
    def noting(parameters: Any = None, rows: Any = None, **options: Any) -> Any:
        booster = made(parameters, rows, **options)
        if rows is not None:
            labels, start = rows.get_label(), rows.get_init_score()

            def bare() -> Any:
                rows.set_label(labels)
                rows.set_init_score(start)
                return lightgbm.train(parameters, rows, booster.current_iteration())

            calls.append(Call(booster=booster, bare=bare))
        return booster

    return noting


def _catboost(fit: Callable[..., Any], calls: list[Call]) -> Callable[..., Any]:
    def noting(booster: Any, rows: Any, *labels: Any, **options: Any) -> Any:
        parameters = booster.get_params()
        fit(booster, rows, *labels, **options)
        boosted = len(booster.get_evals_result()["learn"]["Logloss"])

        def bare() -> Any:
            return fit(catboost.CatBoost(parameters | {"iterations": boosted}), rows, *labels)

        calls.append(Call(booster=booster, bare=bare))
        return booster

    return noting
