import asyncio
from dataclasses import replace
from typing import Any

import pytest

from services.scheduler.automation import Automation, in_force, keep_schedules
from services.scheduler.domain.configuration import beginning
from services.scheduler.domain.decisions import Decisions
from shared.contracts.configuration import Configuration, Configured
from shared.contracts.errors import (
    ChangedMeanwhile,
    InvalidSetting,
    Unavailable,
    UnknownSymbol,
)
from shared.contracts.records import RunRecord, Universe
from shared.contracts.requests import (
    CancelRequest,
    ConfigurationRequest,
    ConfigureRequest,
    StartRequest,
    StopRequest,
    TrainRequest,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Status, Timeframe
from shared.contracts.trading import EvolvedParameters
from shared.runtime.tasks import alongside
from tests.support.attempts import BETTER, attempt
from tests.support.coordination import BEGIN, run_record, symbols
from tests.support.decisions import MemoryRecord

UNIVERSE = Universe(symbols=symbols(4), timeframe=Timeframe.D1, horizons=(1, 3), revision=1)


class House:
    """The control of a scheduler whose automation rests, and what it asks of others."""

    def __init__(self, configuration: Configuration = Configuration()) -> None:  # noqa: B008
        self.stored: MemoryRecord[Configured] = MemoryRecord()
        self.stored.put(beginning(configuration, BEGIN))
        self.decisions = Decisions(universe=UNIVERSE, configured=self.stored.newest)
        self.requests: list[tuple[Mode, TrainRequest]] = []
        self.parameters: list[EvolvedParameters] = []
        self.runs: list[RunRecord] = []
        self.cancelled = 0
        #: Whether NATS takes requests.
        self.answers = True
        self.control = Automation(
            decisions=self.decisions,
            configurations=self.stored,
            parameters=self,
            requests=self,
            runs=self,
            cancelling=self,
            clock=lambda: BEGIN,
        )

    async def request(self, mode: Mode, request: TrainRequest) -> None:
        if not self.answers:
            raise Unavailable("NATS does not answer")
        self.requests.append((mode, request))

    async def evolved(self) -> list[EvolvedParameters]:
        return self.parameters

    async def unfinished(self) -> list[RunRecord]:
        return self.runs

    async def cancel(self, question: CancelRequest) -> list[RunRecord]:
        self.cancelled += 1
        return self.runs

    def revise(self, **changes: Any) -> None:
        """Change the configuration, as another scheduler would."""
        newest = self.stored.newest
        self.stored.put(replace(newest, revision=newest.revision + 1, **changes))


async def test_a_start_enables_the_cycle_and_begins_with_one() -> None:
    house = House()
    started = await house.control.start(StartRequest(by="api"))
    assert (started.status, started.symbols) == ("started", UNIVERSE.symbols)
    assert (started.timeframe, started.quick_mode) == (Timeframe.D1, False)
    assert (house.stored.newest.enabled, house.stored.newest.changed_by) == (True, "api")
    ((mode, request),) = house.requests
    assert (mode, request.source, request.symbols) == (Mode.CYCLE, Source.AUTOMATION, None)
    assert request.request_id == started.run_id


async def test_a_quick_start_trains_its_symbols_at_once() -> None:
    house = House()
    started = await house.control.start(StartRequest(symbols=symbols(2), quick_start=True))
    assert (started.quick_mode, started.symbols) == (True, symbols(2))
    ((mode, request),) = house.requests
    assert (mode, request.symbols) == (Mode.QUICK, symbols(2))
    assert house.decisions.automated == symbols(2)


async def test_a_limited_start_trains_of_its_symbols_what_is_due() -> None:
    house = House()
    started = await house.control.start(StartRequest(symbols=symbols(2)))
    ((mode, request),) = house.requests
    assert (mode, request.symbols) == (Mode.CYCLE, None)
    assert house.decisions.automated == started.symbols == symbols(2)


async def test_a_start_without_symbols_lifts_the_limit_of_the_one_before() -> None:
    house = House(Configuration(symbols=symbols(1)))
    await house.control.start(StartRequest())
    assert house.decisions.automated == UNIVERSE.symbols


async def test_starting_twice_changes_nothing_and_says_what_runs() -> None:
    house = House()
    first = await house.control.start(StartRequest())
    running = replace(run_record(run_id=first.run_id or ""), status=Status.RUNNING)
    house.runs = [run_record(run_id="waits"), running]
    second = await house.control.start(StartRequest(symbols=symbols(1), quick_start=True))
    assert (second.status, second.run_id) == ("already_running", first.run_id)
    assert second.symbols == UNIVERSE.symbols
    assert len(house.requests) == 1
    assert len(house.stored.revisions) == 2


async def test_of_two_starts_at_once_one_starts() -> None:
    house = House()
    house.stored.meanwhile = lambda: house.revise(enabled=True, request_id="start-other")
    assert (await house.control.start(StartRequest())).status == "already_running"
    assert house.requests == []


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (StartRequest(symbols=(Symbol("DOGE"),)), UnknownSymbol),
        (StartRequest(symbols=()), InvalidSetting),
        (StartRequest(timeframe=Timeframe.H1), InvalidSetting),
    ],
)
async def test_a_start_that_cannot_be_starts_nothing(
    request_: StartRequest, error: type[Exception]
) -> None:
    house = House()
    with pytest.raises(error):
        await house.control.start(request_)
    assert (house.requests, len(house.stored.revisions)) == ([], 1)


