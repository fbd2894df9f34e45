import numpy as np
import pytest

from services.trainer.domain.boosters import Constant, boosters
from services.trainer.domain.learners import Booster, Labels, Refresher, effort_for
from services.trainer.domain.packing import forest
from services.trainer.domain.refreshers import MOST_ADDED, refreshers
from shared.model.features import Matrix
from shared.model.odds import sigmoid

EFFORT = effort_for(600, rounds=60)
ROUNDS = 40
ADDED = 5
LIBRARIES = ("xgboost", "lightgbm", "catboost")


def _rows(seed: int, rows: int = 600) -> Matrix:
    return np.random.default_rng(seed).standard_normal((rows, 6)).astype(np.float32)


def _labels(rows: Matrix, *, column: int = 0, share: float = 0.5) -> Labels:
    """The column decides which rows rise, most of the time; `share` of them do."""
    shaken = rows[:, column] + 0.7 * np.random.default_rng(9).standard_normal(len(rows))
    return (shaken > np.quantile(shaken, 1.0 - share)).astype(np.float32)


def _fitted(labels: Labels, *, rounds: int = ROUNDS) -> dict[str, Booster]:
    everything = range(len(labels))
    learners = boosters(_rows(0), labels[:, None], EFFORT, edges=everything)
    return {each.name: each.study(everything).fit(0, rounds=rounds) for each in learners}


def _natives(labels: Labels, *, rounds: int = ROUNDS) -> dict[str, bytes]:
    everything = range(len(labels))
    learners = boosters(_rows(0), labels[:, None], EFFORT, edges=everything)
    return {each.name: each.study(everything).fit(0, rounds=rounds).native() for each in learners}


@pytest.fixture(scope="module")
def natives() -> dict[str, bytes]:
    return _natives(_labels(_rows(0)))


@pytest.fixture(scope="module")
def three() -> dict[str, Refresher]:
    return {each.name: each for each in refreshers(EFFORT, added=ADDED)}


def _loss(booster: Booster, rows: Matrix, labels: Labels) -> float:
    p = booster.probabilities(rows)
    return float(-np.where(labels > 0.5, np.log(p), np.log1p(-p)).mean())


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_refresh_turns_the_model_towards_what_the_recent_rows_say(
    library: str, natives: dict[str, bytes], three: dict[str, Refresher]
) -> None:
    """The market has turned round: what rose falls."""
    recent, new = _rows(1), _rows(2)
    before = three[library].refreshed(natives[library], recent, np.ones(600, np.float32))
    after = three[library].refreshed(natives[library], recent, 1.0 - _labels(recent))
    assert _loss(after, new, 1.0 - _labels(new)) < _loss(before, new, 1.0 - _labels(new)) - 0.1


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_same_rows_give_the_same_bytes(
    library: str, natives: dict[str, bytes], three: dict[str, Refresher]
) -> None:
    recent = _rows(1)
    once, again = (
        three[library].refreshed(natives[library], recent, _labels(recent)).native()
        for _ in range(2)
    )
    assert once == again != natives[library]


def test_the_same_fit_gives_the_same_native_bytes(natives: dict[str, bytes]) -> None:
    assert _natives(_labels(_rows(0))) == natives


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_refreshed_booster_is_packed_exactly(
    library: str, natives: dict[str, bytes], three: dict[str, Refresher]
) -> None:
    recent = _rows(1)
    booster = three[library].refreshed(natives[library], recent, _labels(recent))
    packed = forest([booster.packed(EFFORT.depth)], EFFORT.depth).margins(recent)[:, 0]
    assert np.abs(sigmoid(packed) - booster.probabilities(recent)).max() < 1e-5


@pytest.mark.parametrize(("added", "more"), [(ADDED, ADDED), (10_000, MOST_ADDED)])
def test_only_catboost_gains_trees_and_never_more_than_the_bound(
    added: int, more: int, natives: dict[str, bytes]
) -> None:
    recent = _rows(1)
    made = refreshers(EFFORT, added=added)
    grown = [
        len(each.refreshed(natives[each.name], recent, _labels(recent)).packed(3).leaf)
        for each in made
    ]
    assert grown == [ROUNDS, ROUNDS, ROUNDS + more]


@pytest.mark.parametrize("library", LIBRARIES)
def test_rows_of_one_class_leave_the_trees_as_they_are(
    library: str, natives: dict[str, bytes], three: dict[str, Refresher]
) -> None:
    recent = _rows(1)
    kept = three[library].refreshed(natives[library], recent, np.ones(600, np.float32))
    original = _fitted(_labels(_rows(0)))[library]
    assert np.array_equal(kept.probabilities(recent), original.probabilities(recent))


def test_a_constant_becomes_the_rate_of_the_recent_rows(three: dict[str, Refresher]) -> None:
    recent = _rows(1)
    labels = _labels(recent, share=0.25)
    for each in three.values():
        assert each.refreshed(b"", recent, labels) == Constant(151.0 / 602.0)


@pytest.mark.parametrize("rounds", [4, ROUNDS])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_refresh_keeps_the_rate_of_rises_where_they_are_many(
    library: str, rounds: int, three: dict[str, Refresher]
) -> None:
    """A few rounds are too few to find the rate again, had a refresh lost it."""
    recent = _rows(1)
    natives = _natives(_labels(_rows(0), share=0.9), rounds=rounds)
    refreshed = three[library].refreshed(natives[library], recent, _labels(recent, share=0.9))
    assert refreshed.probabilities(_rows(2)).mean() == pytest.approx(0.9, abs=0.02)
