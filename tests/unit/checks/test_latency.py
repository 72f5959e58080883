"""The verdict on latency: exact where there is no noise, and what it says under kinds of noise that machines have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from topgraft.checks.config import Limits
from topgraft.checks.latency import Floats, Latencies, decide, judge, told

LIMITS = Limits(Fraction(15), Fraction(5), Fraction(1), Fraction(1, 5), 50)
REQUESTS = 100
BLOCK = 20


def constant(old: float, new: float, requests: int = REQUESTS, rounds: int = 5) -> Latencies:
    latencies = Latencies(requests)
    for _ in range(rounds):
        for start in range(0, requests, BLOCK):
            size = min(BLOCK, requests - start)
            latencies.add([old] * size, [new] * size)
        latencies.add_round(np.array([[old] * requests, [new] * requests]))
    return latencies


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        (0.100, 0.115, "Passed"),  # +15.0 %: met, not exceeded
        (0.100, 0.1151, "Failed"),  # +15.1 %
        (0.002, 0.0023, "Passed"),
        (0.002, 0.002302, "Failed"),
        (0.7, 0.805, "Passed"),  # in floats 0.7 * 1.15 is 0.8049999999999999
        (0.0011, 0.001265, "Passed"),
        (0.05, 0.05, "Passed"),
        (0.05, 0.01, "Passed"),
        (0.05, 0.07, "Failed"),
    ],
)
def test_without_noise_it_is_arithmetic(old: float, new: float, verdict: str) -> None:
    latencies = constant(old, new)
    assert judge(latencies, LIMITS).verdict == verdict
    assert decide(latencies, LIMITS) == verdict


@given(st.integers(1, 10**6), st.integers(0, 40))
def test_without_noise_it_is_arithmetic_for_any_figures(microseconds: int, percent: int) -> None:
    latencies = constant(microseconds / 10**6, microseconds * (100 + percent) / 10**8, requests=10)
    assert (judge(latencies, LIMITS).verdict == "Failed") is (percent > 15)


def test_few_answers_decide_nothing() -> None:
    latencies = constant(0.1, 0.2, requests=10, rounds=4)
    assert decide(latencies, LIMITS) == "Undecided"
    check = judge(latencies, LIMITS)
    assert check.verdict == "Inconclusive"
    assert "40 answers" in check.message
    assert "minSamples is 50" in check.message
    assert judge(constant(0.1, 0.1, requests=10, rounds=5), LIMITS).verdict == "Passed"


def test_no_answer_at_all_decides_nothing() -> None:
    assert judge(Latencies(10), LIMITS).verdict == "Inconclusive"
    assert decide(Latencies(10), LIMITS) == "Undecided"
    assert told(Latencies(10)) == []
    failed = Latencies(2)
    failed.add([np.nan, np.nan], [0.1, 0.1])
    failed.add_round(np.array([[np.nan, np.nan], [0.1, 0.1]]))
    assert judge(failed, LIMITS).verdict == "Inconclusive"


def test_the_other_percentiles_are_told_without_a_verdict() -> None:
    latencies = Latencies(100)
    latencies.add([n / 1000 for n in range(1, 102)], [n / 500 for n in range(1, 102)])
    shown = {check.name: (check.old, check.new, check.verdict) for check in told(latencies)}
    assert shown == {
        "golden/latency-p50": ("51 ms", "102 ms", "Passed"),
        "golden/latency-p99": ("100 ms", "200 ms", "Passed"),
    }


def test_a_neighbour_of_one_of_two_equal_processes_is_no_fault_of_it() -> None:
    """Seen on a real machine: of the same code twice, one had twice the p95 of the other, for a whole run."""
    generator = np.random.default_rng(3)
    latencies = Latencies(REQUESTS)

    def beside_a_neighbour(times: Floats, _: float) -> Floats:
        return times + 0.004 * (generator.random(times.shape) < 0.2)

    simulate(latencies, generator, 0.001, beside_a_neighbour, quiet)
    check = judge(latencies, LIMITS)
    assert check.verdict == "Passed"
    assert "all" in check.message
    old, new = (np.quantile(latencies.times(version), 0.95) for version in (0, 1))
    assert new > 3 * old


def test_inputs_that_became_slow_are_caught() -> None:
    """One request in five, always the same."""
    generator = np.random.default_rng(3)
    latencies = Latencies(REQUESTS)
    factor = np.where(np.arange(BLOCK) % 5 == 0, 2.0, 1.0)
    simulate(latencies, generator, 0.005, lambda times, _: times * factor, quiet)
    assert judge(latencies, LIMITS).verdict == "Failed"


Noise = Callable[[np.random.Generator, int, float], Floats]
"""Takes how many answers and when; returns what is added to each, in seconds."""


def quiet(generator: np.random.Generator, count: int, _: float) -> Floats:
    return generator.exponential(0.0001, count)


def heavy_tail(generator: np.random.Generator, count: int, _: float) -> Floats:
    """Most answers are hardly late, some by a hundred times as much."""
    return 0.0002 * generator.pareto(1.2, count)


def scheduling(generator: np.random.Generator, count: int, _: float) -> Floats:
    """Two cores, three more processes: every other answer waits for one or more time slices of 4 ms."""
    return generator.exponential(0.0003, count) + 0.004 * generator.geometric(0.5, count) * (
        generator.random(count) < 0.5
    )


def bursts(generator: np.random.Generator, count: int, now: float) -> Floats:
    """For 0.3 s of every second the machine is busy with something else."""
    return generator.exponential(0.010 if now % 1 < 0.3 else 0.0002, count)


def drift(generator: np.random.Generator, count: int, now: float) -> Floats:
    """It gets slower and slower."""
    return generator.exponential(0.0002 * (1 + now), count) + 0.0002 * now


NOISES = (quiet, heavy_tail, scheduling, bursts, drift)


def simulate(
    latencies: Latencies,
    generator: np.random.Generator,
    seconds: float,
    slower: Callable[[Floats, float], Floats],
    noise: Noise,
) -> float:
    """Play a replay with a clock of its own, as Replay does it; returns how long it took."""
    inputs = seconds * generator.uniform(0.8, 1.2, REQUESTS)  # some requests are more work than others
    now = 0.0
    while now < 60:
        if latencies.look_is_due() and decide(latencies, LIMITS) != "Undecided":
            break
        row = np.empty((2, REQUESTS))
        for start in range(0, REQUESTS, BLOCK):
            part = slice(start, start + BLOCK)
            for version in generator.permutation(2):
                own = inputs[part] if version == 0 else slower(inputs[part], now)
                row[version, part] = own + noise(generator, BLOCK, now)
                now += float(row[version, part].sum())
            latencies.add(row[0, part].tolist(), row[1, part].tolist())
        latencies.add_round(row)
    return now


SPEEDS = pytest.mark.parametrize("seconds", [0.001, 0.005, 0.05], ids=["1ms", "5ms", "50ms"])
EVERY_NOISE = pytest.mark.parametrize("noise", NOISES)


@SPEEDS
@EVERY_NOISE
def test_under_noise_the_same_code_passes_and_slower_code_fails(noise: Noise, seconds: float) -> None:
    assert verdicts(noise, seconds, 0, 2) == {"Passed": 2}
    assert verdicts(noise, seconds, 40, 2) == {"Failed": 2}


@pytest.mark.full
@SPEEDS
@EVERY_NOISE
def test_twenty_of_twenty(noise: Noise, seconds: float) -> None:
    assert verdicts(noise, seconds, 0, 20) == {"Passed": 20}
    assert verdicts(noise, seconds, 40, 20) == {"Failed": 20}


def verdicts(noise: Noise, seconds: float, percent: int, count: int) -> Counter[str]:
    """How often each verdict comes where the new version takes so many percent more."""
    found: Counter[str] = Counter()
    for seed in range(count):
        latencies = Latencies(REQUESTS)
        generator = np.random.default_rng(seed)
        simulate(latencies, generator, seconds, lambda times, _: times * (1 + percent / 100), noise)
        found[judge(latencies, LIMITS).verdict] += 1
    return found
