from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from services.scheduler.domain.configuration import beginning
from services.scheduler.domain.decisions import Decisions
from services.scheduler.drift import DriftWatch
from shared.contracts.configuration import Configuration
from shared.contracts.errors import AppError, NotEnoughHistory, NotFound, Unavailable, UnknownSymbol
from shared.contracts.events import DriftDetected, Event
from shared.contracts.quality import DriftMeasurement, DriftReport, Scorecard
from shared.contracts.records import Universe
from shared.contracts.requests import CheckDriftRequest, DriftReportRequest, TrainRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Timeframe
from tests.support.coordination import BEGIN, symbols
from tests.support.predicting import record

QUIET, MOVED, UNTRAINED = symbols(3)
HOUR = timedelta(hours=1)


@dataclass
class System:
    """Trainers, scorecards, runs and everyone who hears of drift."""

    p_values: dict[Symbol, float | AppError] = field(
        default_factory=lambda: {QUIET: 0.8, MOVED: 1e-7}
    )
    away: int = 0
    stored: DriftReport | None = None
    tried: dict[Symbol, datetime] = field(default_factory=dict)
    measured: list[Symbol] = field(default_factory=list)
    asked: list[tuple[Mode, TrainRequest]] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)

    async def measure(self, symbol: Symbol) -> DriftMeasurement:
        self.measured.append(symbol)
        if self.away:
            self.away -= 1
            raise Unavailable("the trainer does not answer; is it running?")
        p_value = self.p_values[symbol]
        if isinstance(p_value, AppError):
            raise p_value
        return DriftMeasurement(
            symbol=symbol,
            model_version="v1",
            reference_rows=6000,
            recent_rows=300,
            p_value=p_value,
            features=(),
        )

    async def find(self, symbol: Symbol) -> Scorecard:
        return Scorecard(symbol=symbol)

    async def newest(self) -> DriftReport | None:
        return self.stored

    async def keep(self, report: DriftReport) -> None:
        self.stored = report

    async def attempts(self) -> dict[Symbol, datetime]:
        return self.tried

    async def request(self, mode: Mode, request: TrainRequest) -> None:
        self.asked.append((mode, request))

    async def emit(self, fact: Event) -> None:
        self.told.append(fact)

    def watch(self) -> DriftWatch:
        universe = Universe(
            symbols=(QUIET, MOVED, UNTRAINED), timeframe=Timeframe.M15, horizons=(1, 3)
        )
        return DriftWatch(
            decisions=Decisions(universe, beginning(Configuration(), BEGIN)),
            models={symbol: record(symbol=symbol) for symbol in (QUIET, MOVED)},
            gauge=self,
            scorecards=self,
            reports=self,
            attempts=self,
            requests=self,
            outlet=self,
            clock=lambda: BEGIN,
        )


async def test_what_has_drifted_is_told_and_trained_in_full() -> None:
    system = System()
    report = await system.watch().check(CheckDriftRequest())
    assert (report.symbols, report.drifted) == (2, 1)
    ((mode, request),) = system.asked
    assert (mode, request.source, request.symbols) == (Mode.FULL, Source.DRIFT, (MOVED,))
    (told,) = system.told
    assert isinstance(told, DriftDetected)
    assert (told.symbol, told.training_run_id) == (MOVED, request.request_id)
    assert report.findings[0].training_run_id == request.request_id


async def test_what_was_trained_within_the_cooldown_is_told_and_left_in_peace() -> None:
    system = System(tried={MOVED: BEGIN - 5 * HOUR})
    report = await system.watch().check(CheckDriftRequest())
    assert system.asked == []
    assert len(system.told) == 1
    assert report.findings[0].note.endswith("; it was trained within the cooldown")
    system.tried[MOVED] = BEGIN - 7 * HOUR
    await system.watch().check(CheckDriftRequest())
    assert len(system.asked) == 1


async def test_where_nothing_has_drifted_nothing_is_asked_for() -> None:
    system = System({QUIET: 0.3, MOVED: 0.2})
    assert (await system.watch().check(CheckDriftRequest())).drifted == 0
    assert (system.asked, system.told) == ([], [])


async def test_a_tick_that_comes_again_asks_for_the_same_run_or_for_nothing() -> None:
    system = System()
    await system.watch().on_due(BEGIN)
    first, system.stored = system.stored, None  # as if it had died before that
    await system.watch().on_due(BEGIN)
    assert system.asked[0] == system.asked[1]
    assert [one.id for one in system.told[:1]] == [one.id for one in system.told[1:]]
    system.stored = first
    await system.watch().on_due(BEGIN)
    assert len(system.asked) == 2


async def test_trainers_that_are_away_for_a_moment_are_asked_again() -> None:
    system = System(away=2)
    report = await system.watch().check(CheckDriftRequest())
    assert report.drifted == 1
    assert len(system.measured) == 4


async def test_where_no_trainer_answers_the_report_says_so() -> None:
    system = System(away=100)
    report = await system.watch().check(CheckDriftRequest())
    assert report.drifted == 0
    assert {one.feature_p_value for one in report.findings} == {None}
    assert "is it running?" in report.findings[0].note


async def test_what_cannot_be_measured_is_asked_once_and_said_why() -> None:
    system = System({QUIET: NotEnoughHistory("7 candles since its training"), MOVED: 0.9})
    report = await system.watch().check(CheckDriftRequest())
    assert sorted(system.measured) == [QUIET, MOVED]
    assert report.findings[1].note.startswith("7 candles since its training")


async def test_symbols_may_be_named_and_must_be_known() -> None:
    system = System()
    report = await system.watch().check(CheckDriftRequest(symbols=(QUIET,)))
    assert (report.symbols, system.measured) == (1, [QUIET])
    with pytest.raises(UnknownSymbol):
        await system.watch().check(CheckDriftRequest(symbols=(Symbol("NONE"),)))


async def test_before_the_first_check_there_is_nothing_to_report() -> None:
    system = System()
    with pytest.raises(NotFound, match="nobody has looked for drift yet"):
        await system.watch().report(DriftReportRequest())
    checked = await system.watch().check(CheckDriftRequest())
    assert await system.watch().report(DriftReportRequest()) == checked
