"""The arithmetic of limits: relative to the baseline, strict, and exact.

115.0 % of a baseline does not exceed a limit of 15 %, 115.1 % does; accuracy 0.90 → 0.855 is a drop of exactly 5 % and
does not exceed 5 %. In binary floats 0.9 * 0.95 is not 0.855, so numbers are compared as fractions. A float stands for
the shortest decimal number that names it: what its report shows is what is compared.
"""

import math
from collections.abc import Hashable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

Number = int | float | str | Decimal | Fraction
"""A finite number; a string holds a decimal one, as in the API ("0.2")."""

Label = TypeVar("Label", bound=Hashable)

SMOOTHING = 1e-6
"""What each label gets on top of its count, as a share of all counts: a label never seen gives a large, finite KL."""


def exact(number: Number) -> Fraction:
    """Turn a number into a fraction; raises ValueError for NaN, infinity, or text that is no number."""
    try:
        return Fraction(repr(float(number))) if isinstance(number, float) else Fraction(number)
    except OverflowError as error:  # a Decimal that is infinite
        raise ValueError(str(error)) from None


def exceeds_percent(baseline: Number, value: Number, limit: Number) -> bool:
    """Say whether `value` is more than `limit` percent above `baseline`; of a baseline of 0, anything above 0 is.

    Raises ValueError for a negative baseline or limit.
    """
    base, percent = _checked(baseline, limit)
    return exact(value) * 100 > base * (100 + percent)


def drops_percent(baseline: Number, value: Number, limit: Number) -> bool:
    """Say whether `value` is more than `limit` percent below `baseline`; raises ValueError as exceeds_percent does."""
    base, percent = _checked(baseline, limit)
    return exact(value) * 100 < base * (100 - percent)


def kl_divergence(live: Mapping[Label, float], baseline: Mapping[Label, float]) -> float:
    """D(live ‖ baseline) in nats, of two histograms: label → count or share, not negative, not all 0.

    The direction matters: [.8, .2] against [.5, .5] is 0.1927, the reverse 0.2231. Raises ValueError.
    """
    labels = live.keys() | baseline.keys()
    p, q = _shares(live, labels), _shares(baseline, labels)
    # No rounding may make it negative: it is 0 only for equal histograms.
    return max(0.0, math.fsum(p[label] * math.log(p[label] / q[label]) for label in labels))


def _shares(counts: Mapping[Label, float], labels: set[Label]) -> dict[Label, float]:
    total = math.fsum(counts.values())
    if not (0 < total < math.inf) or min(counts.values()) < 0:
        raise ValueError("a histogram needs finite counts that are not negative, and one above 0")
    whole = 1 + SMOOTHING * len(labels)
    return {label: (counts.get(label, 0) / total + SMOOTHING) / whole for label in labels}


def _checked(baseline: Number, limit: Number) -> tuple[Fraction, Fraction]:
    base, percent = exact(baseline), exact(limit)
    if base < 0 or percent < 0:
        raise ValueError(f"a baseline and its limit are not negative: {baseline}, {limit} %")
    return base, percent
