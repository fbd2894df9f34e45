from datetime import UTC, datetime, timedelta

import pytest

from shared.bus.status import SERVICES, RollCall, judge
from shared.contracts.records import Coverage, Problem
from shared.contracts.reports import Health, Level, NatsStatus, ServiceReport, Usage

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ROOM = Usage(used_pct=40, free_mb=6000, total_mb=10_000)
ALL_FRESH = Coverage(symbols=4, fresh=4, stale=0, missing=0, oldest_age_days=1.0)


def report(
    service: str, number: int = 1, *, ready: bool = True, problems: tuple[Problem, ...] = ()
) -> ServiceReport:
    return ServiceReport(
        service=service,
        instance=f"{service}-{number}",
        version="1",
        pid=number,
        host="here",
        started_at=NOW,
        at=NOW,
        ready=ready,
        memory_mb=1,
        children_mb=0,
        loop_lag_ms=0,
        problems=problems,
    )


EVERYONE = [report(service) for service in SERVICES]


def judged(
    reports: list[ServiceReport],
    *,
    connected: bool = True,
    disk: Usage = ROOM,
    memory: Usage = ROOM,
    coverage: Coverage | None = ALL_FRESH,
    dead: int = 0,
) -> Health:
    roll = RollCall()
    roll.hear(reports, NOW)
    return judge(
        services=roll.services(NOW),
        nats=NatsStatus(connected=connected, round_trip_ms=1.0 if connected else None),
        memory=memory,
        disk=disk,
        queues={"dead": dead},
        coverage=coverage,
    )


def codes(health: Health) -> list[str]:
    return [finding.code for finding in health.findings]


def test_a_system_in_which_everybody_answers_is_well() -> None:
    assert judged(EVERYONE) == Health(level=Level.OK, findings=())


@pytest.mark.parametrize("missing", SERVICES)
def test_a_service_that_does_not_answer_is_an_error(missing: str) -> None:
    health = judged([r for r in EVERYONE if r.service != missing])
    assert (health.level, codes(health)) == (Level.ERROR, ["service_down"])
    assert missing in health.findings[0].message


def test_a_service_that_is_not_ready_or_has_a_problem_is_a_warning() -> None:
    others = [r for r in EVERYONE if r.service != "predictor"]
    assert codes(judged([*others, report("predictor", ready=False)])) == ["service_not_ready"]
    slow = Problem(code="slow_disk", message="the disk is slow")
    assert codes(judged([*others, report("predictor", problems=(slow,))])) == ["slow_disk"]


def test_while_nats_is_away_nothing_is_said_about_the_others() -> None:
    health = judged([], connected=False, coverage=None)
    assert (health.level, codes(health)) == (Level.ERROR, ["nats_away"])


def test_models_that_are_missing_or_old_are_warnings() -> None:
    coverage = Coverage(symbols=4, fresh=1, stale=2, missing=1, oldest_age_days=9.0)
    health = judged(EVERYONE, coverage=coverage)
    assert (health.level, codes(health)) == (Level.WARNING, ["models_missing", "models_stale"])


@pytest.mark.parametrize(("used", "code"), [(89, None), (90, "disk_filling"), (97, "disk_full")])
def test_a_disk_that_fills_is_told_before_it_is_full(used: float, code: str | None) -> None:
    health = judged(EVERYONE, disk=Usage(used_pct=used, free_mb=1, total_mb=2))
    assert codes(health) == ([code] if code else [])


def test_the_worst_comes_first_and_gives_the_level() -> None:
    full = Usage(used_pct=99, free_mb=1, total_mb=2)
    health = judged(EVERYONE, dead=3, memory=full, disk=full)
    assert codes(health) == ["disk_full", "memory_low", "parked_messages"]
    assert health.level is Level.ERROR


def test_one_that_falls_silent_is_down_and_then_forgotten_if_another_does_its_work() -> None:
    roll = RollCall()
    roll.hear([report("trainer", 1), report("trainer", 2)], NOW)
    for seconds in range(2, 300, 2):
        now = NOW + timedelta(seconds=seconds)
        roll.hear([report("trainer", 2)], now)
        states = {s.instance: s.up for s in roll.services(now)}
        if seconds <= 8:
            assert states == {"trainer-1": True, "trainer-2": True}
        elif seconds <= 120:
            assert states == {"trainer-1": False, "trainer-2": True}
        else:
            assert states == {"trainer-2": True}


def test_the_last_one_of_a_service_is_not_forgotten() -> None:
    roll = RollCall()
    roll.hear([report("trainer")], NOW)
    later = NOW + timedelta(days=1)
    roll.hear([], later)
    (trainer,) = roll.services(later)
    assert (trainer.up, trainer.last_heartbeat) == (False, NOW)


def test_one_of_several_that_fell_silent_is_a_warning_only() -> None:
    roll = RollCall()
    roll.hear([*EVERYONE, report("trainer", 2)], NOW)
    later = NOW + timedelta(seconds=30)
    roll.hear(EVERYONE, later)
    health = judge(
        services=roll.services(later),
        nats=NatsStatus(connected=True, round_trip_ms=1.0),
        memory=ROOM,
        disk=ROOM,
        queues={},
        coverage=None,
    )
    assert codes(health) == ["instance_down"]
