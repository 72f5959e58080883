"""Is the new version slower? Chance alone makes one answer in twenty take five times as long on a busy machine.

So some requests are sent again and again, in turn to both versions; of each, the fastest time counts, and the 95th
percentile is taken over the requests. Other work on the machine can only make an answer slower, so the fastest of many
is nearly free of it, while a version that computes more is slower in every single one. The ratio of both versions'
percentiles gets a bootstrap confidence interval, and only one that lies above the limit as a whole is a failure.

The 95th percentile of all answers is told and not judged. Of two processes of the same code, one can have twice that of
the other for minutes, because it shares its core with something: that is no chance that an interval would show.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from topgraft.checks.config import Limits
from topgraft.checks.verdict import Check
from topgraft.limits import exact, exceeds_percent

Floats = npt.NDArray[np.float64]
State = Literal["Passed", "Failed", "Undecided"]

MIN_ROUNDS = 5
MIN_REPEATED = 500
"""Answers to repeated requests, at least: five rounds of a hundred, or more rounds of fewer."""
CONFIDENCE = 0.99
_MORE_ROUNDS = 1.5
_RESAMPLES = 2000
_SEED = 20260101
"""The same times give the same verdict."""


class Estimate:
    """A ratio new / old of 95th percentiles, with its confidence interval."""

    def __init__(self, old: float, new: float, ratios: Floats) -> None:
        self.old, self.new = old, new
        tail = (1 - CONFIDENCE) / 2
        # A division leaves 0.805 / 0.7 at 1.1500000000000001.
        self.low, self.high = (round(float(bound), 12) for bound in np.quantile(ratios, (tail, 1 - tail)))

    def exceeds(self, limit: Fraction) -> bool:
        return exceeds_percent(self.old, self.new, limit)

    def fails(self, limit: Fraction) -> bool:
        """Whether the whole interval is above the limit."""
        return self.exceeds(limit) and exact(self.low) * 100 > 100 + limit

    def passes(self, limit: Fraction) -> bool:
        """Whether the whole interval is within the limit, and no wider than the limit to both sides of equal: one that
        reaches from half to just within it is noise, in which anything may hide."""
        narrow = exact(self.high - self.low) * 100 <= 2 * limit
        return narrow and not self.exceeds(limit) and exact(self.high) * 100 <= 100 + limit

    def __str__(self) -> str:
        return (
            f"p95 {milliseconds(self.old)} → {milliseconds(self.new)} ({_percent(self.new / self.old)}, "
            f"{CONFIDENCE:.0%} interval {_percent(self.low)} to {_percent(self.high)})"
        )


class Latencies:
    """The times of all answers, in seconds; NaN where there is none. Version 0 is the old one, 1 the new one."""

    def __init__(self, repeated: int) -> None:
        """Expect `repeated` requests in each round."""
        self._fastest = np.full((2, repeated), np.inf)
        self._all: tuple[list[float], list[float]] = ([], [])
        self.rounds = 0
        self._next_look = 1.0

    def add(self, old: list[float], new: list[float]) -> None:
        """Take times of any requests."""
        self._all[0].extend(old)
        self._all[1].extend(new)

    def add_round(self, times: Floats) -> None:
        """Take the times of one round, of shape [2, repeated]."""
        self._fastest = np.fmin(self._fastest, times)
        self.rounds += 1

    def samples(self) -> int:
        """How many answers there are of the version with fewer."""
        return min(int(np.isfinite(self.times(version)).sum()) for version in (0, 1))

    def times(self, version: int) -> Floats:
        """All times of a version, of shape [answers]."""
        times: Floats = np.array(self._all[version])
        return np.asarray(times[np.isfinite(times)])

    def enough_rounds(self) -> bool:
        return self.rounds >= max(MIN_ROUNDS, -(-MIN_REPEATED // self._fastest.shape[1]))

    def look_is_due(self) -> bool:
        """Whether enough rounds have come since this was last answered with yes: a look is work, too."""
        due = self.enough_rounds() and self.rounds >= self._next_look
        if due:
            self._next_look = self.rounds * _MORE_ROUNDS
        return due

    def typical(self) -> Estimate | None:
        """The ratio of the 95th percentiles over requests, each with its fastest time; None without answers to both."""
        pairs = self._fastest[:, np.isfinite(self._fastest).all(axis=0)]
        if not pairs.size:
            return None
        drawn = _generator().integers(pairs.shape[1], size=(_RESAMPLES, pairs.shape[1]))
        return Estimate(_p95(pairs[0]), _p95(pairs[1]), _p95s(pairs[1][drawn]) / _p95s(pairs[0][drawn]))


def decide(latencies: Latencies, limits: Limits) -> State:
    """Say whether the times so far decide."""
    typical = latencies.typical()
    if typical is None or latencies.samples() < limits.min_samples or not latencies.enough_rounds():
        return "Undecided"
    if typical.fails(limits.latency_increase):
        return "Failed"
    return "Passed" if typical.passes(limits.latency_increase) else "Undecided"


def judge(latencies: Latencies, limits: Limits) -> Check:
    """The verdict when no more rounds are to come: what is still undecided then has not been shown to be slower."""
    limit = f"+{float(limits.latency_increase):g} %"
    count = latencies.samples()
    typical = latencies.typical()
    if typical is None or count < limits.min_samples:
        message = f"{count} answers of each version are too few to decide: limits.minSamples is {limits.min_samples}"
        return Check("golden/latency-p95", "Inconclusive", message, limit=limit)
    failed = typical.fails(limits.latency_increase)
    told = f"of {latencies.rounds} times of each request the fastest: {typical}"
    if not failed and typical.exceeds(limits.latency_increase):
        told += "; above the limit, but within what chance does here"
    old, new = (_p95(latencies.times(version)) for version in (0, 1))
    told += f"; all {count} answers: p95 {milliseconds(old)} → {milliseconds(new)}"
    figures = (milliseconds(typical.old), milliseconds(typical.new))
    return Check("golden/latency-p95", "Failed" if failed else "Passed", told, *figures, limit)


def told(latencies: Latencies) -> list[Check]:
    """The other percentiles of all times, which have no limit."""
    old, new = latencies.times(0), latencies.times(1)
    if not len(new):
        return []
    return [
        Check(
            f"golden/latency-p{percent}",
            "Passed",
            f"of {len(new)} answers; told, not judged",
            milliseconds(float(np.quantile(old, percent / 100))) if len(old) else None,
            milliseconds(float(np.quantile(new, percent / 100))),
        )
        for percent in ((50, 99) if len(old) else (50, 95, 99))
    ]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


def _p95(times: Floats) -> float:
    return float(np.quantile(times, 0.95))


def _p95s(times: Floats) -> Floats:
    return np.asarray(np.quantile(times, 0.95, axis=1))


def _generator() -> Any:
    return np.random.default_rng(_SEED)
