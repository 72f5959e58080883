"""Live traffic of the new version against the old one's: windows, limits, verdicts. Pure arithmetic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from topgraft.api.verification import Baseline, Check, Limits
from topgraft.limits import drops_percent, exact, exceeds_percent, kl_divergence
from topgraft.rollout.chance import more_often, other_distribution
from topgraft.rollout.traffic import MAX_LABEL_LENGTH, Figures, Traffic, joined

LABEL_LIMIT = 256


@dataclass(frozen=True)
class Breach:
    """A limit that was broken in enough windows in a row."""

    reason: str
    message: str


@dataclass(frozen=True)
class Judgement:
    """The verdicts on the limits that the baseline knows a figure for."""

    checks: tuple[Check, ...] = ()
    breach: Breach | None = None

    @property
    def inconclusive(self) -> bool:
        return any(check.verdict == "Inconclusive" for check in self.checks)

    @property
    def verdicts(self) -> tuple[tuple[str, str], ...]:
        """What a new look is worth for."""
        return tuple((check.name, check.verdict) for check in self.checks)


@dataclass(frozen=True)
class Aspect(ABC):
    """One limit. `endures`: it can be watched for ever, because it does not depend on the load of the day."""

    baseline: Baseline
    limits: Limits
    name = ""
    reason = ""
    endures = False

    @property
    @abstractmethod
    def limit(self) -> str:
        """The limit in words."""

    @abstractmethod
    def known(self) -> bool:
        """Whether the old version has a figure to compare with."""

    @abstractmethod
    def old(self) -> str:
        """The old version's figure."""

    @abstractmethod
    def new(self, figures: Figures) -> str:
        """The new version's."""

    @abstractmethod
    def samples(self, figures: Figures) -> float:
        """How many requests, or rows, the new version's figure is drawn from; 0 where there is none."""

    @abstractmethod
    def broken(self, figures: Figures) -> bool:
        """Whether the limit is exceeded: strictly, and exactly."""

    @abstractmethod
    def beyond_chance(self, figures: Figures) -> bool:
        """Whether so few requests could not look like this by chance alone."""

    def exceeded(self, figures: Figures) -> bool:
        return self.samples(figures) >= self.limits.min_samples and self.broken(figures)


class Latency(Aspect):
    name, reason = "live/latency-p95", "LatencyIncreased"

    @property
    def limit(self) -> str:
        return f"+{self.limits.latency_increase_percent} %"

    def known(self) -> bool:
        return self.baseline.latency_p95 is not None

    def old(self) -> str:
        return f"{self.baseline.latency_p95} s"

    def new(self, figures: Figures) -> str:
        return f"{figures.latency_p95:.6g} s"

    def samples(self, figures: Figures) -> float:
        return figures.requests if figures.latency_p95 is not None else 0

    def broken(self, figures: Figures) -> bool:
        old, new = self.baseline.latency_p95 or 0, figures.latency_p95 or 0
        return exceeds_percent(old, new, self.limits.latency_increase_percent)

    def beyond_chance(self, figures: Figures) -> bool:
        slower = figures.slower(float(self.baseline.latency_p95 or 0))
        # By its definition a twentieth of the old version's requests took longer than its 95th percentile.
        before = self.baseline.requests
        return slower is None or more_often(slower, figures.requests, before / 20, before)


class Errors(Aspect):
    name, reason = "live/errors", "ErrorsIncreased"

    @property
    def limit(self) -> str:
        return f"+{self.limits.error_increase_percent} points of 100"

    def known(self) -> bool:
        return self.baseline.error_rate is not None

    def old(self) -> str:
        return f"{float(self.baseline.error_rate or 0):.3%}"

    def new(self, figures: Figures) -> str:
        return f"{figures.error_rate:.3%}"

    def samples(self, figures: Figures) -> float:
        return figures.requests if figures.error_rate is not None else 0

    def broken(self, figures: Figures) -> bool:
        increase = exact(figures.error_rate or 0) - exact(self.baseline.error_rate or 0)
        return increase * 100 > self.limits.error_increase_percent

    def beyond_chance(self, figures: Figures) -> bool:
        before, rate = self.baseline.requests, float(self.baseline.error_rate or 0)
        return more_often((figures.error_rate or 0) * figures.requests, figures.requests, rate * before, before)


class Accuracy(Aspect):
    name, reason, endures = "live/accuracy", "AccuracyDropped", True

    @property
    def limit(self) -> str:
        return f"-{self.limits.accuracy_drop_percent} %"

    def known(self) -> bool:
        return self.baseline.accuracy is not None

    def old(self) -> str:
        return str(self.baseline.accuracy)

    def new(self, figures: Figures) -> str:
        return f"{figures.accuracy:.6g}"

    def samples(self, figures: Figures) -> float:
        if figures.accuracy is None:
            return 0
        return figures.requests if figures.feedback is None else figures.feedback

    def broken(self, figures: Figures) -> bool:
        return drops_percent(self.baseline.accuracy or 0, figures.accuracy or 0, self.limits.accuracy_drop_percent)

    def beyond_chance(self, figures: Figures) -> bool:
        of, accuracy = self.samples(figures), figures.accuracy or 0
        before = self.baseline.feedback or self.baseline.requests
        wrong = 1 - float(self.baseline.accuracy or 0)
        return more_often((1 - accuracy) * of, of, wrong * before, before)


