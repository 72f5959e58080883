"""Figures as tables."""

import statistics
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(percent * 10) // 1000) - 1)]


def spread(values: Sequence[float], unit: str = "s", digits: int = 2) -> str:
    """Median, 99th percentile and the greatest of some values."""
    figures = (statistics.median(values), percentile(values, 99), max(values))
    return "  ".join(
        f"{name} {value:.{digits}f} {unit}" for name, value in zip(("p50", "p99", "max"), figures, strict=True)
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, its first column to the left, the others to the right."""
    cells = [[f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        first, *others = (
            cell.ljust(width) if not index else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join((first, *others)), flush=True)
