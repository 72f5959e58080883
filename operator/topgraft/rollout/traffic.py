"""Live traffic in figures: counters read from pods, or answers of Prometheus, cut into windows of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Protocol, TypeVar

OTHER_LABEL = "__other__"
"""What the SDK counts labels under that are too many to be classes: then there is no distribution to compare."""
MAX_LABEL_LENGTH = 128
"""Characters of an answered label that count: as many as a baseline on record keeps."""

Key = TypeVar("Key", str, float)

SLACK = timedelta(seconds=0.3)
"""A scrape may come a little early; a window of 9.8 s counts as one of 10 s."""

LEAD = timedelta(seconds=1.5)
"""A window may begin with the last scrape before a switch: the new version had no requests by then."""


@dataclass(frozen=True)
class Figures:
    """What the traffic of a version was like over a span. None: not known.

    Times in seconds, rates and shares from 0 to 1. `feedback` is how many answers `accuracy` is the share of.
    `histogram`: upper bound in seconds → requests in that bucket, ascending; empty where the source has none.
    """

    requests: float = 0
    latency_p95: float | None = None
    error_rate: float | None = None
    accuracy: float | None = None
    feedback: float | None = None
    labels: Mapping[str, float] = field(default_factory=dict)
    histogram: tuple[tuple[float, float], ...] = ()

    @property
    def distribution(self) -> Mapping[str, float]:
        """The labels, where they are classes."""
        return {} if self.labels.get(OTHER_LABEL) else self.labels

    def slower(self, seconds: float) -> float | None:
        """How many requests took longer than this; inside a bucket they are taken as spread evenly."""
        if not self.histogram:
            return None
        count, lower = 0.0, 0.0
        for upper, inside in self.histogram:
            if lower >= seconds:
                count += inside
            elif upper > seconds:
                # Nothing is known of times above the last bound but that they are above it.
                count += inside if upper == float("inf") else inside * (upper - seconds) / (upper - lower)
            lower = upper
        return count


@dataclass(frozen=True)
class Counters:
    """Counters of one version, summed over its pods. They only grow; differences are what happened in between."""

    requests: float = 0
    errors: float = 0
    right: float = 0
    wrong: float = 0
    labels: Mapping[str, float] = field(default_factory=dict)
    buckets: Mapping[float, float] = field(default_factory=dict)
    """Upper bound in seconds → requests that took no longer, as Prometheus counts: cumulative."""

    def plus(self, other: Counters) -> Counters:
        return self._joined(other, 1)

    def minus(self, other: Counters) -> Counters:
        return self._joined(other, -1)

    def _joined(self, other: Counters, sign: int) -> Counters:
        return Counters(
            self.requests + sign * other.requests,
            self.errors + sign * other.errors,
            self.right + sign * other.right,
            self.wrong + sign * other.wrong,
            _join(self.labels, other.labels, sign),
            _join(self.buckets, other.buckets, sign),
        )

    def restarted(self, before: Counters) -> bool:
        """Whether any counter went down since `before`: the process behind it began anew."""
        return (
            self.requests < before.requests
            or self.errors < before.errors
            or self.right < before.right
            or self.wrong < before.wrong
            or any(self.labels.get(label, 0) < count for label, count in before.labels.items())
            or any(self.buckets.get(bound, 0) < count for bound, count in before.buckets.items())
        )

    def figures(self) -> Figures:
        """The figures of all that these counters counted."""
        bounds = sorted(self.buckets)
        lower = [0.0, *(self.buckets[bound] for bound in bounds)]
        histogram = tuple((bound, self.buckets[bound] - below) for bound, below in zip(bounds, lower, strict=False))
        judged = self.right + self.wrong
        return Figures(
            requests=self.requests,
            latency_p95=quantile(histogram, 0.95),
            error_rate=self.errors / self.requests if self.requests else None,
            accuracy=self.right / judged if judged else None,
            feedback=judged,
            labels={label: count for label, count in self.labels.items() if count},
            histogram=histogram,
        )


def _join(one: Mapping[Key, float], other: Mapping[Key, float], sign: int) -> dict[Key, float]:
    return {key: one.get(key, 0) + sign * other.get(key, 0) for key in one.keys() | other.keys()}


def quantile(histogram: tuple[tuple[float, float], ...], share: float) -> float | None:
    """The time that this share of the requests did not exceed; None without requests.

    Interpolated inside its bucket. The error is at most the bucket's width: 10 % with the SDK's buckets, where two
    versions of like times err alike. Above the last finite bound it is that bound.
    """
    total = sum(count for _, count in histogram)
    if total <= 0:
        return None
    rank, lower = share * total, 0.0
    for (upper, count), reached in zip(histogram, accumulate(count for _, count in histogram), strict=True):
        if reached >= rank and count > 0:
            if upper == float("inf"):
                return lower
            return lower + (upper - lower) * (1 - (reached - rank) / count)
        lower = upper
    return lower


class Traffic(Protocol):
    """One version's live traffic, as far as it was seen."""

    @property
    def error(self) -> tuple[str, str] | None:
        """Reason and text of why nothing is seen now."""

    def windows(self, seconds: int, count: int, since: datetime, now: datetime) -> tuple[Figures, ...]:
        """At most `count` windows in a row, the newest first, none of which began before `since`."""

    def overall(self, since: datetime) -> Figures:
        """Everything from `since` on."""

    def baseline(self, samples: int, seconds: int, now: datetime) -> Figures:
        """What another version is compared with: the last `seconds`, or all there is where those have fewer samples."""


