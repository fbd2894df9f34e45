"""Updates as a training child makes them, through `fit`."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.trainer.domain import packing, refreshers, updates
from services.trainer.domain.evidence import MIN_BLOCKS
from services.trainer.domain.failures import Unsound
from services.trainer.domain.jobs import FitJob, FitResult, Inputs
from services.trainer.domain.learners import Booster, Labels
from services.trainer.domain.natives import Base, decode_base
from services.trainer.domain.updates import MARGIN, Recent, behind
from services.trainer.fit import fit
from shared.contracts.errors import CandlesRefused, NotEnoughHistory
from shared.contracts.symbols import Symbol
from shared.contracts.terms import ENSEMBLE, LEARNERS, Mode, Timeframe
from shared.model.artifact import Outlook, decode
from shared.model.candles import Candles
from shared.model.features import Matrix
from shared.model.forecast import forecast
from tests.support.jobs import daily_job
from tests.support.markets import planted_signal, random_walk

HORIZONS = (1, 3)
FULL = daily_job(horizons=HORIZONS, rounds=40)
UPDATE = replace(FULL, mode=Mode.INCREMENTAL, live="v1")
ROWS = 600
MARKET = planted_signal(1000, strength=0.5)


def _run(job: FitJob, candles: Candles, *, base: bytes = b"", rival: bytes = b"") -> FitResult:
    return fit(job, Inputs(candles=candles.tobytes(), base=base, rival=rival), lambda *_: None)


@pytest.fixture(scope="module")
def full() -> FitResult:
    return _run(FULL, MARKET[:ROWS])


def _update(full: FitResult, rows: int, job: FitJob = UPDATE) -> FitResult:
    return _run(job, MARKET[:rows], base=full.native, rival=full.artifact)


def _trees(result: FitResult) -> list[int]:
    trees: list[int] = decode(result.artifact).forest.trees.tolist()
    return trees


def test_an_update_says_what_it_is(full: FitResult) -> None:
    updated = _update(full, ROWS + 60)
    card = decode(updated.artifact).card
    assert updated.mode is card.mode is Mode.INCREMENTAL
    assert updated.note is None
    assert (updated.horizons, updated.dropped) == (HORIZONS, ())
    assert updated.candle_at_ms == card.candle_at_ms == MARKET["at"][ROWS + 59]
    assert updated.native == b""


def test_the_same_candles_and_base_give_the_same_bytes(full: FitResult) -> None:
    assert _update(full, ROWS + 60) == _update(full, ROWS + 60)


def test_an_updates_intervals_know_the_newest_candles(full: FitResult) -> None:
    """The newest ten weeks move three times as far as anything before."""
    wilder = MARKET[: ROWS + 70].copy()
    for name in ("open", "high", "low", "close"):
        usual = wilder[name] / wilder["close"][ROWS - 1]
        wilder[name] = np.where(np.arange(len(wilder)) < ROWS, usual, usual**3)
    updated = _run(UPDATE, wilder, base=full.native)
    for before, after in zip(_outlooks(full), _outlooks(updated), strict=True):
        assert after.low_pct < before.low_pct
        assert after.high_pct > before.high_pct


def _outlooks(result: FitResult) -> tuple[Outlook, ...]:
    return decode(result.artifact).card.outlooks


def test_an_update_that_is_not_packed_exactly_fails_the_job(
    full: FitResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = packing.pack_lightgbm

    def inexact(booster: Any, depth: int, *, base: float) -> packing.Group:
        group = exact(booster, depth, base=base)
        return replace(group, base=group.base + 1e-4)

    monkeypatch.setattr(packing, "pack_lightgbm", inexact)
    with pytest.raises(Unsound, match="lightgbm"):
        _update(full, ROWS + 60)


def test_a_full_training_gives_the_same_native_bytes(full: FitResult) -> None:
    assert _run(FULL, MARKET[:ROWS]).native == full.native


def test_an_update_has_the_trees_of_its_base_and_a_few_more_of_catboost(full: FitResult) -> None:
    xgboost, lightgbm, catboost = _trees(full)[:3]
    assert _trees(_update(full, ROWS + 60))[:3] == [xgboost, lightgbm, catboost + 5]


@pytest.mark.parametrize(("before", "added"), [(0, 5), (2, 15), (5, 30), (49, 30), (9999, 30)])
def test_trees_never_grow_beyond_the_base_and_thirty(
    full: FitResult, before: int, added: int
) -> None:
    updated = _update(full, ROWS + 10, replace(UPDATE, updates=before))
    grown = np.subtract(_trees(updated), _trees(full))
    assert grown.tolist() == [0, 0, added] * len(HORIZONS)


def test_an_update_learns_what_came_after_its_base(full: FitResult) -> None:
    """The newest candles decide what it says, and the base alone does not."""
    other = MARKET[: ROWS + 100].copy()
    other["close"][ROWS:] = other["close"][ROWS:][::-1]
    other["high"][ROWS:] = np.maximum(other["open"], other["close"])[ROWS:] * 1.01
    other["low"][ROWS:] = np.minimum(other["open"], other["close"])[ROWS:] / 1.01
    changed = _run(UPDATE, other, base=full.native)
    now = MARKET[: ROWS + 100]
    ours = forecast(decode(_update(full, ROWS + 100).artifact), now)
    assert ours != forecast(decode(changed.artifact), now)
    assert ours != forecast(decode(full.artifact), now)


def test_an_update_is_judged_on_rows_that_it_was_made_without(full: FitResult) -> None:
    """Its trial ends with the newer half of the rows that its base has not seen either."""
    updated = decode(_update(full, ROWS + 60).artifact)
    newer = updated.trial.at > decode(full.artifact).card.candle_at_ms
    assert newer.sum() == (60 - 3) // 2
    assert updated.trial.at[-1] == MARKET["at"][ROWS + 60 - 3 - 1]
    assert len(updated.trial.at) == len(decode(full.artifact).trial.at)


def test_the_ensembles_scores_are_those_of_the_trial(full: FitResult) -> None:
    updated = _update(full, ROWS + 60)
    trial = decode(updated.artifact).trial
    place = np.searchsorted(MARKET["at"], trial.at)
    for column, horizon in enumerate(HORIZONS):
        rose = MARKET["close"][place + horizon] > MARKET["close"][place]
        p = trial.p_up[:, column].astype(np.float64)
        (score,) = (s for s in updated.scores if s.learner == ENSEMBLE and s.horizon == horizon)
        assert score.rows == len(place)
        assert score.log_loss == pytest.approx(-np.log(np.where(rose, p, 1.0 - p)).mean())
    assert [s for s in updated.scores if s.learner in LEARNERS] == [
        s for s in full.scores if s.learner in LEARNERS
    ]


def test_without_a_new_row_that_could_judge_it_the_scores_are_the_bases(full: FitResult) -> None:
    updated = _update(full, ROWS + 3)
    assert updated.mode is Mode.INCREMENTAL
    assert updated.scores == full.scores
    assert updated.verdict is not None
    assert updated.verdict.note == "no candle is unknown to both"


def test_an_update_is_compared_with_the_live_model(full: FitResult) -> None:
    verdict = _update(full, ROWS + 120).verdict
    assert verdict is not None
    assert verdict.live_version == "v1"
    assert verdict.rows == 30
    assert not verdict.refused


@contextmanager
def _noting_what_is_learnt(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """The number of rows and the last label of each refresh of an xgboost model."""
    learnt: list[tuple[int, int]] = []
    original = refreshers.XGBoost.refreshed

    def noting(self: refreshers.XGBoost, native: bytes, rows: Matrix, labels: Labels) -> Booster:
        learnt.append((len(rows), int(labels[-1])))
        return original(self, native, rows, labels)

    with monkeypatch.context() as patch:
        patch.setattr(refreshers.XGBoost, "refreshed", noting)
        yield learnt


def test_each_horizon_is_learnt_up_to_its_own_last_label(
    full: FitResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _noting_what_is_learnt(monkeypatch) as learnt:
        job = replace(UPDATE, plan=replace(FULL.plan, recent_rows=300))
        _update(full, ROWS + 60, job)
    close = MARKET["close"][: ROWS + 60]
    served = [(300 - h, int(close[-1] > close[-1 - h])) for h in HORIZONS]
    assert learnt[-2:] == served


def _recent(rows: int, unseen: int, horizons: tuple[int, ...] = (1, 30)) -> Recent:
    return Recent(
        at=np.arange(rows, dtype=np.int64),
        features=np.zeros((rows, 1), np.float32),
        labels=np.zeros((rows, len(horizons)), np.float32),
        horizons=horizons,
        window=200,
        unseen=unseen,
    )


@pytest.mark.parametrize(
    ("unseen", "most", "judged"),
    [(0, 50, (270, 270)), (30, 50, (270, 270)), (70, 50, (250, 270)), (230, 50, (220, 270))],
)
def test_a_block_is_the_newer_half_of_what_the_base_has_not_seen(
    unseen: int, most: int, judged: tuple[int, int]
) -> None:
    block = _recent(300, unseen).block(most)
    assert (block.start, block.stop) == judged


@pytest.mark.parametrize("end", [100, 250, 300])
@pytest.mark.parametrize("horizon", [1, 30])
def test_no_label_looks_beyond_the_end_of_what_is_learnt(end: int, horizon: int) -> None:
    learnt = _recent(300, 0).learnt(end, horizon)
    assert learnt.stop - 1 + horizon < end
    assert learnt.start == max(end - 200, 0)


# A base that cannot be started from


def _symbol(full: FitResult) -> tuple[FitJob, Candles, bytes]:
    return replace(UPDATE, symbol=Symbol("OTHER")), MARKET, full.native


def _timeframe(full: FitResult) -> tuple[FitJob, Candles, bytes]:
    return replace(UPDATE, timeframe=Timeframe.H4), MARKET, full.native


def _horizons(full: FitResult) -> tuple[FitJob, Candles, bytes]:
    return replace(UPDATE, horizons=(1, 3, 7)), MARKET[: ROWS + 30], full.native


def _missing(_: FitResult) -> tuple[FitJob, Candles, bytes]:
    return UPDATE, MARKET[: ROWS + 30], b""


def _damaged(full: FitResult) -> tuple[FitJob, Candles, bytes]:
    return UPDATE, MARKET[: ROWS + 30], full.native[:-1] + b"!"


def _artifact(full: FitResult) -> tuple[FitJob, Candles, bytes]:
    return UPDATE, MARKET[: ROWS + 30], full.artifact


def _old(full: FitResult) -> tuple[FitJob, Candles, bytes]:
    plan = replace(FULL.plan, recent_rows=300)
    return replace(UPDATE, plan=plan), MARKET[: ROWS + 151], full.native


REFUSED = {
    _symbol: "of BTC/USDT at 1d",
    _timeframe: "of BTC/USDT at 1d",
    _horizons: r"other horizons: \(1, 3\)",
    _missing: "there is no base",
    _damaged: "damaged",
    _artifact: "not a base",
    _old: "too old: 151 candles are newer, of the 300",
}


@pytest.mark.parametrize("reason", REFUSED, ids=lambda reason: reason.__name__)
def test_without_a_base_to_start_from_it_trains_in_full_and_says_so(
    reason: Callable[[FitResult], tuple[FitJob, Candles, bytes]], full: FitResult
) -> None:
    job, candles, base = reason(full)
    job = replace(job, plan=replace(job.plan, min_days=30))
    result = _run(job, candles, base=base)
    assert result.mode is decode(result.artifact).card.mode is Mode.FULL
    assert result.native
    assert result.note is not None
    assert result.note.startswith("trained in full: ")
    assert re.search(REFUSED[reason], result.note), result.note


def test_a_base_of_other_libraries_or_features_is_none(
    full: FitResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(updates, "versions", lambda: {"xgboost": "9"})
        note = _update(full, ROWS + 30).note
        assert note is not None
        assert "versions of the libraries" in note
    with monkeypatch.context() as patch:
        patch.setattr(updates, "SPEC", "other")
        note = _update(full, ROWS + 30).note
        assert note is not None
        assert "other features" in note


def test_an_update_refuses_what_a_full_training_refuses(full: FitResult) -> None:
    with pytest.raises(NotEnoughHistory, match="candles of BTC/USDT"):
        _update(full, 7)
    nan = MARKET[: ROWS + 30].copy()
    nan["low"][ROWS] = np.nan
    with pytest.raises(CandlesRefused):
        _run(UPDATE, nan, base=full.native)


# When it is time for a full training


def _judged(full: FitResult, p_up: float, rows: int = 40) -> tuple[Recent, slice, Base, np.ndarray]:
    """Rows of a random walk, and an update that foretold `p_up` of the truth of every one."""
    rng = np.random.default_rng(3)
    labels = (rng.random((rows, 2)) < 0.5).astype(np.float32)
    base = decode_base(full.native)
    features = np.zeros((rows, len(base.model.card.features)), np.float32)
    recent = replace(
        _recent(rows, rows, HORIZONS), labels=labels, features=features, at=np.arange(rows)
    )
    said = np.where(labels > 0.5, p_up, 1.0 - p_up)
    return recent, slice(0, rows), base, said + rng.normal(0.0, 1e-3, said.shape)


def test_an_update_that_is_as_good_as_its_base_asks_for_nothing(full: FitResult) -> None:
    assert behind(*_judged(full, 0.55)) is None


def test_an_update_that_loses_more_than_its_base_asks_for_a_full_training(full: FitResult) -> None:
    said = behind(*_judged(full, 0.3))
    assert said is not None
    assert f"{MARGIN:g} is allowed" in said


def test_too_few_rows_are_no_reason_to_ask(full: FitResult) -> None:
    assert behind(*_judged(full, 0.3, rows=MIN_BLOCKS - 1)) is None


def test_a_market_that_turns_round_makes_the_update_ask_for_a_full_training() -> None:
    """What foretold a rise foretells a fall: nothing in the base is true any more."""
    before = planted_signal(700, strength=1.5)
    after = planted_signal(300, strength=-1.5, seed=1)
    after["at"] += 700 * Timeframe.D1.ms
    for name in ("open", "high", "low", "close"):
        after[name] *= before["close"][-1] / 100.0
    full = _run(FULL, before)
    updated = _run(UPDATE, np.concatenate([before, after[:120]]), base=full.native)
    assert updated.needs_full
    assert updated.note is not None
    assert "a full training is due" in updated.note


# Many updates


def test_after_fifty_updates_a_model_is_as_good_as_a_full_one_and_hardly_larger() -> None:
    """Each update starts where its base does, so that fifty are no worse than one."""
    market = planted_signal(900 + 400, strength=0.8, seed=7)
    job = replace(FULL, plan=replace(FULL.plan, days_back=2000))
    full = _run(job, market[:900])
    now = market[: 900 + 50]
    fiftieth = _run(replace(UPDATE, updates=49, plan=job.plan), now, base=full.native)
    assert sum(_trees(fiftieth)) <= sum(_trees(full)) + 30 * len(HORIZONS)
    refit = _run(job, now)
    for ours, yardstick in zip(_losses(fiftieth, market), _losses(refit, market), strict=True):
        assert ours < yardstick + 0.01


def _losses(result: FitResult, market: Candles) -> list[float]:
    """On the candles from the 960th on, which no model here has seen, per horizon."""
    rows = range(960, len(market) - HORIZONS[-1])
    said = np.array(
        [
            [each.p_up for each in forecast(decode(result.artifact), market[row - 120 : row + 1])]
            for row in rows
        ]
    )
    close, start = market["close"], np.array(rows)
    rose = np.stack([close[start + h] > close[start] for h in HORIZONS], axis=1)
    losses: list[float] = (-np.log(np.where(rose, said, 1.0 - said))).mean(axis=0).tolist()
    return losses


def test_an_update_of_noise_claims_nothing() -> None:
    walk = random_walk(700, seed=5)
    full = _run(FULL, walk[:600])
    said = forecast(decode(_run(UPDATE, walk, base=full.native).artifact), walk)
    assert all(abs(each.p_up - 0.5) < 0.15 for each in said)
