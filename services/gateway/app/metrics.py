"""What Prometheus is told. Counting happens where things happen; here it is only read."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from services.gateway.hub import Hub

_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    def __init__(self, hub: Hub) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_HubCollector(hub))
        ProcessCollector(registry=self._registry)
        self._requests = Histogram(
            "evertrain_gateway_request_seconds",
            "Time to answer a request.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        known = method if method in ("GET", "HEAD", "POST", "PUT", "DELETE") else "other"
        self._requests.labels(known, route, str(status)).observe(seconds)

    def expose(self) -> tuple[bytes, str]:
        """The exposition and its media type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _HubCollector(Collector):
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterable[Metric]:
        hub, tally, name = self._hub, self._hub.tally, "evertrain_gateway_"
        yield GaugeMetricFamily(name + "connections", "Open websockets.", len(hub.sessions))
        yield GaugeMetricFamily(
            name + "subscriptions", "Channels that clients listen to.", hub.subscriptions
        )
        yield GaugeMetricFamily(name + "owed_frames", "Frames in outboxes.", hub.owed)
        yield CounterMetricFamily(
            name + "delivered_frames", "Events handed to clients.", tally.delivered
        )
        yield CounterMetricFamily(
            name + "conflated_values", "Values replaced before a client took them.", tally.conflated
        )
        published = CounterMetricFamily(
            name + "published_events", "Events given to channels.", labels=["topic"]
        )
        for topic, count in tally.published.items():
            published.add_metric([topic], count)
        yield published
        closed = CounterMetricFamily(
            name + "closed_connections", "Ended websockets; code 0: by the client.", labels=["code"]
        )
        for code, count in tally.closed.items():
            closed.add_metric([str(int(code))], count)
        yield closed
