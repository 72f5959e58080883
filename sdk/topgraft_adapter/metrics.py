"""Prometheus figures of the server."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# From 0.5 ms to a minute, each bound 10 % above the one before: a 95th percentile read off them is wrong by less than
# half a bucket where the times inside of it are spread evenly, so that one 15 % above another is told from it.
_BUCKETS = tuple(float(f"{0.0005 * 1.1**step:.4g}") for step in range(124))

_MAX_LABELS = 100
OTHER_LABEL = "__other__"
"""Counts every label after the first 100: that many values are no classes, and each one is a time series."""


class Metrics:
    """Counts infer requests by status code, the labels answered, and what feedback said of them.

    Times are measured from the first byte read to the answer. All is counted on the event loop, in plain numbers: the
    library's own counters lock at each step, and it takes longer to import than everything else here; it only writes
    the page.
    """

    def __init__(self, model: str, version: str) -> None:
        self._of = (model, version)
        self._requests: Counter[str] = Counter()
        self._answers: Counter[str] = Counter()
        self._feedback: Counter[str] = Counter()
        self._within = [0] * (len(_BUCKETS) + 1)
        self._seconds = 0.0
        self._registry: CollectorRegistry | None = None

    def observe(self, code: int, seconds: float) -> None:
        """Note one answered infer request."""
        self._requests[str(code)] += 1
        self._within[bisect_left(_BUCKETS, seconds)] += 1
        self._seconds += seconds

    def answered(self, labels: list[str]) -> None:
        """Note the labels of one answer."""
        for label, count in Counter(labels).items() if len(labels) > 1 else [(label, 1) for label in labels]:
            known = label in self._answers or len(self._answers) < _MAX_LABELS
            self._answers[label if known else OTHER_LABEL] += count

    def judged(self, right: int, wrong: int) -> None:
        """Note what feedback said of one answer."""
        self._feedback["right"] += right
        self._feedback["wrong"] += wrong

    def unknown(self) -> None:
        """Note feedback for an answer that is not known here."""
        self._feedback["unknown"] += 1

    def text(self) -> bytes:
        """The exposition in Prometheus' text format."""
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest  # noqa: PLC0415

        if self._registry is None:
            self._registry = CollectorRegistry()
            ProcessCollector(registry=self._registry)
            self._registry.register(self)
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """What the library writes."""
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily  # noqa: PLC0415

        for name, text, label, counts in (
            ("requests", "Infer requests answered.", "code", self._requests),
            ("answers", "Rows answered, by the label that they were given.", "label", self._answers),
            ("feedback", "Rows that feedback found right or wrong, or unknown.", "verdict", self._feedback),
        ):
            family = CounterMetricFamily(f"topgraft_adapter_{name}", text, labels=("model", "version", label))
            for value, count in counts.items():
                family.add_metric((*self._of, value), count)
            yield family
        seconds = HistogramMetricFamily(
            "topgraft_adapter_request_seconds", "Time to answer an infer request.", labels=("model", "version")
        )
        bounds = [*map(str, _BUCKETS), "+Inf"]
        seconds.add_metric(self._of, list(zip(bounds, accumulate(self._within), strict=True)), self._seconds)
        yield seconds
