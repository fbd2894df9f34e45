"""What Prometheus is told. Counting happens where things happen; here it is only read."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from services.gateway.app.context import Context
from services.gateway.hub import Hub

_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class _Figure(NamedTuple):
    """What a predictor reports of its cache as `figure`, and how Prometheus is told."""

    figure: str
    name: str
    help: str
    counts: bool = False


_FIGURES: Final = (
    _Figure("hits", "cache_hits", "Questions answered from memory or disk.", counts=True),
    _Figure("hits_disk", "cache_disk_hits", "Those of them from disk.", counts=True),
    _Figure("misses", "cache_misses", "Questions that had to be computed.", counts=True),
    _Figure("stale", "cache_stale_answers", "Answers that were marked as stale.", counts=True),
    _Figure("failures", "cache_failures", "Computations that gave nothing.", counts=True),
    _Figure("predictions_cached", "cached_predictions", "Predictions in memory."),
    _Figure("cached_bytes", "cached_bytes", "What they take, as answers."),
    _Figure("oldest_age_s", "cache_oldest_age_seconds", "Age of the oldest of them."),
    _Figure("pregenerating", "pregenerations_left", "Symbols that a pre-generation has to do."),
)


class Metrics:
    """Labels have few values: routes as they are declared, our own close codes, methods we know."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Histogram(
            "evertrain_gateway_request_duration_seconds",
            "Time to answer a request.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._fan_out = Histogram(
            "evertrain_gateway_fan_out_duration_seconds",
            "From an event's arrival here until it was written to the last of its listeners.",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._lag = Histogram(
            "evertrain_gateway_event_lag_seconds",
            "From the time that an event bears until it was written to the last of its listeners.",
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def show(self, hub: Hub) -> None:
        """Say from now on what the hub counts."""
        self._registry.register(_HubCollector(hub))

    def show_predictions(self, context: Context) -> None:
        """Say from now on where answers came from, and how the predictors' caches do."""
        self._registry.register(_PredictionCollector(context))

    def fanned_out(self, seconds: float) -> None:
        self._fan_out.observe(seconds)

    def told(self, seconds: float) -> None:
        self._lag.observe(max(0.0, seconds))  # another machine's clock may be ahead of ours

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
        yield GaugeMetricFamily(
            name + "outbox_frames", "Frames that clients which are behind are owed.", hub.owed
        )
        yield GaugeMetricFamily(
            name + "slow_connections", "Websockets that are behind.", hub.behind
        )
        yield CounterMetricFamily(
            name + "delivered_frames", "Events handed to clients.", tally.delivered
        )
        yield CounterMetricFamily(
            name + "conflated_values", "Values replaced before a client took them.", hub.conflated
        )
        published = CounterMetricFamily(
            name + "published_events", "Events given to channels.", labels=["topic"]
        )
        for topic, count in tally.published.items():
            published.add_metric([topic], count)
        yield published
        closed = CounterMetricFamily(
            name + "closed_connections",
            "Ended websockets by close code: 4008 too slow, 1006 silent, 0 by the client.",
            labels=["code"],
        )
        for code, count in tally.closed.items():
            closed.add_metric([str(int(code))], count)
        yield closed


class _PredictionCollector(Collector):
    """Predictors listen on no port: what each last said of itself is told here, by every gateway
    alike.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def collect(self) -> Iterable[Metric]:
        given = CounterMetricFamily(
            "evertrain_gateway_given_predictions",
            "Predictions answered: from our copy, or from a predictor's memory, disk, or anew.",
            labels=["source", "stale"],
        )
        for (source, stale), count in self._context.given.items():
            given.add_metric([source, str(stale).lower()], count)
        yield given
        status = self._context.system.status
        services = status.services if status else ()
        predictors = [each for each in services if each.service == "predictor" and each.up]
        for figure in _FIGURES:
            kind = CounterMetricFamily if figure.counts else GaugeMetricFamily
            family = kind("evertrain_predictor_" + figure.name, figure.help, labels=["instance"])
            for each in predictors:
                if figure.figure in each.figures:
                    family.add_metric([each.instance], each.figures[figure.figure])
            yield family
