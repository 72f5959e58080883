"""The arithmetic of limits: the vectors of the design, and its laws for any numbers."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from topgraft.limits import drops_percent, exact, exceeds_percent, kl_divergence

positive = st.decimals(min_value="0.000001", max_value="1000000", places=6)
percents = st.decimals(min_value=0, max_value=100, places=3)
histograms = st.dictionaries(st.integers(0, 5), st.integers(0, 10**6), min_size=1).filter(lambda h: sum(h.values()) > 0)


@pytest.mark.parametrize(
    ("baseline", "value", "limit", "over"),
    [
        (100, "115.0", 15, False),
        (100, "115.1", 15, True),
        (0.02, 0.023, 15, False),
        (0.02, 0.02302, 15, True),
        (0.7, 0.805, 15, False),  # in floats 0.7 * 1.15 is 0.8049999999999999
        (0.1, 0.115, 15, False),
        (0, 0, 15, False),
        (0, 1e-9, 15, True),
        (100, 100, 0, False),
        (100, "100.0001", 0, True),
        ("0.0123", "0.0125", "12.5", False),
    ],
)
def test_increase(baseline: float, value: float, limit: float, over: bool) -> None:
    assert exceeds_percent(baseline, value, limit) is over


@pytest.mark.parametrize(
    ("baseline", "value", "over"),
    [
        (0.90, 0.855, False),
        (0.90, 0.85, True),
        (0.90, 0.8549999, True),
        (Fraction(180, 200), Fraction(171, 200), False),
        (Fraction(180, 200), Fraction(170, 200), True),
        (0, 0, False),
        (0.9, 0.95, False),
    ],
)
def test_drop(baseline: float, value: float, over: bool) -> None:
    assert drops_percent(baseline, value, 5) is over


@given(positive, percents)
def test_exactly_at_the_limit_is_within_it(baseline: Decimal, percent: Decimal) -> None:
    above = exact(baseline) * (100 + exact(percent)) / 100
    below = exact(baseline) * (100 - exact(percent)) / 100
    tiny = Fraction(1, 10**30)
    assert not exceeds_percent(baseline, above, percent)
    assert exceeds_percent(baseline, above + tiny, percent)
    assert not drops_percent(baseline, below, percent)
    assert drops_percent(baseline, below - tiny, percent)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=0))
def test_a_float_is_the_decimal_number_that_names_it(number: float) -> None:
    assert exact(number) == exact(repr(number))
    assert float(exact(number)) == number


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, "x", "", Decimal("NaN"), Decimal("Infinity")])
def test_what_is_no_number_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match=r".*"):
        exact(number)


@pytest.mark.parametrize(("baseline", "limit"), [(-1, 15), (1, -15)])
def test_negative_baselines_and_limits_are_refused(baseline: float, limit: float) -> None:
    for judge in (exceeds_percent, drops_percent):
        with pytest.raises(ValueError, match="not negative"):
            judge(baseline, 1, limit)


@pytest.mark.parametrize(
    ("live", "baseline", "expected"),
    [
        ([0.8, 0.2], [0.5, 0.5], 0.1927),
        ([0.81, 0.19], [0.5, 0.5], 0.2069),
        ([0.5, 0.5], [0.8, 0.2], 0.2231),
        ([80, 20], [5000, 5000], 0.1927),
        ([1, 1], [1, 1], 0),
    ],
)
def test_kl(live: list[float], baseline: list[float], expected: float) -> None:
    assert kl_divergence(dict(enumerate(live)), dict(enumerate(baseline))) == pytest.approx(expected, abs=5e-5)


def test_a_label_that_was_never_seen_counts_a_millionth() -> None:
    assert kl_divergence({"a": 10, "b": 10}, {"a": 10}) == pytest.approx(
        0.5 * math.log(0.5 / 1e-6) + 0.5 * math.log(0.5), abs=1e-4
    )
    assert kl_divergence({"a": 10}, {"a": 10, "b": 0}) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("bad", [{}, {"a": 0}, {"a": -1, "b": 2}, {"a": math.nan}, {"a": math.inf}])
def test_what_is_no_histogram_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="histogram"):
        kl_divergence(bad, {"a": 1})
    with pytest.raises(ValueError, match="histogram"):
        kl_divergence({"a": 1}, bad)


@given(histograms, histograms, st.integers(2, 1000))
def test_kl_is_not_negative_and_depends_on_shares_alone(
    live: dict[int, int], baseline: dict[int, int], times: int
) -> None:
    divergence = kl_divergence(live, baseline)
    assert 0 <= divergence < math.inf
    assert kl_divergence({k: n * times for k, n in live.items()}, baseline) == pytest.approx(divergence, abs=1e-9)
    assert kl_divergence(live, live) == 0
