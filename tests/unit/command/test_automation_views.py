import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from evertrain.automation import (
    assigned,
    show_configuration,
    show_started,
    show_status,
    show_stopped,
)
from evertrain.universe import show_universe
from services.scheduler.domain.configuration import beginning, report
from shared.contracts.configuration import Configuration
from shared.contracts.errors import InvalidSetting
from shared.contracts.records import Coverage, Started, Stopped, TrainingStatus, Universe
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Status, Timeframe
from shared.contracts.trading import EvolvedParameters, SignalParameters
from tests.support.attempts import BETTER, attempt
from tests.support.coordination import run_record

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FIRST = beginning(Configuration(), NOW)
IDLE = TrainingStatus(
    enabled=False,
    next_run_at=None,
    last_run=None,
    current_run=None,
    lock=None,
    coverage=Coverage(symbols=3, fresh=1, stale=0, missing=2, oldest_age_days=1.0),
    success_rate=None,
)


def shown(show: Callable[[Console], None]) -> str:
    out = io.StringIO()
    show(Console(file=out, width=200))
    return out.getvalue()


def line_of(text: str, heading: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(heading))


def test_assignments_become_values() -> None:
    assert assigned(["train_epochs=300", "enabled=true", "symbols=AAPL,BRK-B"]) == {
        "train_epochs": 300,
        "enabled": True,
        "symbols": ["AAPL", "BRK-B"],
    }


def test_a_value_may_hold_what_separates_it_from_its_name() -> None:
    assert assigned(["full_retrain_schedule = 0 2 * * 0"]) == {"full_retrain_schedule": "0 2 * * 0"}
    assert assigned(["schedule_timezone=a=b"]) == {"schedule_timezone": "a=b"}


def test_what_is_no_assignment_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="NAME=VALUE"):
        assigned(["train_epochs"])


def test_a_configuration_is_shown_with_who_changed_what() -> None:
    second = replace(FIRST, revision=2, changed_by="cli", train_days_back=730, enabled=True)
    text = shown(lambda out: show_configuration(report(second, [FIRST, second]), out))
    assert line_of(text, "train_days_back").split() == ["train_days_back", "730"]
    assert "revision 2, from cli" in text
    (change,) = [line.split() for line in text.splitlines() if "cli" in line and "730" in line]
    assert change[-3:] == ["train_days_back", "-", "730"]
    assert "false" in text
    assert "true" in line_of(text, "enabled")


def test_a_configuration_that_nobody_changed_has_no_history() -> None:
    text = shown(lambda out: show_configuration(report(FIRST, [FIRST]), out))
    assert "revision 1, from the settings" in text
    assert "Old" not in text


def test_of_signal_parameters_those_are_shown_that_are_not_the_defaults() -> None:
    evolved = EvolvedParameters(
        symbol=Symbol("BTC/USDT"),
        parameters=BETTER,
        token=2,
        epoch="one",
        history=(attempt("full-2"),),
    )
    default = replace(evolved, symbol=Symbol("AAPL"), parameters=SignalParameters(), history=())
    text = shown(lambda out: show_configuration(report(FIRST, [FIRST], [default, evolved]), out))
    assert "of 2 symbols whose parameters were searched for, 1 follow others" in text
    line = line_of(text, "BTC/USDT")
    assert line.split()[1:5] == ["3.0", "2.0", "0.54", "14"]
    assert attempt("full-2").note in line
    assert "AAPL" not in text


def test_an_idle_automation_says_so() -> None:
    text = shown(lambda out: show_status(IDLE, out, NOW))
    assert "rests" in line_of(text, "automation")
    assert "1 fresh, 0 stale, 2 missing" in text


def test_the_last_run_is_shown_with_its_outcome_and_age() -> None:
    finished_at = NOW - timedelta(minutes=3)
    run = replace(run_record(), status=Status.FAILED, finished_at=finished_at)
    text = shown(lambda out: show_status(replace(IDLE, enabled=True, last_run=run), out, NOW))
    assert "runs" in line_of(text, "automation")
    assert "full-1 failed, 3 min ago" in line_of(text, "last run")


def test_a_start_and_a_stop_name_their_runs() -> None:
    started = Started(
        status="started",
        symbols=(),
        timeframe=Timeframe.D1,
        quick_mode=False,
        run_id="start-1",
        message="it runs",
    )
    assert "run start-1" in shown(lambda out: show_started(started, out))
    stopped = Stopped(cancelled=("start-1", "full-2"), message="it rests")
    assert "start-1, full-2" in shown(lambda out: show_stopped(stopped, out))


def test_symbols_are_shown_with_who_chose_them() -> None:
    universe = Universe(
        symbols=(Symbol("AAPL"),), timeframe=Timeframe.D1, horizons=(1,), chosen_by="people"
    )
    text = shown(lambda out: show_universe(universe, out))
    assert "AAPL" in text
    assert "1 symbols of 1d candles, chosen by people" in text
