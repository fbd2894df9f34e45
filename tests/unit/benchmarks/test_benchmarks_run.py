"""Every benchmark at a size that says nothing but that it runs. No time is judged here."""

import importlib
import math
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.model.features import NAMES, matrix
from shared.model.history import WARMUP
from tests.benchmarks import markets, pair_and_target, pandas_features, report, runs
from tests.benchmarks.markets import Market
from tests.benchmarks.measure import Row, Section, at_least, at_most, paired, times_less, times_more
from tests.benchmarks.plan import Plan
from tests.support.markets import planted_signal

TINY = Plan(
    daily_rows=500,
    quarter_rows=500,
    rounds=5,
    slow_rounds=2,
    turns=1,
    slow_symbols=1,
    exams=2,
    jobs=1,
    messages=5,
    cold=2,
    lease_ttl_s=1,
    rejections=1000,
    walks=3,
    true_symbols=2,
    true_rows=500,
    signal_symbols=1,
    signal_rows=500,
    sockets=4,
    crowd=8,
    seconds=1,
)


@pytest.mark.parametrize(
    "topic",
    [
        "features",
        "job",
        "truth",
        "evolution",
        "drift",
        "pool",
        "serving",
        "cache",
        "bus",
        "signals",
        "books",
        "gateway.http",
        "gateway.lag",
    ],
)
def test_a_benchmark_reports_finite_numbers(topic: str) -> None:
    section: Section = importlib.import_module(f"tests.benchmarks.{topic}").measure(TINY)
    assert section.rows
    for row in section.rows:
        numbers = [row.ours, row.yardstick or 0.0, row.ratio or 0.0]
        assert all(math.isfinite(number) for number in numbers), row


@pytest.mark.skipif(sys.platform != "linux", reason="what a process uses is read from /proc")
def test_the_benchmark_of_memory_sees_the_child_that_trains() -> None:
    section: Section = importlib.import_module("tests.benchmarks.memory").measure(TINY)
    peaks = [row.ours for row in section.rows if "peak" in row.what]
    assert len(peaks) == 4
    assert all(peak > 10 for peak in peaks)


def test_where_series_are_too_few_a_run_is_over_earlier_windows_of_the_same() -> None:
    market = Market(
        source="made up",
        timeframe=Timeframe.M15,
        series={
            Symbol("LONG"): planted_signal(400, strength=0.3),
            Symbol("SHORT"): planted_signal(99, strength=0.3),
        },
    )
    found = dict(runs.windows(market, 100, 3))
    assert {symbol: len(candles) for symbol, candles in found.items()} == {
        "LONG": 400,
        "LONG-2": 300,
        "LONG-3": 200,
    }


def test_the_pandas_yardstick_computes_the_same_features() -> None:
    """Its exponential averages never end, where ours do."""
    candles = planted_signal(400, strength=0.3)
    market = pandas_features.frame(candles)
    theirs = pandas_features.vectorised(market).join(pandas_features.by_window(market))
    assert set(theirs.columns) == set(NAMES)
    endless = {"macd", "macd_histogram", "trix_9", *(n for n in NAMES if "ema" in n)}
    for column, name in zip(matrix(candles).T, NAMES, strict=True):
        values = theirs[name].to_numpy()[WARMUP:]
        if name in endless:
            assert np.corrcoef(values, column)[0, 1] > 0.95, name
        else:
            np.testing.assert_allclose(values, column, rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_yardstick_of_pairs_and_targets_has_the_features_that_are_published() -> None:
    pair, *others = [
        pandas_features.frame(planted_signal(800, strength=0.3, seed=seed, timeframe=Timeframe.M15))
        for seed in range(3)
    ]
    rows = pair_and_target.features(pair, others)
    assert rows.shape == (800 - pair_and_target.WARMUP, 569)
    assert np.isfinite(rows).all()


def test_a_ratio_is_the_median_of_the_turns_so_that_a_slow_turn_does_not_count() -> None:
    pair = paired([(1.0, 10.0), (5.0, 50.0), (1.0, 30.0)])
    assert (pair.ours, pair.yardstick, pair.ratio) == (1.0, 30.0, 10.0)
    assert times_less("", pair, "s").ratio == 10.0
    assert times_more("", pair, "s").ratio == pytest.approx(0.1)


def test_a_goal_is_of_the_ratio_where_there_is_one_and_else_of_the_value() -> None:
    pair = paired([(2.0, 20.0)])
    assert times_less("", pair, "s", at_least(10.0)).met
    assert not times_more("", pair, "s", at_most(0.05)).met
    assert Row(what="", ours=2.0, unit="s", goal=at_most(2.0)).met
    assert Row(what="", ours=2.0, unit="s").met is None


def test_a_window_of_rows_is_asked_for_in_the_days_that_hold_it() -> None:
    candles = planted_signal(300, strength=0.0)
    assert markets.days_of(candles, 100) == 100


def test_the_page_keeps_what_was_not_measured_again(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    for topic, text in (("a", "old a"), ("b", "old b"), ("a", "new a")):
        report.keep(page, topic, text)
    body = page.read_text()
    assert "new a" in body
    assert "old b" in body
    assert "old a" not in body
    assert body.index("new a") < body.index("old b")


def test_a_table_says_what_was_missed() -> None:
    section = Section(
        title="Speed",
        notes=("How.",),
        rows=(times_less("a job", paired([(1.0, 5.0)]), "s", at_least(10.0)),),
    )
    text = report.text(section, "make bench", datetime(2026, 1, 1, tzinfo=UTC))
    assert "| a job | 1 s | 5 s | 5 x | at least 10 x | **no** |" in text
    assert "`make bench`, 2026-01-01 00:00 UTC" in text