@dataclass(frozen=True)
class Unseen:
    """Traffic that could never be read."""

    error: tuple[str, str] | None = None

    def windows(self, seconds: int, count: int, since: datetime, now: datetime) -> tuple[Figures, ...]:
        return ()

    def overall(self, since: datetime) -> Figures:
        return Figures()

    def baseline(self, samples: int, seconds: int, now: datetime) -> Figures:
        return Figures()


@dataclass(frozen=True)
class PodTraffic:
    """Counters read from pods. `samples`: times and what had been counted till then, the oldest first.

    `lifetime` is what the pods that live now have counted since each began.
    """

    samples: tuple[tuple[datetime, Counters], ...]
    lifetime: Counters = Counters()
    error: tuple[str, str] | None = None

    def windows(self, seconds: int, count: int, since: datetime, now: datetime) -> tuple[Figures, ...]:
        length = timedelta(seconds=seconds)
        found: list[Figures] = []
        later = list(self.samples)
        # What nobody could read for a whole window says nothing of now.
        while later and len(found) < count and now - self.samples[-1][0] <= length:
            end, counted = later[-1]
            while later and end - later[-1][0] < length - SLACK:
                later.pop()
            if not later or later[-1][0] < since - LEAD:
                break
            found.append(counted.minus(later[-1][1]).figures())
        return tuple(found)

    def overall(self, since: datetime) -> Figures:
        first = next((counted for time, counted in self.samples if time >= since - LEAD), None)
        return Figures() if first is None else self.samples[-1][1].minus(first).figures()

    def baseline(self, samples: int, seconds: int, now: datetime) -> Figures:
        recent = self.overall(now - timedelta(seconds=seconds))
        return recent if recent.requests >= samples else self.lifetime.figures()


@dataclass(frozen=True)
class QueriedTraffic:
    """Answers of Prometheus, each over the window that ended at its time, the oldest first."""

    points: tuple[tuple[datetime, Figures], ...]
    window_seconds: int
    lifetime: Figures = Figures()
    error: tuple[str, str] | None = None

    def windows(self, seconds: int, count: int, since: datetime, now: datetime) -> tuple[Figures, ...]:
        length = timedelta(seconds=self.window_seconds)
        found: list[Figures] = []
        if not self.points or now - self.points[-1][0] > length:
            return ()
        end = self.points[-1][0] + length
        for time, figures in reversed(self.points):
            if len(found) == count or time - length + SLACK < since:
                break
            if end - time >= length - SLACK:
                found.append(figures)
                end = time
        return tuple(found)

    def overall(self, since: datetime) -> Figures:
        """The windows since then, joined: a percentile is their mean, weighted by their requests."""
        if not self.points:
            return Figures()
        return joined(self.windows(self.window_seconds, len(self.points), since, self.points[-1][0]))

    def baseline(self, samples: int, seconds: int, now: datetime) -> Figures:
        return self.lifetime


def joined(windows: tuple[Figures, ...]) -> Figures:
    """Several windows as one."""
    requests = sum(one.requests for one in windows)

    def mean(pairs: list[tuple[float | None, float]]) -> float | None:
        known = [(value, weight) for value, weight in pairs if value is not None and weight > 0]
        total = sum(weight for _, weight in known)
        return sum(value * weight for value, weight in known) / total if total else None

    histogram: dict[float, float] = {}
    labels: dict[str, float] = {}
    for one in windows:
        labels = _join(labels, one.labels, 1)
        histogram = _join(histogram, dict(one.histogram), 1)
    buckets = tuple(sorted(histogram.items()))
    told = [one.feedback for one in windows]
    return Figures(
        requests=requests,
        latency_p95=quantile(buckets, 0.95) if buckets else mean([(w.latency_p95, w.requests) for w in windows]),
        error_rate=mean([(w.error_rate, w.requests) for w in windows]),
        accuracy=mean([(w.accuracy, w.requests if w.feedback is None else w.feedback) for w in windows]),
        feedback=None if None in told else sum(filter(None, told)),
        labels=labels,
        histogram=buckets,
    )
