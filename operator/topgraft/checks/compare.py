"""Do two answers agree? Each comparison names the first difference in words for a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from topgraft.checks.config import Golden, Tolerance
from topgraft.checks.failure import printable
from topgraft.checks.goldenfile import Labels
from topgraft.checks.outputs import AnswerError, Output, Outputs, classes
from topgraft.limits import exact

Compare = Callable[[Outputs, Outputs, Labels | None], str]
"""Takes the old outputs, the new ones and the request's labels; returns the difference, or nothing."""

_SHOWN = 60
_ROUNDING = 1e-14


def comparison(golden: Golden) -> Compare:
    """The comparison that the specification asks for."""
    if golden.compare == "Tolerance":
        return _within(golden.tolerances)
    return {"Exact": _exact, "TopOne": _top_one, "None": lambda *_: ""}[golden.compare]


def _exact(old: Outputs, new: Outputs, _: Labels | None) -> str:
    if difference := _form(old, new):
        return difference
    for name, one in old.items():
        other = new[name]
        # Text first: to Python 1, 1.0 and true are equal, to whoever reads the JSON they are not.
        if one.data != other.data or (not one.datatype and _canonical(one.data) != _canonical(other.data)):
            return _at(name, one, other, _first(one.data, other.data))
    return ""


def _top_one(old: Outputs, new: Outputs, labels: Labels | None) -> str:
    """A new best class agrees if it is the old one, or where there are labels, the right one: they decide."""
    before, after = classes(old), classes(new)
    if before is None:
        raise AnswerError("the answer names no class")
    if after == before or (labels is not None and after == labels):
        return ""
    if after is None or len(after) != len(before):
        return f"class {_shown(before[0])} → {len(after or ())} classes instead of {len(before)}"
    row = next(row for row in range(len(before)) if after[row] != before[row])
    return f"class {_shown(before[row])} → {_shown(after[row])}"


def _within(tolerances: Sequence[Tolerance]) -> Compare:
    entries = {tolerance.tensor: tolerance for tolerance in tolerances}
    none = Tolerance(None, Fraction(0), Fraction(0))

    def compare(old: Outputs, new: Outputs, _: Labels | None) -> str:
        if difference := _form(old, new):
            return difference
        for name, one in old.items():
            tolerance = entries.get(name, entries.get(None, none))
            if difference := _numbers(name, one, new[name], tolerance):
                return difference
        return ""

    return compare


def _form(old: Outputs, new: Outputs) -> str:
    """Names, datatypes and shapes: no tolerance covers them."""
    if old.keys() != new.keys():
        return f"outputs {_shown(sorted(old))} → {_shown(sorted(new))}"
    for name, one in old.items():
        other = new[name]
        if (one.datatype, one.shape) != (other.datatype, other.shape):
            return f"{_shown(name)}: {_form_of(one)} → {_form_of(other)}"
    return ""


def _numbers(name: str, old: Output, new: Output, tolerance: Tolerance) -> str:
    if old.data == new.data:
        return ""
    before, after = _array(old.data), _array(new.data)
    if before is None or after is None or before.shape != after.shape:
        return _at(name, old, new, _first(old.data, new.data))
    with np.errstate(all="ignore"):
        allowed = float(tolerance.absolute) + float(tolerance.relative) * abs(before)
        # What rounding may have moved over the limit either way; only exact arithmetic can tell there.
        unsure = _ROUNDING * (abs(before) + abs(after) + allowed)
        # Where both are infinite the difference is NaN, and where one is, infinite.
        far = ~(abs(after - before) < allowed - unsure) & (after != before)
    for index in np.flatnonzero(far).tolist():
        one, other = before.flat[index].item(), after.flat[index].item()
        if np.isfinite((one, other)).all():
            limit = tolerance.absolute + tolerance.relative * abs(exact(one))
            if abs(exact(other) - exact(one)) <= limit:
                continue
        where = f"[{index}]" if before.ndim else ""
        return f"{_shown(name)}{where}: {one!r} → {other!r}"
    return ""


def _array(data: Any) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """The numbers of a value, None if there is anything else in it."""
    try:
        array = np.asarray(data)
        return array.astype(np.float64) if array.dtype.kind in "iuf" and array.size else None
    except (ValueError, OverflowError):
        return None


def _first(old: Any, new: Any) -> int | None:
    """Where two flat lists differ first."""
    if not (isinstance(old, list) and isinstance(new, list)) or len(old) != len(new):
        return None
    return next((index for index, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1]), None)


def _at(name: str, old: Output, new: Output, index: int | None) -> str:
    if index is None:
        return f"{_shown(name)}: {_shown(old.data)} → {_shown(new.data)}"
    return f"{_shown(name)}[{index}]: {_shown(old.data[index])} → {_shown(new.data[index])}"


def _form_of(output: Output) -> str:
    return f"{_shown(output.datatype or 'value')}{list(output.shape)}"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _shown(value: Any) -> str:
    text = printable(value if isinstance(value, str) else _canonical(value))
    return text[:_SHOWN] + "…" if len(text) > _SHOWN else text
