import io
from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console

from evertrain.models import show_model, show_models
from shared.contracts.records import ModelRecord, Verdict
from shared.contracts.symbols import Symbol
from tests.support.gateways import model

NOW = datetime(2026, 11, 22, tzinfo=UTC)
MODEL = model(Symbol("AAPL"), at=NOW)
VERDICT = Verdict(live_version="v0", margin=0.005)


def _shown(record: ModelRecord) -> str:
    out = io.StringIO()
    show_model(record, Console(file=out, width=200), NOW)
    return out.getvalue()


def test_a_roc_auc_is_shown_beside_what_chance_would_get() -> None:
    out = io.StringIO()
    show_models([MODEL], Console(file=out, width=200), NOW)
    heading, *lines = (line.split() for line in out.getvalue().splitlines() if line.strip())
    assert "chance" in heading
    assert any("0.550" in line and "0.500" in line for line in lines)


def test_a_score_is_shown_with_its_interval() -> None:
    assert "0.500-0.600" in _shown(MODEL)


def test_a_score_is_shown_with_what_chance_gets_at_most_and_how_many_rows_rose() -> None:
    said = replace(MODEL.scores[0], roc_auc_null_high=0.613, up_share=0.527)
    shown = _shown(replace(MODEL, scores=(said,)))
    assert "0.613" in shown
    assert "0.527" in shown


def test_a_model_says_how_it_passed_the_gate() -> None:
    assert "the first model" in _shown(MODEL)
    compared = replace(VERDICT, rows=500, excess=-0.0123, excess_low=-0.02)
    assert "-0.0123 nats of log loss against v0, on 500 candles" in _shown(
        replace(MODEL, verdict=compared)
    )
    other = replace(VERDICT, note="it has other horizons: 1, 3")
    assert "not compared with v0: it has other" in _shown(replace(MODEL, verdict=other))
