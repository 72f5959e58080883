"""What a model takes and gives: the item types, their description on the wire, and its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

DataType = Literal["boolean", "string", "integer", "long", "float", "double"]
"""`integer` and `float` have 32 bits, `long` and `double` 64."""

DATA_TYPES: tuple[str, ...] = get_args(DataType)


@dataclass(frozen=True)
class Parameter:
    """One scalar value: `predict` gets a bool, str, int or float."""

    data_type: DataType
    required: bool = True


@dataclass(frozen=True)
class Array:
    """A tensor: `predict` gets a numpy array of this shape, where -1 stands for any length."""

    data_type: DataType
    shape: tuple[int, ...]
    required: bool = True


@dataclass(frozen=True)
class Column:
    """A named column of a table."""

    name: str
    data_type: DataType
    required: bool = True


@dataclass(frozen=True)
class Tabular:
    """A table: `predict` gets a dict from column name to a numpy array of shape [rows]."""

    columns: tuple[Column, ...]
    required: bool = True


ApiItem: TypeAlias = Parameter | Array | Tabular
Api: TypeAlias = tuple[Mapping[str, ApiItem], Mapping[str, ApiItem]]
"""Inputs and outputs by name."""


def describe(api: Api) -> dict[str, list[dict[str, Any]]]:
    """The api as JSON-ready lists of items, in the order in which the adapter declares them."""
    inputs, outputs = api
    return {
        "inputs": [_item(name, item) for name, item in inputs.items()],
        "outputs": [_item(name, item) for name, item in outputs.items()],
    }


def digest(described: Mapping[str, list[dict[str, Any]]]) -> str:
    """`sha256:<hex>` of a described api. The order of items and of columns makes no difference."""
    canonical = {side: _by_name(_with_sorted_columns(item) for item in items) for side, items in described.items()}
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def problems(api: object) -> list[str]:
    """What is wrong with the value that an adapter's api() returned; empty when nothing is."""
    if not (isinstance(api, tuple) and len(api) == 2 and all(isinstance(side, Mapping) for side in api)):
        return ["api() must return two mappings: inputs and outputs by name."]
    found = []
    for side, items in zip(("inputs", "outputs"), api, strict=True):
        if not items:
            found.append(f"api() declares no {side}.")
        for name, item in items.items():
            found += [f"{side}.{name}: {problem}" for problem in _item_problems(name, item)]
        names = [tensor for name, item in items.items() for tensor in tensor_names(name, item)]
        found += [
            f"{side}: the tensor name {name!r} stands twice." for name in {n for n in names if names.count(n) > 1}
        ]
    return found


def tensor_names(name: str, item: object) -> list[str]:
    """The names under which an item travels in the Open Inference Protocol: a table is one tensor per column."""
    if isinstance(item, Tabular):
        return [f"{name}.{column.name}" for column in item.columns]
    return [name]


def _item(name: str, item: ApiItem) -> dict[str, Any]:
    head: dict[str, Any] = {"name": name, "type": type(item).__name__.lower(), "required": item.required}
    if isinstance(item, Tabular):
        columns = [{"name": c.name, "required": c.required, "dataType": c.data_type} for c in item.columns]
        return {**head, "columns": columns}
    if isinstance(item, Array):
        return {**head, "dataType": item.data_type, "shape": list(item.shape)}
    return {**head, "dataType": item.data_type}


def _item_problems(name: object, item: object) -> list[str]:
    if not isinstance(name, str) or not name:
        return ["the name must be a string that is not empty."]
    if isinstance(item, Tabular):
        if not item.columns:
            return ["a table needs at least one column."]
        return [f"{c.name}: {p}" for c in item.columns for p in _type_problems(c.data_type)]
    if isinstance(item, Array):
        bad_shape = not item.shape or any(type(length) is not int or length < -1 for length in item.shape)
        shape = [f"shape {item.shape} must hold lengths, -1 for any length."] if bad_shape else []
        return shape + _type_problems(item.data_type)
    if isinstance(item, Parameter):
        return _type_problems(item.data_type)
    return [f"is a {type(item).__name__}; use Parameter, Array or Tabular."]


def _type_problems(data_type: object) -> list[str]:
    return [] if data_type in DATA_TYPES else [f"data type {data_type!r} must be one of {', '.join(DATA_TYPES)}."]


def _by_name(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda item: str(item["name"]))


def _with_sorted_columns(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "columns": _by_name(item["columns"])} if "columns" in item else item