async def test_the_same_start_again_is_the_same_answer_and_the_same_run() -> None:
    house = House()
    asked = StartRequest(quick_start=True, request_id="start-1")
    first = await house.control.start(asked)
    assert await house.control.start(asked) == first
    assert {request.request_id for _, request in house.requests} == {"start-1"}
    assert len(house.stored.revisions) == 2


async def test_a_start_that_was_interrupted_is_finished_by_its_repeat() -> None:
    house = House()
    house.answers = False
    with pytest.raises(Unavailable):
        await house.control.start(StartRequest(request_id="start-1"))
    house.answers = True
    assert (await house.control.start(StartRequest(request_id="start-1"))).status == "started"
    assert len(house.requests) == 1


async def test_a_late_repeat_of_a_start_does_not_undo_the_stop_that_followed() -> None:
    house = House()
    asked = StartRequest(request_id="start-1")
    await house.control.start(asked)
    await house.control.stop(StopRequest())
    assert (await house.control.start(asked)).status == "started"
    assert not house.stored.newest.enabled
    assert len(house.requests) == 1


async def test_a_stop_rests_the_cycle_and_cancels_what_runs_or_waits() -> None:
    house = House()
    await house.control.start(StartRequest())
    house.runs = [run_record(run_id="start-1"), run_record(run_id="full-1")]
    stopped = await house.control.stop(StopRequest(by="cli"))
    assert stopped.status == "stopped"
    assert stopped.cancelled == ("start-1", "full-1")
    assert (house.stored.newest.enabled, house.stored.newest.changed_by) == (False, "cli")


async def test_a_stop_says_which_schedules_go_on() -> None:
    assert (
        "incremental and full schedules go on"
        in (await House().control.stop(StopRequest())).message
    )
    alone = House(Configuration(incremental_enabled=False, full_retrain_enabled=False))
    assert (await alone.control.stop(StopRequest())).message == "the automation rests"


async def test_a_new_start_works_right_after_a_stop() -> None:
    house = House()
    first = await house.control.start(StartRequest())
    await house.control.stop(StopRequest())
    second = await house.control.start(StartRequest())
    assert second.status == "started"
    assert second.run_id != first.run_id


async def test_a_late_repeat_of_a_stop_leaves_alone_what_was_started_since() -> None:
    house = House(Configuration(enabled=True))
    asked = StopRequest(request_id="stop-1")
    await house.control.stop(asked)
    await house.control.start(StartRequest())
    assert (await house.control.stop(asked)).cancelled == ()
    assert house.stored.newest.enabled
    assert house.cancelled == 1


async def test_a_change_is_in_force_at_once_and_in_the_history() -> None:
    house = House()
    changed = await house.control.configure(
        ConfigureRequest(changes={"train_epochs": 300}, revision=1, by="api")
    )
    assert (changed.train_epochs, changed.revision) == (300, 2)
    assert house.decisions.configured.train_epochs == 300
    (change,) = changed.history
    assert (change.by, change.at) == ("api", BEGIN)
    assert [(one.setting, one.old, one.new) for one in change.changes] == [
        ("train_epochs", 200, 300)
    ]


async def test_a_change_for_another_revision_is_refused_and_changes_nothing() -> None:
    house = House()
    house.revise(train_epochs=300)
    with pytest.raises(ChangedMeanwhile, match="revision 2, not 1"):
        await house.control.configure(ConfigureRequest(changes={"enabled": True}, revision=1))
    assert not house.stored.newest.enabled


