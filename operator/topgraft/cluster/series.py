"""What is known of one version's live traffic, in bounded memory whatever its pods answer."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from topgraft.api.verification import Limits
from topgraft.cluster.exposition import MAX_BUCKETS, MAX_LABELS, UnreadableError
from topgraft.rollout.comparison import BASELINE_WINDOWS
from topgraft.rollout.traffic import OTHER_LABEL, Counters, Figures, PodTraffic, QueriedTraffic, Traffic, Unseen
from topgraft.rollout.views import Pod

Sampled = TypeVar("Sampled", Counters, Figures)

TRIES = 3
"""Rounds in a row that must fail before it is told: a pod may be gone a moment before the watch says so."""
RECENT_SAMPLES = 120
"""So many cover all windows that are judged."""
MAX_SAMPLES = 200
PODS_A_ROUND = 16
LONGEST_REST = 32
"""Rounds without a pod that did not answer in time, after which it is asked again in any case."""


def interval(window_seconds: int) -> float:
    """Seconds between two rounds: a tenth of a window, from 1 to 10."""
    return min(10.0, max(1.0, window_seconds / 10))


class Series:
    """`add` what a round brought, or `fail`; `traffic` is what looks see."""

    def __init__(self, limits: Limits) -> None:
        self._window_seconds = limits.window_seconds
        judged = max(limits.consecutive_breaches, BASELINE_WINDOWS) + 1
        self._recent = timedelta(seconds=judged * limits.window_seconds)
        self._spacing = max(self._recent / RECENT_SAMPLES, timedelta(seconds=interval(limits.window_seconds) * 0.7))
        self._failures = 0
        self._error: tuple[str, str] | None = None
        self._rounds = 0
        self._silent: dict[str, tuple[int, int]] = {}
        """By uid: how often in a row a pod did not answer in time, and the round from which it is asked again."""
        self._labels: dict[str, str] = {}
        self._bounds: dict[float, float] = {}
        self._pods: dict[str, Counters] = {}
        self._total = Counters()
        self._samples: list[tuple[datetime, Counters]] = []
        self._points: list[tuple[datetime, Figures]] = []
        self._lifetime = Figures()
        self.asked_at = -1e9

    def due(self, pods: Iterable[Pod]) -> list[Pod]:
        """The pods to ask in this round: in turn where they are many, and none that rests."""
        self._rounds += 1
        uids = {pod.metadata.uid: pod for pod in pods}
        self._silent = {uid: rest for uid, rest in self._silent.items() if uid in uids}
        ready = [uids[uid] for uid in sorted(uids) if uid not in self._silent or self._silent[uid][1] <= self._rounds]
        if len(ready) <= PODS_A_ROUND:
            return ready
        start = self._rounds * PODS_A_ROUND % len(ready)
        return [*ready[start:], *ready[:start]][:PODS_A_ROUND]

    def rest(self, uid: str) -> None:
        """A pod did not answer in time: it is left out for a while that doubles."""
        times = self._silent.get(uid, (0, 0))[0] + 1
        self._silent[uid] = (times, self._rounds + min(2**times, LONGEST_REST))

    def admit(self, uid: str, counters: Counters) -> Counters:
        """What a pod answered, with no more labels and bounds than a version has in its life.

        Labels beyond count as OTHER_LABEL. Raises UnreadableError for bounds beyond: a histogram's do not change.
        """
        self._silent.pop(uid, None)
        if len(self._bounds.keys() | counters.buckets.keys()) > MAX_BUCKETS:
            raise UnreadableError(f"the histogram's bounds change: {MAX_BUCKETS} were seen before")
        buckets = {self._bounds.setdefault(bound, bound): count for bound, count in counters.buckets.items()}
        return replace(counters, labels=self._known(counters.labels), buckets=buckets)

    def _known(self, labels: Mapping[str, float]) -> dict[str, float]:
        # One text for each label of all samples: it is them that take the memory.
        known: dict[str, float] = {}
        for label, count in labels.items():
            full = len(self._labels) >= MAX_LABELS and label not in self._labels
            name = OTHER_LABEL if full else self._labels.setdefault(label, label)
            known[name] = known.get(name, 0) + count
        return known

    def add_pods(self, read: Mapping[str, Counters], live: Iterable[str], time: datetime) -> None:
        """Take in the counters of pods, by uid. A pod seen for the first time has counted nothing yet that matters."""
        for uid, counters in read.items():
            before = self._pods.get(uid)
            if before is not None:
                self._total = self._total.plus(counters if counters.restarted(before) else counters.minus(before))
            self._pods[uid] = counters
        for uid in self._pods.keys() - set(live):
            del self._pods[uid]
        self._succeeded()
        self._append(self._samples, time, self._total)

    def add_point(self, figures: Figures, time: datetime) -> None:
        self._succeeded()
        self._append(self._points, time, replace(figures, labels=self._known(figures.labels)))

    def set_baseline(self, figures: Figures) -> None:
        self._succeeded()
        self._lifetime = figures

    def fail(self, reason: str, message: str, *, lasting: bool = False) -> None:
        """Note a round that brought nothing; the error is told after some in a row."""
        self._failures = TRIES if lasting else self._failures + 1
        if self._failures >= TRIES:
            self._error = (reason, message)

    def _succeeded(self) -> None:
        self._failures, self._error = 0, None

    @property
    def traffic(self) -> Traffic:
        if self._samples:
            lifetime = Counters()
            for counters in self._pods.values():
                lifetime = lifetime.plus(counters)
            return PodTraffic(tuple(self._samples), lifetime, self._error)
        if self._points or self._lifetime.requests:
            return QueriedTraffic(tuple(self._points), self._window_seconds, self._lifetime, self._error)
        return Unseen(self._error)

    def _append(self, kept: list[tuple[datetime, Sampled]], time: datetime, one: Sampled) -> None:
        """The newest is always there, the others are apart by the spacing.

        When they are too many, one goes of those too old for a window: where they lie closest, never the first.
        """
        if len(kept) > 1 and kept[-1][0] - kept[-2][0] < self._spacing:
            kept.pop()
        kept.append((time, one))
        if len(kept) > MAX_SAMPLES:
            old = bisect(kept, time - self._recent, key=lambda sample: sample[0])
            del kept[min(range(1, max(old, 2)), key=lambda place: kept[place + 1][0] - kept[place - 1][0])]
