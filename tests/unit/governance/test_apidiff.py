"""Which changes of an interface break its callers."""

from __future__ import annotations

from typing import Any

import pytest
from topgraft.api.modelversion import Api
from topgraft.governance.apidiff import api_changes, breaking


def parameter(name: str, data_type: str = "double", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "parameter", "dataType": data_type, **more}


def array(name: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "type": "array", "dataType": "float", "shape": list(shape)}


def table(name: str, *columns: tuple[str, str, bool]) -> dict[str, Any]:
    made = [{"name": column, "dataType": kind, "required": required} for column, kind, required in columns]
    return {"name": name, "type": "tabular", "columns": made}


AGE, CITY = ("age", "integer", True), ("city", "string", False)
CASES = [
    # side, old, new, breaking, what is told
    ("inputs", [parameter("x")], [], True, "input 'x' was removed (parameter double, required)"),
    ("inputs", [], [parameter("x")], True, "input 'x' is new (parameter double, required)"),
    ("inputs", [], [parameter("x", required=False)], False, "input 'x' is new (parameter double, optional)"),
    (
        "inputs",
        [parameter("x")],
        [parameter("x", "integer")],
        True,
        "input 'x' was parameter double, required, is parameter integer, required",
    ),
    (
        "inputs",
        [parameter("x", required=False)],
        [parameter("x")],
        True,
        "input 'x' was parameter double, optional, is parameter double, required",
    ),
    (
        "inputs",
        [parameter("x")],
        [parameter("x", required=False)],
        False,
        "input 'x' was parameter double, required, is parameter double, optional",
    ),
    (
        "inputs",
        [array("x", -1, 64)],
        [array("x", -1, 32)],
        True,
        "input 'x' was array float [-1, 64], required, is array float [-1, 32], required",
    ),
    ("inputs", [table("t", AGE)], [table("t")], True, "input 't' column 'age' was removed (integer, required)"),
    ("inputs", [table("t")], [table("t", AGE)], True, "input 't' column 'age' is new (integer, required)"),
    ("inputs", [table("t")], [table("t", CITY)], False, "input 't' column 'city' is new (string, optional)"),
    (
        "inputs",
        [table("t", CITY)],
        [table("t", ("city", "string", True))],
        True,
        "input 't' column 'city' was string, optional, is string, required",
    ),
    ("outputs", [parameter("y")], [], True, "output 'y' was removed (parameter double, required)"),
    ("outputs", [], [parameter("y")], False, "output 'y' is new (parameter double, required)"),
    (
        "outputs",
        [parameter("y")],
        [parameter("y", required=False)],
        True,
        "output 'y' was parameter double, required, is parameter double, optional",
    ),
    (
        "outputs",
        [parameter("y", required=False)],
        [parameter("y")],
        False,
        "output 'y' was parameter double, optional, is parameter double, required",
    ),
    ("outputs", [table("t", AGE)], [table("t")], True, "output 't' column 'age' was removed (integer, required)"),
    ("outputs", [table("t")], [table("t", AGE)], False, "output 't' column 'age' is new (integer, required)"),
]


@pytest.mark.parametrize(("side", "old", "new", "breaks", "told"), CASES, ids=[case[4] for case in CASES])
def test_a_change_of_the_api_is_told_and_breaks_callers_or_not(
    side: str, old: list[Any], new: list[Any], breaks: bool, told: str
) -> None:
    changes = api_changes(Api.model_validate({side: old}), Api.model_validate({side: new}))
    assert [(str(change), change.breaking) for change in changes] == [(told, breaks)]


def test_a_renamed_item_is_gone_and_new() -> None:
    old, new = Api.model_validate({"inputs": [parameter("x")]}), Api.model_validate({"inputs": [parameter("y")]})
    found = breaking(api_changes(old, new))
    assert [change.name for change in found] == ["input 'x'", "input 'y'"]


def test_order_makes_no_difference() -> None:
    items = [table("t", AGE, CITY), parameter("x")]
    turned = [parameter("x"), table("t", CITY, AGE)]
    old = Api.model_validate({"inputs": items, "outputs": items})
    assert api_changes(old, Api.model_validate({"inputs": turned, "outputs": turned})) == ()
    assert api_changes(old, old) == ()
