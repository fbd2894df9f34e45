"""The names of the contract, copied by hand: a change here is a change for every user."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import subjects
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source
from tests.contract.wire import decode, golden_files, read

_TOKENS = re.compile(r"[A-Za-z0-9_=-]+(\.[A-Za-z0-9_=-]+)*")

EVENT_SUBJECTS = {
    "run.requested": "evertrain.event.run.requested",
    "run.started": "evertrain.event.run.started",
    "run.progressed": "evertrain.event.run.progressed",
    "run.completed": "evertrain.event.run.completed",
    "run.failed": "evertrain.event.run.failed",
    "run.skipped": "evertrain.event.run.skipped",
    "job.started": "evertrain.event.job.started.BTC_USDT",
    "job.progressed": "evertrain.event.job.progressed.BTC_USDT",
    "job.completed": "evertrain.event.job.completed.BTC_USDT",
    "job.failed": "evertrain.event.job.failed.THYAO=2EIS",
    "job.skipped": "evertrain.event.job.skipped.BRK-B",
    "model.promoted": "evertrain.event.model.promoted.BTC_USDT",
    "model.refused": "evertrain.event.model.refused.BTC_USDT",
    "prediction.updated": "evertrain.event.prediction.updated.BTC_USDT",
    "candles.updated": "evertrain.event.candles.updated.BTC_USDT",
    "request.refused": "evertrain.event.request.refused",
}


@pytest.mark.parametrize(("kind", "subject"), EVENT_SUBJECTS.items())
def test_an_event_is_heard_on_the_subject_of_the_contract(kind: str, subject: str) -> None:
    event = decode(f"events/{kind}", read(golden_files(f"events/{kind}")[-1]))
    assert subjects.event(event) == subject


@pytest.mark.parametrize(
    ("mode", "subject"),
    [
        (Mode.CYCLE, "evertrain.train.cycle"),
        (Mode.INCREMENTAL, "evertrain.train.incremental"),
        (Mode.FULL, "evertrain.train.full"),
        (Mode.QUICK, "evertrain.train.quick"),
    ],
)
def test_a_training_is_triggered_on_the_subject_of_its_mode(mode: Mode, subject: str) -> None:
    assert subjects.train(mode) == subject


def test_streams_buckets_and_stores_are_named_as_in_the_contract() -> None:
    assert (subjects.REQUESTS, subjects.JOBS, subjects.EVENTS, subjects.DEAD) == (
        "EVERTRAIN_REQUESTS",
        "EVERTRAIN_JOBS",
        "EVERTRAIN_EVENTS",
        "EVERTRAIN_DEAD",
    )
    assert (
        subjects.LOCKS,
        subjects.MODELS,
        subjects.CANDLES,
        subjects.PREDICTIONS,
        subjects.CONFIG,
        subjects.TICKS,
        subjects.ARTIFACTS,
    ) == (
        "evertrain_locks",
        "evertrain_models",
        "evertrain_candles",
        "evertrain_predictions",
        "evertrain_config",
        "evertrain_ticks",
        "evertrain_artifacts",
    )
    assert subjects.TRAINING_LOCK == "training"
    assert subjects.ALL_EVENTS == "evertrain.event.>"


def test_the_sources_of_a_run_are_those_of_the_contract() -> None:
    assert set(Source) == {"automation", "crontab", "manual", "api", "drift"}


def test_keys_and_subjects_about_a_symbol_hold_its_token() -> None:
    symbol = Symbol("THYAO.IS")
    assert subjects.job(symbol) == "evertrain.job.THYAO=2EIS"
    assert subjects.job_key("full-1", symbol) == "job.full-1.THYAO=2EIS"
    assert subjects.run_key("full-1") == "run.full-1"
    assert subjects.symbol_lock(symbol) == "symbol.THYAO=2EIS"
    assert subjects.dead(subjects.JOBS) == "evertrain.dead.EVERTRAIN_JOBS"


@given(st.from_regex(r"[A-Z0-9][A-Z0-9./:-]{0,31}", fullmatch=True))
def test_no_symbol_adds_a_token_or_a_wildcard_to_a_subject(text: str) -> None:
    subject = subjects.job(Symbol(text))
    assert _TOKENS.fullmatch(subject)
    assert subject.count(".") == 2
