import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pytest

from services.trainer.domain.basic import Basic
from services.trainer.domain.boosters import MIN_MINORITY, Constant, boosters
from services.trainer.domain.learners import Booster, BoosterLearner, Labels, Learner, effort_for
from services.trainer.domain.scores import log_loss
from shared.model.features import Matrix

EFFORT = effort_for(400, rounds=60)
ALL = range(400)


def _rows(seed: int, rows: int = 400) -> Matrix:
    return np.random.default_rng(seed).standard_normal((rows, 6)).astype(np.float32)


def _labels(rows: Matrix, *, noise: float = 0.5) -> np.ndarray:
    shaken = rows[:, 0] + noise * np.random.default_rng(9).standard_normal(len(rows))
    return (shaken > 0).astype(np.float32)


def _boosters(features: Matrix, *labels: Labels, edges: range = ALL) -> tuple[BoosterLearner, ...]:
    return boosters(features, np.stack(labels, axis=1), EFFORT, edges=edges)


def test_every_learner_learns_what_is_there() -> None:
    train, new = _rows(0), _rows(1)
    three = _boosters(train, _labels(train))
    everyone: tuple[Learner, ...] = (*three, Basic(train, _labels(train)[:, None]))
    for learner in everyone:
        said = learner.study(ALL).fit(0, rounds=60).probabilities(new)
        assert ((said > 0.5) == (new[:, 0] > 0)).mean() > 0.85, learner.name


def test_learning_stops_early_where_validation_rows_contradict() -> None:
    rows = _rows(0, rows=500)
    train, valid = ALL, range(400, 500)
    true, false = _labels(rows), _labels(rows)
    false[400:] = 1 - false[400:]
    three = _boosters(rows, true, false)
    for learner in three:
        study = learner.study(train, valid)
        borne_out, contradicted = (study.fit(column, rounds=60).rounds for column in (0, 1))
        assert 1 <= contradicted < 5 < borne_out <= 60, learner.name


def test_the_rounds_that_are_kept_are_those_that_the_validation_rows_bear_out_best() -> None:
    """Fewer rounds and more are worse on them, as the boosters themselves say."""
    rows = _rows(0, rows=500)
    labels = _labels(rows, noise=2.0)
    three = _boosters(rows, labels)
    for learner in three:
        study = learner.study(ALL, range(400, 500))
        kept = study.fit(0, rounds=60).rounds
        plain = learner.study(ALL)
        losses = [
            log_loss(labels[400:], plain.fit(0, rounds=rounds).probabilities(rows[400:]))
            for rounds in range(max(kept - 2, 1), kept + 3)
        ]
        assert min(losses) == losses[min(kept - 1, 2)], learner.name


def test_horizons_that_share_a_study_do_not_disturb_each_other() -> None:
    train = _rows(0)
    one, other = _labels(train), 1 - _labels(train, noise=2.0)
    for learner, lone in zip(_boosters(train, other, one), _boosters(train, one), strict=True):
        shared = learner.study(ALL)
        shared.fit(0, rounds=20)
        after = shared.fit(1, rounds=20).probabilities(train)
        alone = lone.study(ALL).fit(0, rounds=20).probabilities(train)
        assert np.array_equal(after, alone), learner.name


def test_only_the_rows_that_it_is_told_of_teach_a_booster() -> None:
    """And the edges: the same, whatever the other rows and their labels are."""
    rows, train = _rows(0), range(300)
    altered = rows.copy()
    altered[300:] = 7.0
    labels = _labels(rows)
    wrong = np.concatenate([labels[:300], 1 - labels[300:]])
    three, others = _boosters(rows, labels, edges=train), _boosters(altered, wrong, edges=train)
    for learner, other in zip(three, others, strict=True):
        said, same = (each.study(train).fit(0, rounds=20) for each in (learner, other))
        assert np.array_equal(said.probabilities(rows), same.probabilities(rows)), learner.name


