"""What Prometheus reads."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.gateway.app.context import Given
from services.gateway.app.metrics import Metrics
from services.gateway.domain.access import Role
from services.gateway.domain.channels import SYSTEM, TRAINING, Channel
from services.gateway.domain.pace import Pace
from services.gateway.hub import Hub
from services.gateway.sessions import Session
from shared.contracts.reports import Level, ServiceStatus
from shared.runtime.tasks import alongside
from tests.support.lines import MemoryLine
from tests.unit.gateway.test_gateway_application import Site
from tests.unit.gateway.test_gateway_facts import status

AT = datetime(2026, 11, 20, tzinfo=UTC)
LATER = AT + timedelta(seconds=0.2)


class Nothing:
    def snapshot(self, channel: Channel) -> bytes | None:
        return b"{}"


def values(metrics: Metrics) -> dict[tuple[str, str], float]:
    """By name and first label's value."""
    body, _ = metrics.expose()
    return {
        (sample.name.removeprefix("evertrain_gateway_"), next(iter(sample.labels.values()), "")): (
            sample.value
        )
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def client(hub: Hub, room: int | None = None) -> Session:
    line = MemoryLine()
    pace = Pace(per_second=1, burst=1, now=0)
    session = Session("s", line, role=Role.READ, account="a", pace=pace, capacity=100)
    line.session = session
    hub.join(session)
    line.room = room
    return session


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def hub(metrics: Metrics) -> Hub:
    hub = Hub(epoch="e", sources=Nothing(), clock=lambda: LATER, timings=metrics)
    metrics.show(hub)
    return hub


async def test_a_slow_client_shows_in_what_it_is_owed_and_in_what_it_never_got(
    hub: Hub, metrics: Metrics
) -> None:
    slow, quick = client(hub, room=3), client(hub)
    for session in (slow, quick):
        hub.subscribe(session, SYSTEM, 1, None)
        hub.subscribe(session, TRAINING, 2, None)
    async with alongside(hub.deliver(), name="deliver"):
        for number in range(3):
            hub.publish(SYSTEM, b"1", at=AT)
            hub.publish(TRAINING, str(number).encode(), at=AT)
        for _ in range(20):
            await asyncio.sleep(0)
    seen = values(metrics)
    assert (seen["connections", ""], seen["subscriptions", ""]) == (2, 4)
    assert seen["slow_connections", ""] == 1
    assert seen["outbox_frames", ""] == 5  # a snapshot, the newest value, three events
    assert seen["conflated_values_total", ""] == 2
    assert seen["published_events_total", "training"] == 3
    assert seen["delivered_frames_total", ""] == 12


async def test_an_event_s_age_is_measured_when_it_has_reached_everybody(
    hub: Hub, metrics: Metrics
) -> None:
    hub.subscribe(client(hub), TRAINING, 1, None)
    async with alongside(hub.deliver(), name="deliver"):
        hub.publish(TRAINING, b"1", at=AT)
        for _ in range(5):
            await asyncio.sleep(0)
    seen = values(metrics)
    assert seen["event_lag_seconds_sum", ""] == pytest.approx(0.2)
    assert seen["event_lag_seconds_count", ""] == seen["fan_out_duration_seconds_count", ""] == 1


async def test_why_a_connection_ended_is_counted(hub: Hub, metrics: Metrics) -> None:
    for code in (4008, 4008, 4029):
        session = client(hub)
        session.close(code, "")
        hub.leave(session)
    silent, gone = client(hub), client(hub)
    silent.abort()
    for session in (silent, gone):
        hub.leave(session)
    seen = values(metrics)
    counts = {
        code: seen["closed_connections_total", code] for code in ("4008", "4029", "1006", "0")
    }
    assert counts == {"4008": 2, "4029": 1, "1006": 1, "0": 1}


def test_labels_have_few_values(metrics: Metrics) -> None:
    for method in ("GET", "PURGE", "HACK"):
        metrics.observe(method, "/api/v1/models", 200, 0.001)
    body, _ = metrics.expose()
    assert b"PURGE" not in body
    assert b'method="other"' in body


def test_predictions_are_counted_by_where_they_came_from(metrics: Metrics, tmp_path: Path) -> None:
    site = Site(tmp_path)
    metrics.show_predictions(site.context)
    site.context.given[Given("copy", stale=True)] += 3
    assert values(metrics)["given_predictions_total", "copy"] == 3


def test_what_predictors_say_of_their_caches_is_told_for_them(
    metrics: Metrics, tmp_path: Path
) -> None:
    site = Site(tmp_path)
    metrics.show_predictions(site.context)
    said = {"hits": 9.0, "oldest_age_s": 7.5}
    site.look.status = replace(
        status(Level.OK, "fine"),
        services=(predictor("p1", said), predictor("p2", {"hits": 1.0}), predictor("p3", {})),
    )
    seen = values(metrics)
    hits = {
        label: each for (name, label), each in seen.items() if name.endswith("cache_hits_total")
    }
    assert hits == {"p1": 9, "p2": 1}
    assert seen["evertrain_predictor_cache_oldest_age_seconds", "p1"] == 7.5


def predictor(instance: str, figures: dict[str, float]) -> ServiceStatus:
    return ServiceStatus(
        service="predictor",
        instance=instance,
        version="1",
        up=True,
        ready=True,
        since=AT,
        last_heartbeat=AT,
        memory_mb=1.0,
        children_mb=0.0,
        loop_lag_ms=0.0,
        problems=(),
        figures=figures,
    )
