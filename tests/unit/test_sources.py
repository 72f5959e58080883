"""docs/sources.md: every rule of the source documents has its row, and every test that a row names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/sources.md").read_text()
RULES = [
    f"{letter}{n}" for letter, last in (("P", 30), ("C", 11), ("B", 11), ("F", 8), ("H", 4)) for n in range(1, last + 1)
]
CASES = [str(n) for n in range(1, 25)]
NOT_YET = "not there yet"


def rows() -> dict[str, list[str]]:
    """The cells of each row by its first one; a cell that appears twice is an error."""
    found: dict[str, list[str]] = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(r"[A-Z]?\d+", cells[0]):
            assert cells[0] not in found, f"docs/sources.md has two rows {cells[0]}"
            found[cells[0]] = cells[1:]
    return found


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_rule_and_every_case_has_one_row_in_order() -> None:
    assert list(rows()) == [*RULES, *CASES]


@pytest.mark.parametrize("name", [*RULES, *CASES])
def test_a_row_names_tests_that_exist(name: str) -> None:
    cells = rows()[name]
    assert len(cells) == (2 if name in CASES else 3), f"a '|' too many or too few in row {name}"
    named = re.findall(r"`([^`]+)`", cells[-1])
    assert all(re.fullmatch(r"[\w/.]+\.py::test_\w+", test) for test in named), cells[-1]
    missing = []
    for test in named:
        path, _, function = test.partition("::")
        if not (ROOT / path).is_file() or function not in functions_of(path):
            missing.append(test)
    assert missing == []
    if name in RULES:
        assert bool(named) != (cells[1] == NOT_YET), f"row {name}: a rule that is there is shown by a test"
