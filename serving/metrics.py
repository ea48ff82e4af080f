"""Numbers about serving for Prometheus, in a registry of their own. Edge: reads the producers when it is asked."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from pegel.serving.producer import ProducerCounts
from pegel.serving.trace_outbox import TraceCounts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NO_VERSION = "none"
"""The label of a request that no version answered."""

_BUCKETS = (0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)


class ServingMetrics:
    """What is counted while requests are answered."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "pegel_predict_requests",
            "Requests of /predict that were answered.",
            ("caller", "version", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "pegel_predict_seconds",
            "From a request's head to its answer, in seconds.",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._predictions = Counter(
            "pegel_predictions",
            "Texts that a model was asked about; outcome is allowed, required, withheld or the error's type.",
            ("version", "outcome"),
            registry=self._registry,
        )
        self._refusals = Counter(
            "pegel_refusals", "Requests and texts that were refused.", ("reason",), registry=self._registry
        )

    def answered(self, caller: str, version: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(caller, version, str(status)).inc()
        self._seconds.observe(seconds)

    def predicted(self, version: str, outcome: str) -> None:
        """Count a text that a model was asked about."""
        self._predictions.labels(version, outcome).inc()

    def refused(self, reason: str) -> None:
        """Count a refusal."""
        self._refusals.labels(reason).inc()

    def watch(
        self, model: str, version: Callable[[], str | None], hubs: Mapping[str, Callable[[], ProducerCounts]]
    ) -> None:
        """Tell the champion's version and what became of events, as they are when somebody asks."""
        self._registry.register(_Watched(model, version, hubs))

    def watch_traces(self, read: Callable[[], TraceCounts]) -> None:
        """Tell what became of traces and of the feedback for them, as it is when somebody asks."""
        self._registry.register(_WatchedTraces(read))

    def text(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self._registry)


class _Watched(Collector):
    def __init__(
        self, model: str, version: Callable[[], str | None], hubs: Mapping[str, Callable[[], ProducerCounts]]
    ) -> None:
        self._model = model
        self._version = version
        self._hubs = hubs

    def collect(self) -> Iterator[Metric]:
        version = self._version()
        yield GaugeMetricFamily("pegel_ready", "Whether a champion answers.", value=float(version is not None))
        champion = InfoMetricFamily("pegel_champion", "The version that answers.", labels=())
        champion.add_metric((), {"model": self._model, "version": version or NO_VERSION})
        yield champion
        accepted = CounterMetricFamily("pegel_events_accepted", "Events that were to be sent.", labels=("hub",))
        sent = CounterMetricFamily("pegel_events_sent", "Events that the hub took.", labels=("hub",))
        dropped = CounterMetricFamily("pegel_events_dropped", "Events that are lost.", labels=("hub",))
        waiting = GaugeMetricFamily("pegel_events_buffered", "Events in memory.", labels=("hub",))
        spooled = GaugeMetricFamily("pegel_events_spool_segments", "Segments of events on disk.", labels=("hub",))
        down = GaugeMetricFamily("pegel_hub_is_down", "Whether the last sending failed.", labels=("hub",))
        for hub, read in self._hubs.items():
            counts = read()
            accepted.add_metric((hub,), counts.accepted)
            sent.add_metric((hub,), counts.sent)
            dropped.add_metric((hub,), counts.dropped)
            waiting.add_metric((hub,), counts.waiting)
            spooled.add_metric((hub,), counts.segments)
            down.add_metric((hub,), float(counts.hub_is_down))
        yield from (accepted, sent, dropped, waiting, spooled, down)


class _WatchedTraces(Collector):
    def __init__(self, read: Callable[[], TraceCounts]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        stored = CounterMetricFamily("pegel_traces_stored", "Traces and their feedback in MLflow.", labels=("kind",))
        dropped = CounterMetricFamily("pegel_traces_dropped", "Those that MLflow did not take.", labels=("kind",))
        waiting = GaugeMetricFamily("pegel_traces_waiting", "Those in memory.", labels=("kind",))
        counts = self._read()
        for kind, count in (("trace", counts.traces), ("feedback", counts.feedback)):
            stored.add_metric((kind,), count.stored)
            dropped.add_metric((kind,), count.dropped)
            waiting.add_metric((kind,), count.waiting)
        yield from (stored, dropped, waiting)
