import io
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from evertrain import cache, drift, trading
from evertrain.models import show_cleanup, show_model, show_rolled_back, show_tracks
from evertrain.monitor import screenful
from evertrain.output import money, price
from shared.contracts.quality import DriftFinding, DriftReport, Reliability, Scorecard, Track
from shared.contracts.records import (
    CacheReport,
    CleanupReport,
    Pregenerated,
    Pregeneration,
    Problem,
    RolledBack,
)
from shared.contracts.reports import (
    CpuStatus,
    Health,
    Level,
    NatsStatus,
    PaperStatus,
    SystemStatus,
    Usage,
)
from shared.contracts.symbols import Symbol
from shared.contracts.trading import Exit
from tests.support.gateways import model
from tests.support.trading import (
    AT,
    BTC,
    EXPOSURE,
    PROFIT,
    closed_signal,
    open_signal,
    rejection,
)

CACHE = CacheReport(
    instance="predictor@host-1",
    enabled=True,
    ttl_hours=1.0,
    in_memory=545,
    memory_bytes=1_234_567,
    on_disk=545,
    disk_bytes=2_345_678,
    hits_memory=90,
    hits_disk=5,
    misses=5,
    stale=1,
    failures=0,
    hit_rate=0.95,
    oldest_age_s=61.0,
)
DRIFT = DriftReport(
    id="drift-1",
    at=AT,
    symbols=545,
    drifted=1,
    false_alarms=0.05,
    findings=(
        DriftFinding(
            symbol=BTC,
            model_version="v1",
            drifted=True,
            feature_p_value=0.00001,
            outcome_p_value=None,
            features=(),
            note="its features have moved; a training was asked for",
            training_run_id="drift-1-BTC",
        ),
    ),
)
TRACK = Track(
    model_version="v1",
    horizon=7,
    forecasts=200,
    hits=104,
    brier_sum=49.8,
    log_loss_sum=138.0,
    log_loss_square_sum=95.3,
    bins=(Reliability(forecasts=200, p_up_sum=104.0, ups=104),),
    first_at=AT,
    last_at=AT,
)


def shown(show: Callable[[Console], None]) -> str:
    out = io.StringIO()
    show(Console(file=out, width=240))
    return out.getvalue()


@pytest.mark.parametrize(
    ("cents", "said"),
    [
        (0, "0.00"),
        (5, "0.05"),
        (-5, "-0.05"),
        (123_456_789_012_345_678, "1,234,567,890,123,456.78"),
    ],
)
def test_cents_become_money_to_the_cent(cents: int, said: str) -> None:
    assert money(cents) == said


def test_a_gain_is_marked_as_one_where_there_could_be_a_loss() -> None:
    assert (money(1, sign=True), money(-1, sign=True)) == ("+0.01", "-0.01")


def test_a_price_keeps_the_digits_of_its_market() -> None:
    assert (price(104250.5), price(0.00001234), price(None)) == ("104,250.5", "0.00001234", "-")


def test_an_open_signal_shows_its_levels_and_when_it_ends_at_the_latest() -> None:
    text = shown(lambda out: trading.show_signals([open_signal()], out))
    for said in (
        "long",
        "open",
        "104,250.5",
        "106,335.5",
        "102,686.7",
        "3.5x",
        "by 2026-11-20 13:45",
    ):
        assert said in text


def test_a_signal_that_has_ended_shows_how_and_what_it_brought() -> None:
    ended = closed_signal(exit=Exit.STOP_LOSS)
    text = shown(lambda out: trading.show_signals([ended], out))
    assert "stop loss" in text
    assert "+59.20" in text


def test_without_signals_it_says_where_to_look() -> None:
    assert "evertrain rejected" in shown(lambda out: trading.show_signals([], out))


def test_a_rejection_shows_what_the_filter_saw_and_what_it_needed() -> None:
    text = shown(lambda out: trading.show_rejected([rejection()], out))
    for said in ("BTC/USDT", "confidence", "0.5125", "0.55", "net_profit"):
        assert said in text
    assert "no_model" not in text


def test_the_ledger_is_shown_in_money_by_symbol_and_by_day() -> None:
    text = shown(lambda out: trading.show_profit(PROFIT, out))
    for said in ("-1,234.56", "+7.89", "126.00", "45.2 %", "0.91", "2,345.67", "2026-11-20"):
        assert said in text