async def test_a_change_that_others_overtook_is_refused_or_made_on_top_of_theirs() -> None:
    for revision in (1, None):
        house = House()
        house.stored.meanwhile = lambda house=house: house.revise(train_epochs=300)  # type: ignore[misc]
        asked = ConfigureRequest(changes={"ml_train_per_cycle": 9}, revision=revision)
        if revision is None:
            report = await house.control.configure(asked)
            assert (report.train_epochs, report.ml_train_per_cycle) == (300, 9)
        else:
            with pytest.raises(ChangedMeanwhile):
                await house.control.configure(asked)


async def test_a_change_to_what_is_already_so_is_no_revision() -> None:
    house = House()
    report = await house.control.configure(ConfigureRequest(changes={"train_epochs": 200}))
    assert (report.revision, report.history) == (1, ())


async def test_the_cycle_cannot_be_limited_to_a_symbol_that_is_not_there() -> None:
    house = House()
    with pytest.raises(UnknownSymbol, match="DOGE"):
        await house.control.configure(ConfigureRequest(changes={"symbols": ["DOGE"]}))


async def test_a_limit_to_a_symbol_that_has_left_does_not_block_other_changes() -> None:
    house = House(Configuration(symbols=(Symbol("GONE"),)))
    report = await house.control.configure(ConfigureRequest(changes={"train_epochs": 300}))
    assert report.train_epochs == 300


async def test_a_report_needs_no_change() -> None:
    report = await House().control.report(ConfigurationRequest())
    assert (report.revision, report.changed_by) == (1, "settings")


async def test_a_report_shows_what_signals_follow_and_how_that_came_to_be() -> None:
    house = House()
    (symbol,) = symbols(1)
    made = attempt("full-1")
    house.parameters = [
        EvolvedParameters(symbol=symbol, parameters=BETTER, token=1, epoch="one", history=(made,))
    ]
    report = await house.control.report(ConfigurationRequest())
    (shown,) = report.evolution
    assert (shown.symbol, shown.parameters, shown.history) == (symbol, BETTER, (made,))


async def test_the_first_scheduler_stores_what_the_environment_says() -> None:
    stored: MemoryRecord[Configured] = MemoryRecord()
    first = Configuration(train_epochs=300)
    assert (await in_force(stored, first, frozenset(), lambda: BEGIN)).train_epochs == 300
    assert stored.newest.train_epochs == 300


async def test_what_is_stored_wins_over_the_environment_which_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stored: MemoryRecord[Configured] = MemoryRecord()
    stored.put(beginning(Configuration(train_epochs=300), BEGIN))
    first = Configuration(train_epochs=77, ml_train_per_cycle=9)
    named = frozenset({"train_epochs"})
    assert (await in_force(stored, first, named, lambda: BEGIN)).train_epochs == 300
    (warning,) = caplog.records
    assert vars(warning)["setting"] == "train_epochs"
    assert (vars(warning)["stored"], vars(warning)["environment"]) == (300, 77)


async def test_of_two_that_are_first_at_once_both_take_the_same() -> None:
    stored: MemoryRecord[Configured] = MemoryRecord()
    other = beginning(Configuration(train_epochs=300), BEGIN)
    stored.meanwhile = lambda: stored.put(other)
    assert await in_force(stored, Configuration(), frozenset(), lambda: BEGIN) == other


async def test_a_change_that_another_scheduler_made_is_installed_at_once() -> None:
    house, seen = House(), asyncio.Queue[bool]()

    async def install() -> None:
        seen.put_nowait(house.decisions.configured.enabled)

    following = keep_schedules(house.stored.changes(), house.decisions, install)
    async with alongside(following, name="follow"):
        assert not await seen.get()
        house.revise(enabled=True)
        assert await seen.get()


async def test_schedules_that_nats_did_not_take_are_tried_again() -> None:
    house, tries = House(), asyncio.Queue[int]()
    failures = iter([Unavailable("away"), Unavailable("away"), None])

    async def install() -> None:
        tries.put_nowait(1)
        if (failure := next(failures)) is not None:
            raise failure

    following = keep_schedules(house.stored.changes(), house.decisions, install)
    async with alongside(following, name="follow"):
        for _ in range(3):
            await tries.get()
    assert next(failures, "used up") == "used up"


async def test_schedules_that_nats_refuses_do_not_end_the_scheduler() -> None:
    house, tries = House(), asyncio.Queue[int]()

    async def install() -> None:
        tries.put_nowait(1)
        raise InvalidSetting("NATS does not know the zone")

    following = keep_schedules(house.stored.changes(), house.decisions, install)
    async with alongside(following, name="follow"):
        await tries.get()
        house.revise(train_epochs=300)
        await tries.get()
