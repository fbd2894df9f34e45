import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rich.console import Console

from evertrain.candles import show_summaries
from shared.contracts.records import CandleSummary, Problem
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
AWAY = Problem(code="unavailable", message="binance wants no requests before 12:30:00 UTC")
SERIES = CandleSummary(
    symbol=Symbol("BTC/USDT"),
    timeframe=Timeframe.M15,
    first=NOW - timedelta(days=180),
    last=NOW - timedelta(minutes=30),
    rows=17_000,
    gaps=3,
    lag_s=900,
    last_error=AWAY,
    last_error_at=NOW - timedelta(minutes=5),
)


def _shown(series: CandleSummary) -> str:
    out = io.StringIO()
    show_summaries([series], Console(file=out, width=200), NOW)
    return out.getvalue()


def test_what_stands_in_the_way_is_shown_with_its_age() -> None:
    assert f"{AWAY.message} (5 min ago)" in _shown(replace(SERIES, error=AWAY))


def test_what_is_over_is_not_shown_any_more() -> None:
    assert "binance" not in _shown(SERIES)