def test_exposure_is_shown_against_its_cap() -> None:
    text = shown(lambda out: trading.show_exposure(EXPOSURE, out))
    for said in ("open 3,500.00 of at most 200,000.00", "104,260", "104,280", "+7.89"):
        assert said in text


def test_the_cache_shows_how_well_it_serves() -> None:
    text = shown(lambda out: cache.show_info(CACHE, out, AT))
    for said in ("predictor@host-1", "95.0 %", "545 predictions", "100, 1 answered", "1 min 1 s"):
        assert said in text


def test_the_cache_shows_what_is_wrong_with_it_and_what_it_is_busy_with() -> None:
    busy = Pregeneration(running=True, done=100, of=545, failed=2, since=AT - timedelta(seconds=9))
    problem = Problem(code="unavailable", message="the disk is full")
    report = replace(CACHE, pregeneration=busy, problem=problem)
    text = shown(lambda out: cache.show_info(report, out, AT))
    assert "running for 9 s: 100 of 545, 2 failed" in text
    assert "no disk tier: the disk is full" in text


def test_what_was_pregenerated_is_told_with_who_has_no_model() -> None:
    made = Pregenerated(made=500, failed=1, waiting=44, kept=3)
    text = shown(lambda out: cache.show_pregenerated(made, out))
    assert "500 predictions made, 3 were new enough, 1 failed" in text
    assert "44 symbols have no model yet" in text


def test_drift_is_shown_with_how_often_a_check_is_mistaken() -> None:
    text = shown(lambda out: drift.show_report(DRIFT, out))
    for said in ("1 of 545", "5 % of such checks", "BTC/USDT", "yes", "1e-05", "drift-1-BTC"):
        assert said in text


def test_a_report_on_drift_is_limited_to_the_symbols_asked_for() -> None:
    assert drift.limited(DRIFT, None) == drift.limited(DRIFT, [BTC]) == DRIFT
    assert drift.limited(DRIFT, [Symbol("ETH/USDT")]).findings == ()


def test_what_was_served_is_shown_by_how_it_did() -> None:
    scorecard = Scorecard(symbol=BTC, tracks=(TRACK,))
    text = shown(lambda out: show_tracks(scorecard, out))
    for said in ("v1", "200", "52.0 %", "0.249", "0.690"):
        assert said in text
    assert "no prediction" in shown(lambda out: show_tracks(Scorecard(symbol=BTC), out)).lower()


def test_a_model_that_lives_again_says_so() -> None:
    how = RolledBack(at=AT, from_version="v9", by="cli", request_id=None)
    record = replace(model(BTC, at=AT), rolled_back=how)
    assert "instead of v9" in shown(lambda out: show_rolled_back(record, out))
    assert "lives again since 2026-11-20 12:00 instead of v9, asked by cli" in shown(
        lambda out: show_model(record, out, AT)
    )


def test_a_rehearsed_clean_up_says_that_it_was_one() -> None:
    report = CleanupReport(kept=5, deleted=3, freed_bytes=1_500_000, dry_run=True)
    assert "3 files would be deleted, 1.5 MB; 5 kept" in shown(
        lambda out: show_cleanup(report, out)
    )
    done = replace(report, dry_run=False)
    assert "3 files deleted" in shown(lambda out: show_cleanup(done, out))


def test_the_monitor_shows_how_well_the_cache_serves_and_what_paper_earns() -> None:
    usage = Usage(used_pct=1, free_mb=1, total_mb=2)
    status = SystemStatus(
        at=AT,
        version="1",
        services=(),
        nats=NatsStatus(connected=True, round_trip_ms=1.0),
        cpu=CpuStatus(used_pct=1.0, cores=2),
        memory=usage,
        disk=usage,
        cache={"hits": 19.0, "misses": 1.0, "stale": 0.0, "predictions_cached": 4.0},
        queues={},
        lock=None,
        current_run=None,
        coverage=None,
        paper=PaperStatus(
            open_signals=2, trades=42, win_rate=0.5, realised_cents=-123_456, unrealised_cents=789
        ),
        health=Health(level=Level.OK, findings=()),
    )
    text = shown(lambda out: out.print(screenful(status, Path("nowhere"))))
    assert "4 predictions, hit rate 95.0 % of 20 questions to it, 0 answered stale" in text
    assert "2 signals open, +7.89; 42 trades, 50.0 % won, -1,234.56" in text
