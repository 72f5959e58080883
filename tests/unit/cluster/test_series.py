"""What is kept of a version's traffic: bounded, whatever its pods answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from topgraft.api.verification import Limits
from topgraft.cluster.exposition import MAX_BUCKETS, MAX_LABELS, UnreadableError
from topgraft.cluster.series import MAX_SAMPLES, PODS_A_ROUND, Series, interval
from topgraft.rollout.traffic import OTHER_LABEL, Counters, Figures, PodTraffic

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LIMITS = Limits(window_seconds=10)


def pods(count: int) -> Any:
    return [SimpleNamespace(metadata=SimpleNamespace(uid=f"pod-{number:03}")) for number in range(count)]


def asked(series: Series, count: int) -> list[str]:
    return [pod.metadata.uid for pod in series.due(pods(count))]


def test_a_pod_that_begins_anew_loses_nothing_and_counts_nothing_twice() -> None:
    series, moments = Series(LIMITS), iter(NOW + timedelta(seconds=n) for n in range(20))
    for value in (100, 110, 5, 7):
        series.add_pods({"a": Counters(value)}, ["a"], next(moments))
    assert [counted.requests for _, counted in series.traffic.samples] == [0, 10, 15, 17]  # type: ignore[attr-defined]
    series.add_pods({"b": Counters(1000)}, ["a", "b"], next(moments))
    series.add_pods({"a": Counters(9), "b": Counters(1001)}, ["a", "b"], next(moments))
    found = series.traffic
    assert isinstance(found, PodTraffic)
    assert found.samples[-1][1].requests == 20, "a round that missed a pod is made up for by the next"
    assert found.lifetime.requests == 1010
    series.add_pods({"b": Counters(1002)}, ["b"], next(moments))
    assert series.traffic.lifetime.requests == 1002  # type: ignore[attr-defined]


def test_memory_is_bounded_and_the_newest_and_the_first_sample_stay() -> None:
    series = Series(LIMITS)
    for number in range(10_000):
        series.add_pods({"a": Counters(number)}, ["a"], NOW + timedelta(seconds=number))
    samples = series.traffic.samples  # type: ignore[attr-defined]
    assert len(samples) <= MAX_SAMPLES
    assert (samples[0][0], samples[-1][0]) == (NOW, NOW + timedelta(seconds=9999))


def test_an_error_is_told_after_three_rounds_and_gone_with_the_next_good_one() -> None:
    series = Series(LIMITS)
    for _ in range(2):
        series.fail("MetricsUnreadable", "x")
    assert series.traffic.error is None
    series.fail("MetricsUnreadable", "x")
    assert series.traffic.error == ("MetricsUnreadable", "x")
    series.add_pods({"a": Counters(1)}, ["a"], NOW)
    assert series.traffic.error is None
    series.fail("QueryFailed", "y", lasting=True)
    assert series.traffic.error == ("QueryFailed", "y")


@pytest.mark.parametrize(("window", "seconds"), [(1, 1), (10, 1), (60, 6), (3600, 10)])
def test_rounds_are_a_tenth_of_a_window_apart(window: int, seconds: float) -> None:
    assert interval(window) == seconds


def test_labels_beyond_the_bound_are_no_classes_whatever_each_answer_names() -> None:
    series = Series(LIMITS)
    for number in range(50):
        labels = {f"{number}-{one}": 2.0 for one in range(100)}
        series.add_pods({"a": series.admit("a", Counters(labels=labels))}, ["a"], NOW + timedelta(seconds=number))
    samples = series.traffic.samples  # type: ignore[attr-defined]
    assert len(samples[-1][1].labels) <= MAX_LABELS + 1
    assert samples[-1][1].labels[OTHER_LABEL] > 0
    assert samples[-1][1].figures().distribution == {}


def test_bounds_of_a_histogram_that_change_are_refused() -> None:
    series = Series(LIMITS)
    series.admit("a", Counters(buckets=dict.fromkeys(map(float, range(1, 200)), 1.0)))
    series.admit("b", Counters(buckets=dict.fromkeys(map(float, range(100, 250)), 1.0)))
    with pytest.raises(UnreadableError, match="bounds change: 256 were seen"):
        series.admit("a", Counters(buckets=dict.fromkeys(map(float, range(200, 200 + MAX_BUCKETS)), 1.0)))


def test_answers_of_prometheus_are_bounded_alike() -> None:
    series = Series(LIMITS)
    for number in range(5_000):
        figures = Figures(requests=1, labels={f"{number}-{one}": 1.0 for one in range(5)})
        series.add_point(figures, NOW + timedelta(seconds=number))
    points = series.traffic.points  # type: ignore[attr-defined]
    assert len(points) <= MAX_SAMPLES
    assert len(set().union(*(figures.labels for _, figures in points))) <= MAX_LABELS + 1


@pytest.mark.parametrize(
    "limits", [LIMITS, Limits(window_seconds=60), Limits(window_seconds=1, consecutive_breaches=9)]
)
def test_every_window_that_is_judged_is_there(limits: Limits) -> None:
    series, seconds, count = Series(limits), limits.window_seconds, limits.consecutive_breaches
    every = interval(seconds)
    for number in range(3_000):
        series.add_pods({"a": Counters(number)}, ["a"], now := NOW + timedelta(seconds=number * every))
    windows = series.traffic.windows(seconds, count, NOW, now)
    assert [figures.requests for figures in windows] == [seconds / every] * count
    overall = series.traffic.overall(NOW).requests
    assert overall == 2_999, "the first sample stays"
    late = series.traffic.overall(NOW + timedelta(seconds=1_000 * every)).requests
    assert 1_800 < late <= 2_000, "what began in between is known nearly from its beginning"
    assert series.traffic.baseline(1, 10 * seconds, now).requests >= 10 * seconds / every


def test_many_pods_are_asked_in_turn() -> None:
    series = Series(LIMITS)
    rounds = [asked(series, 40) for _ in range(6)]
    assert {len(one) for one in rounds} == {PODS_A_ROUND}
    assert len(set().union(*rounds[:3])) == 40
    assert asked(series, 3) == ["pod-000", "pod-001", "pod-002"]


def test_a_silent_pod_is_asked_ever_more_rarely_until_it_answers() -> None:
    series, when = Series(LIMITS), []
    for number in range(200):
        if asked(series, 1):
            when.append(number)
            series.rest("pod-000")
    assert when[:5] == [0, 2, 6, 14, 30]
    assert {later - sooner for sooner, later in pairwise(when[5:])} == {32}
    while not asked(series, 1):
        pass
    series.admit("pod-000", Counters(1))
    assert asked(series, 1) == ["pod-000"]
