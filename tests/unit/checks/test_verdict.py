"""The verdicts on accuracy, errors, agreement and distribution: the design's vectors, and too few answers."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from topgraft.checks.config import Limits
from topgraft.checks.verdict import accuracy, agreement, divergence, errors

LIMITS = Limits(Fraction(15), Fraction(5), Fraction(1), Fraction(1, 5), 50)


@pytest.mark.parametrize(
    ("old", "new", "labelled", "verdict"),
    [
        (180, 171, 200, "Passed"),  # 0.90 → 0.855: exactly 5 %
        (180, 170, 200, "Failed"),  # 0.90 → 0.85
        (180, 190, 200, "Passed"),
        (10, 9, 10, "Inconclusive"),  # one wrong answer of ten decides nothing
        (20, 0, 20, "Failed"),  # though the 30 missing ones were right in both
        (10, 10, 10, "Passed"),
        (0, 0, 100, "Inconclusive"),
        (None, 7, 10, "Passed"),
    ],
)
def test_accuracy(old: int | None, new: int, labelled: int, verdict: str) -> None:
    assert accuracy(old, new, labelled, LIMITS).verdict == verdict


def test_accuracy_in_words() -> None:
    check = accuracy(180, 170, 200, LIMITS)
    assert (check.old, check.new, check.limit) == ("90 %", "85 %", "-5 %")
    assert check.message == "170 of 200 answers are right, 180 with the old version"
    assert "10 are too few to decide: limits.minSamples is 50" in accuracy(10, 9, 10, LIMITS).message
    assert "are they written as it writes them?" in accuracy(0, 0, 100, LIMITS).message


@pytest.mark.parametrize(
    ("old", "new", "sent", "verdict"),
    [
        (0, 1, 100, "Passed"),  # exactly one point
        (0, 2, 100, "Failed"),
        (15, 25, 1000, "Passed"),
        (15, 26, 1000, "Failed"),
        (5, 0, 100, "Passed"),
        (0, 1, 10, "Failed"),
        (0, 10, 10, "Failed"),
    ],
)
def test_errors(old: int, new: int, sent: int, verdict: str) -> None:
    assert errors(old, new, sent, LIMITS, "", has_old=True).verdict == verdict


def test_few_errors_of_few_requests_decide_nothing() -> None:
    loose = Limits(Fraction(15), Fraction(5), Fraction(5), Fraction(1, 5), 50)
    assert errors(0, 1, 10, loose, "", has_old=True).verdict == "Inconclusive"
    assert errors(0, 5, 10, loose, "", has_old=True).verdict == "Failed"
    assert (
        errors(0, 5, 10, loose, "status 500 (5 ×)", has_old=False).message
        == "5 of 10 requests failed; status 500 (5 ×)"
    )


@pytest.mark.parametrize(
    ("agreed", "compared", "percent", "verdict"),
    [
        (500, 500, 100, "Passed"),
        (499, 500, 100, "Failed"),
        (475, 500, 95, "Passed"),
        (474, 500, 95, "Failed"),
        (0, 0, 100, "Passed"),
    ],
)
def test_agreement(agreed: int, compared: int, percent: int, verdict: str) -> None:
    assert agreement(agreed, compared, 0, percent, "", has_old=True).verdict == verdict


def test_agreement_in_words() -> None:
    check = agreement(499, 500, 3, 100, "r7: p[0]: 1 → 2", has_old=True)
    assert check.message == "1 of 500 answers differ, 3 more may change; r7: p[0]: 1 → 2"
    assert (check.new, check.limit) == ("99.8 %", "at least 100 %")


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ({"a": 50, "b": 50}, {"a": 80, "b": 20}, "Passed"),  # 0.1927
        ({"a": 50, "b": 50}, {"a": 81, "b": 19}, "Failed"),  # 0.2069
        ({"a": 80, "b": 20}, {"a": 50, "b": 50}, "Failed"),  # the other direction: 0.2231
        ({"a": 10, "b": 10}, {"a": 17, "b": 3}, "Inconclusive"),
        ({"a": 20}, {"b": 20}, "Failed"),
        ({"a": 20}, {"a": 20}, "Passed"),
    ],
)
def test_divergence(old: dict[str, int], new: dict[str, int], verdict: str) -> None:
    check = divergence(Counter(old), Counter(new), LIMITS)
    assert check
    assert check.verdict == verdict


def test_divergence_in_words() -> None:
    check = divergence(Counter(a=50, b=50), Counter(a=81, b=19), LIMITS)
    assert check
    assert (check.new, check.limit) == ("0.2069", "0.2")
    assert check.message == "of 2 classes in 100 answers; most changed: a 50 → 81, b 50 → 19"


def test_texts_have_no_distribution() -> None:
    assert divergence(Counter(map(str, range(100))), Counter(map(str, range(100, 200))), LIMITS) is None
    assert divergence(Counter(), Counter(), LIMITS) is None
