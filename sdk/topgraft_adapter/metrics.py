"""Prometheus figures of the server."""

from __future__ import annotations

from collections import Counter as Count

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

# From 0.5 ms to a minute, each bound 10 % above the one before: a 95th percentile read off them is wrong by less than
# half a bucket where the times inside of it are spread evenly, so that one 15 % above another is told from it.
_BUCKETS = tuple(float(f"{0.0005 * 1.1**step:.4g}") for step in range(124))

_MAX_LABELS = 100
OTHER_LABEL = "__other__"
"""Counts every label after the first 100: that many values are no classes, and each one is a time series."""


class Metrics:
    """Counts infer requests by status code, the labels answered, and what feedback said of them.

    Times are measured from the first byte read to the answer.
    """

    def __init__(self, model: str, version: str) -> None:
        # They would double the series and say only when each began.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._of = (model, version)
        self._requests = self._counter("requests", "Infer requests answered.", "code")
        self._answers = self._counter("answers", "Rows answered, by the label that they were given.", "label")
        self._feedback = self._counter("feedback", "Rows that feedback found right or wrong, or unknown.", "verdict")
        seconds = Histogram(
            "topgraft_adapter_request_seconds",
            "Time to answer an infer request.",
            ("model", "version"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._seconds = seconds.labels(*self._of)
        self._codes: dict[int, Counter] = {}
        self._labels: dict[str, Counter] = {}

    def observe(self, code: int, seconds: float) -> None:
        """Note one answered infer request."""
        if code not in self._codes:
            self._codes[code] = self._requests.labels(*self._of, str(code))
        self._codes[code].inc()
        self._seconds.observe(seconds)

    def answered(self, labels: list[str]) -> None:
        """Note the labels of one answer."""
        if len(labels) == 1:
            self._labelled(labels[0]).inc()
            return
        for label, count in Count(labels).items():
            self._labelled(label).inc(count)

    def judged(self, right: int, wrong: int) -> None:
        """Note what feedback said of one answer."""
        self._feedback.labels(*self._of, "right").inc(right)
        self._feedback.labels(*self._of, "wrong").inc(wrong)

    def unknown(self) -> None:
        """Note feedback for an answer that is not known here."""
        self._feedback.labels(*self._of, "unknown").inc()

    def text(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self._registry)

    def _labelled(self, label: str) -> Counter:
        if label not in self._labels:
            name = label if len(self._labels) < _MAX_LABELS else OTHER_LABEL
            counter = self._answers.labels(*self._of, name)
            if name == OTHER_LABEL:
                return counter
            self._labels[label] = counter
        return self._labels[label]

    def _counter(self, name: str, text: str, label: str) -> Counter:
        labels = ("model", "version", label)
        return Counter(f"topgraft_adapter_{name}", text, labels, registry=self._registry)
