"""Prometheus figures of the server."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counts infer requests by status code and measures their time, from the first byte read to the answer."""

    def __init__(self, model: str, version: str) -> None:
        # They would double the series and say only when each began.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        labels = ("model", "version")
        requests = Counter(
            "topgraft_adapter_requests", "Infer requests answered.", (*labels, "code"), registry=self._registry
        )
        seconds = Histogram(
            "topgraft_adapter_request_seconds",
            "Time to answer an infer request.",
            labels,
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._model = model
        self._version = version
        self._requests = requests
        self._seconds = seconds.labels(model, version)

    def observe(self, code: int, seconds: float) -> None:
        """Note one answered infer request."""
        self._requests.labels(self._model, self._version, str(code)).inc()
        self._seconds.observe(seconds)

    def text(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self._registry)
