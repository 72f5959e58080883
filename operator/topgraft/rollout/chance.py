"""Whether a difference between two versions is more than chance: few requests vary, and no limit should roll back then.

Likelihood-ratio (G) tests: unlike a normal approximation they hold for small counts, and for none at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

SIGMA = 3.09
"""One in a thousand, one-sided, in standard deviations. A bake is judged some dozen times."""


def more_often(count: float, of: float, before: float, of_before: float) -> bool:
    """Whether `count` of `of` is a greater share than `before` of `of_before`, beyond chance.

    Counts are not negative; an estimated `before` may be a fraction.
    """
    if of <= 0 or of_before <= 0 or count / of <= before / of_before:
        return False
    table = ((count, of - count), (before, of_before - before))
    return _g(table) > SIGMA**2


def other_distribution(counts: Mapping[str, float], before: Mapping[str, float]) -> bool:
    """Whether two histograms of labels differ beyond chance."""
    labels = [label for label in counts.keys() | before.keys() if counts.get(label, 0) + before.get(label, 0) > 0]
    if len(labels) < 2 or not sum(counts.values()) or not sum(before.values()):
        return False
    rows = tuple(tuple(side.get(label, 0) for label in labels) for side in (counts, before))
    # Wilson and Hilferty: the cube root of chi-squared over its degrees of freedom is nearly normal.
    freedom = len(labels) - 1
    spread = 2 / (9 * freedom)
    return math.cbrt(_g(rows) / freedom) > 1 - spread + SIGMA * math.sqrt(spread)


def _g(rows: tuple[tuple[float, ...], ...]) -> float:
    """The G statistic of a table of counts: 2 · Σ observed · ln(observed / expected)."""
    sums = [math.fsum(row) for row in rows]
    columns = [math.fsum(column) for column in zip(*rows, strict=True)]
    total = math.fsum(sums)
    terms = (
        seen * math.log(seen * total / (row * column))
        for cells, row in zip(rows, sums, strict=True)
        for seen, column in zip(cells, columns, strict=True)
        if seen > 0
    )
    return max(0.0, 2 * math.fsum(terms))
