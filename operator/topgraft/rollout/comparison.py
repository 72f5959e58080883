"""What is to be watched for one Model, as the core asks it of the outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from topgraft.api.verification import Baseline, Limits, LiveMetrics
from topgraft.rollout.bake import Judgement, baseline_of, judge
from topgraft.rollout.traffic import Figures, Traffic

BASELINE_WINDOWS = 10
"""How many windows of the old version's recent traffic the new one's is compared with."""


@dataclass(frozen=True)
class Comparison:
    """The traffic of `version` since `since`, against a baseline on record, or against `other`'s of the same time.

    `all_`: every limit; else only those that can be watched for ever.
    """

    version: str
    since: datetime
    baseline: Baseline | None = None
    other: str | None = None
    all_: bool = True

    def judge(self, live: Mapping[str, Traffic], limits: Limits, now: datetime) -> Judgement:
        """The verdicts now."""
        baseline = self.baseline
        if self.other is not None and self.other in live:
            figures = live[self.other].overall(self.since)
            if figures.requests < limits.min_samples:
                figures = recent(live[self.other], limits, now)
            baseline = baseline_of(self.other, figures, limits, now)
        return judge(baseline, live.get(self.version), limits, self.since, now, all_=self.all_)


@dataclass(frozen=True)
class Watch:
    """Which versions' traffic to read, from where, and which verdicts are worth a look when they change."""

    metrics: LiveMetrics
    limits: Limits
    versions: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()

    def told(self, live: Mapping[str, Traffic], now: datetime) -> tuple[object, ...]:
        """All that a look could act on; equal as long as a look would find nothing new."""
        verdicts = tuple(one.judge(live, self.limits, now).verdicts for one in self.comparisons)
        return (verdicts, tuple((name, traffic.error) for name, traffic in sorted(live.items())))


def recent(traffic: Traffic, limits: Limits, now: datetime) -> Figures:
    """The figures of a version that is about to be replaced."""
    return traffic.baseline(limits.min_samples, BASELINE_WINDOWS * limits.window_seconds, now)