@pytest.mark.parametrize("minority", [0, MIN_MINORITY - 1])
def test_rows_of_one_class_teach_a_booster_the_rate_and_nothing_else(minority: int) -> None:
    train = _rows(0)
    labels = np.ones(len(train), np.float32)
    labels[:minority] = 0.0
    three = _boosters(train, labels)
    for learner in three:
        fitted: Booster = learner.study(ALL).fit(0, rounds=60)
        assert fitted == Constant((401.0 - minority) / 402.0)


def test_rows_that_bear_no_tree_stop_lightgbm_at_one() -> None:
    """Forty rows cannot be split into leaves of twenty when it looks at four fifths of them."""
    few = _rows(0, rows=60)
    _, learner, _ = _boosters(few, _labels(few), edges=range(40))
    fitted = learner.study(range(40), range(40, 60)).fit(0, rounds=60)
    assert fitted.rounds == 1
    assert np.ptp(fitted.probabilities(few)) == 0.0


@pytest.mark.parametrize(
    ("written_by", "name"),
    [(catboost.Pool, "save_quantization_borders"), (catboost.CatBoost, "save_model")],
)
def test_no_file_is_left_of_a_fit_that_is_killed(
    written_by: type[Any], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even while a file is being written is there a name for it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    write, named = getattr(written_by, name), []

    def watched(*args: Any, **options: Any) -> None:
        write(*args, **options)
        named.append(list(tmp_path.iterdir()))

    monkeypatch.setattr(written_by, name, watched)
    rows = _rows(0)
    *_, learner = _boosters(rows, _labels(rows))
    learner.study(ALL).fit(0, rounds=5).packed(EFFORT.depth)
    assert named == [[]]


def test_catboost_fails_at_once_where_no_thread_fits_under_the_memory_cap() -> None:
    """It would wait for ever for a thread that cannot start."""
    ended = subprocess.run(  # in a process of its own: a cap cannot be taken back
        [sys.executable, "-c", _CAPPED],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "MemoryError" in ended.stderr


_CAPPED = """
import resource

import numpy as np
import psutil

from services.trainer.domain.boosters import boosters, reserve
from services.trainer.domain.learners import effort_for

reserve()
rows = np.random.default_rng(0).standard_normal((400, 6)).astype(np.float32)
labels = (rows[:, :1] > 0).astype(np.float32)
_, _, catboost = boosters(rows, labels, effort_for(400, rounds=5), edges=range(400))
cap = psutil.Process().memory_info().data + (4 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (cap, resource.RLIM_INFINITY))
catboost.study(range(300)).fit(0, rounds=5)
"""


def test_the_basic_model_is_where_the_penalised_likelihood_is_flat() -> None:
    """At the optimum a small step in any weight changes the loss only in second order."""
    train = _rows(0)
    fitted = Basic(train, _labels(train)[:, None]).study(ALL).fit(0, rounds=1)
    scores = np.clip((train - train.mean(0)) / train.std(0), -5, 5)
    truth = (_labels(train) * 400 + 1) / 402

    def loss(weights: np.ndarray) -> float:
        p = 1 / (1 + np.exp(-(weights[0] + scores @ weights[1:])))
        likelihood = truth * np.log(p) + (1 - truth) * np.log(1 - p)
        return float(50.0 * (weights[1:] ** 2).sum() - likelihood.sum())

    for direction in np.eye(7):
        slope = (loss(fitted.weights + 1e-4 * direction) - loss(fitted.weights)) / 1e-4
        assert slope == pytest.approx(0.0, abs=0.05)


def test_a_feature_that_stands_still_is_worth_nothing_to_the_basic_model() -> None:
    train = _rows(0)
    train[:, 3] = 7.0
    fitted = Basic(train, _labels(train)[:, None]).study(ALL).fit(0, rounds=1)
    assert fitted.weights[4] == pytest.approx(0.0, abs=1e-12)
    assert np.all(np.isfinite(fitted.probabilities(train)))
