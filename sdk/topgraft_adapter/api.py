"""What a model takes and gives: the item types, their description on the wire, and its digest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from topgraft_adapter.datatypes import NUMPY_TYPES, DataType, convert, kind_of

NO_DEFAULT: Any = object()


@dataclass(frozen=True)
class Parameter:
    """One value: `predict` gets a bool, str, int, float, date, datetime, list, dict or, of `any`, what JSON has.

    It is type-checked, not cast: 3.6 is no integer. With a `default` it is not required, and `predict` gets the default
    where a request has none.
    """

    data_type: DataType
    required: bool = True
    default: Any = NO_DEFAULT

    def __post_init__(self) -> None:
        if self.default is not NO_DEFAULT:
            object.__setattr__(self, "required", False)


@dataclass(frozen=True)
class Array:
    """A tensor: `predict` gets a numpy array of this shape, where -1 stands for any length.

    The data type is one of boolean, string, integer, long, float, double.
    """

    data_type: DataType
    shape: tuple[int, ...]
    required: bool = True


@dataclass(frozen=True)
class Object:
    """Any JSON value: `predict` gets it as it is, and gives one."""

    required: bool = True


@dataclass(frozen=True)
class FileSystem:
    """A few files: `predict` gets a `ModelStateReader`, a directory that goes when the request is answered.

    On the wire it is an object of base64 contents by relative path.
    """

    required: bool = True


@dataclass(frozen=True)
class Column:
    """A named column of a table."""

    name: str
    data_type: DataType
    required: bool = True


@dataclass(frozen=True)
class Tabular:
    """A table: `predict` gets a dict from column name to a numpy array of shape [rows].

    Cells are cast to the column's type, as 3.6 → 3. Cells of date, timestamp, any, `array<T>` and `map<K,V>` are Python
    objects in an array of dtype object. Columns that the api does not name pass through.
    """

    columns: tuple[Column, ...]
    required: bool = True


ApiItem: TypeAlias = Parameter | Array | Tabular | Object | FileSystem
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
    import hashlib  # noqa: PLC0415 - loads OpenSSL, which `serve` does not need

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
    head: dict[str, Any] = {"name": name, "type": _TYPES[type(item)], "required": item.required}
    if isinstance(item, Tabular):
        columns = [{"name": c.name, "required": c.required, "dataType": _named(c.data_type)} for c in item.columns]
        return {**head, "columns": columns}
    if isinstance(item, Array):
        return {**head, "dataType": item.data_type, "shape": list(item.shape)}
    return {**head, "dataType": _named(item.data_type)} if isinstance(item, Parameter) else head


_TYPES: dict[type, str] = {
    Parameter: "parameter",
    Array: "array",
    Tabular: "tabular",
    Object: "object",
    FileSystem: "fileSystem",
}


def _named(data_type: DataType) -> str:
    """One way to write each type, whatever spaces the adapter's author likes."""
    return str(kind_of(data_type))


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
        known = item.data_type in NUMPY_TYPES
        return shape if known else [*shape, f"data type {item.data_type!r} must be one of {', '.join(NUMPY_TYPES)}."]
    if isinstance(item, Parameter):
        return _type_problems(item.data_type) or _default_problems(item)
    if isinstance(item, (Object, FileSystem)):
        return []
    return [f"is a {type(item).__name__}; use Parameter, Array, Tabular, Object or FileSystem."]


def _type_problems(data_type: DataType) -> list[str]:
    try:
        kind_of(data_type)
    except (ValueError, TypeError) as error:
        return [f"{error}."]
    return []


def _default_problems(item: Parameter) -> list[str]:
    if item.default is NO_DEFAULT or item.default is None:
        return []
    try:
        convert(item.default, kind_of(item.data_type), strict=True)
    except ValueError as error:
        return [f"the default {item.default!r} {error}."]
    return []


def _by_name(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda item: str(item["name"]))


def _with_sorted_columns(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "columns": _by_name(item["columns"])} if "columns" in item else item
