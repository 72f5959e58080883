"""Percentages as pods."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from topgraft.rollout.share import Share, rolled, share, surge

REPLICAS, WEIGHTS = st.integers(1, 500), st.integers(1, 99)


@pytest.mark.parametrize(
    ("replicas", "weight", "stable", "candidate", "percent"),
    [
        (1, 1, 1, 1, 50),
        (1, 50, 1, 1, 50),
        (1, 99, 1, 1, 50),
        (2, 10, 2, 1, 33),
        (3, 25, 3, 1, 25),
        (4, 20, 4, 1, 20),
        (4, 50, 4, 4, 50),
        (4, 75, 1, 4, 80),
        (9, 10, 9, 1, 10),
        (10, 5, 10, 1, 9),
        (10, 25, 10, 4, 29),
        (10, 51, 9, 10, 53),
        (10, 75, 3, 10, 77),
        (10, 90, 1, 10, 91),
        (10, 99, 1, 10, 91),
        (99, 1, 99, 1, 1),
    ],
)
def test_pods_of_a_share(replicas: int, weight: int, stable: int, candidate: int, percent: int) -> None:
    made = share(replicas, weight)
    assert made == Share(stable, candidate)
    assert made.percent == percent


@given(REPLICAS, WEIGHTS)
def test_a_share_is_never_too_small_in_all_and_never_below_its_weight(replicas: int, weight: int) -> None:
    made = share(replicas, weight)
    assert made.stable + made.candidate > replicas
    assert max(made) == replicas
    assert min(made) >= 1
    if made.stable > 1:
        assert 100 * made.candidate >= weight * sum(made)


@given(REPLICAS, WEIGHTS, WEIGHTS)
def test_a_larger_weight_is_no_smaller_share(replicas: int, one: int, other: int) -> None:
    less, more = share(replicas, min(one, other)), share(replicas, max(one, other))
    assert less.candidate <= more.candidate
    assert less.stable >= more.stable


@pytest.mark.parametrize(("replicas", "extra"), [(1, 1), (3, 1), (4, 1), (5, 2), (8, 2), (10, 3), (100, 25)])
def test_the_surge_is_a_quarter_rounded_up(replicas: int, extra: int) -> None:
    assert surge(replicas) == extra


@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 7, 10, 40])
def test_rolling_ends_and_never_has_too_few_or_too_many_pods(replicas: int) -> None:
    old, ready = replicas, min(replicas, surge(replicas))
    for _ in range(4 * replicas):
        made = rolled(replicas, ready, old)
        assert made.stable + ready >= replicas
        assert max(made.stable, old) + made.candidate <= replicas + surge(replicas)
        # First the old pods end, then the new ones start and become ready.
        old, ready = made.stable, max(ready, rolled(replicas, ready, made.stable).candidate)
    assert (old, ready) == (1, replicas)