class Distribution(Aspect):
    name, reason, endures = "live/kl", "DistributionShifted", True

    @property
    def limit(self) -> str:
        return self.limits.max_kl_divergence

    def known(self) -> bool:
        return bool(self._before())

    def old(self) -> str:
        return f"{len(self.baseline.labels)} labels"

    def new(self, figures: Figures) -> str:
        return f"KL {kl_divergence(figures.distribution, self._before()):.4f}"

    def samples(self, figures: Figures) -> float:
        return sum(figures.distribution.values())

    def broken(self, figures: Figures) -> bool:
        return exact(kl_divergence(figures.distribution, self._before())) > exact(self.limits.max_kl_divergence)

    def beyond_chance(self, figures: Figures) -> bool:
        return other_distribution(figures.distribution, self._before())

    def _before(self) -> dict[str, float]:
        counts = {label: float(count) for label, count in self.baseline.labels.items()}
        return counts if sum(counts.values()) > 0 else {}


ASPECTS: tuple[type[Aspect], ...] = (Latency, Errors, Accuracy, Distribution)
REASONS = {aspect.reason: aspect.name for aspect in ASPECTS}


def judge(
    baseline: Baseline | None, traffic: Traffic | None, limits: Limits, since: datetime, now: datetime, *, all_: bool
) -> Judgement:
    """The verdicts on what the new version's traffic has been like since `since`.

    A limit is broken when each of the last `consecutiveBreaches` windows breaks it and all of them together could not
    do so by chance. `all_`: the baking version's; else only the aspects that endure.
    """
    if baseline is None or baseline.requests < limits.min_samples:
        count = baseline.requests if baseline else 0
        text = f"the old version had {count} requests to compare with, limits.minSamples is {limits.min_samples}"
        names = [aspect.name for aspect in ASPECTS[:2] if all_]
        return Judgement(tuple(Check(name=name, verdict="Inconclusive", message=text) for name in names))
    kinds = [kind(baseline, limits) for kind in ASPECTS if all_ or kind.endures]
    known = [aspect for aspect in kinds if aspect.known()]
    if traffic is None or traffic.error is not None:
        text = traffic.error[1][:1024] if traffic and traffic.error else "nothing has been read yet"
        return Judgement(tuple(Check(**_said(aspect), verdict="Inconclusive", message=text) for aspect in known))
    windows = traffic.windows(limits.window_seconds, limits.consecutive_breaches, since, now)
    overall = traffic.overall(since)
    judged = [_judge(aspect, windows, overall) for aspect in known]
    bad = ((aspect, check) for aspect, check in zip(known, judged, strict=True) if check.verdict == "Failed")
    breach = next((Breach(aspect.reason, check.message or "") for aspect, check in bad), None)
    return Judgement(tuple(judged), breach)


def _said(aspect: Aspect) -> dict[str, Any]:
    return {"name": aspect.name, "old": aspect.old(), "limit": aspect.limit}


def _judge(aspect: Aspect, windows: tuple[Figures, ...], overall: Figures) -> Check:
    limits, said = aspect.limits, _said(aspect)
    if len(windows) == limits.consecutive_breaches and all(map(aspect.exceeded, windows)):
        together = joined(windows)
        if aspect.beyond_chance(together):
            new = ", ".join(aspect.new(one) for one in reversed(windows[:5]))
            text = f"{aspect.name} was {new} in the last {len(windows)} windows of {limits.window_seconds} s"
            text += f" and {aspect.old()} before; the limit is {aspect.limit}"
            return Check(**said, new=aspect.new(together), verdict="Failed", message=text)
    count = aspect.samples(overall)
    if count < limits.min_samples:
        text = f"{count:g} samples since the switch, limits.minSamples is {limits.min_samples}"
        return Check(**said, verdict="Inconclusive", message=text)
    said["new"] = aspect.new(overall)
    if aspect.broken(overall) and aspect.beyond_chance(overall):
        text = f"worse than its limit on the whole, though not in {limits.consecutive_breaches} windows in a row"
        return Check(**said, verdict="Inconclusive", message=text)
    return Check(**said, verdict="Passed", message=f"{count:g} samples")


def baseline_of(version: str, figures: Figures, limits: Limits, time: datetime) -> Baseline:
    """The old version's figures on record. A figure drawn from fewer than minSamples is left out: it would be noise."""
    enough = figures.requests >= limits.min_samples
    judged = figures.requests if figures.feedback is None else figures.feedback
    labels = figures.distribution
    known = len(labels) <= LABEL_LIMIT and sum(labels.values()) >= limits.min_samples
    return Baseline(
        version=version,
        requests=round(figures.requests),
        latency_p95=_decimal(figures.latency_p95) if enough else None,
        error_rate=_decimal(figures.error_rate) if enough else None,
        accuracy=_decimal(figures.accuracy) if judged >= limits.min_samples else None,
        feedback=round(judged) if judged and figures.accuracy is not None else None,
        labels={label[:MAX_LABEL_LENGTH]: f"{count:g}" for label, count in sorted(labels.items())} if known else {},
        time=time,
    )


def _decimal(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"
