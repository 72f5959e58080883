"""The data types of values and table cells, and how a JSON value becomes one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, TypeAlias

import orjson

DataType: TypeAlias = str
"""`boolean`, `string`, `integer` (32 bits), `long` (64), `float` (32), `double` (64), `date`, `timestamp`, `any`,
`array<T>` and `map<K,V>` with K one of boolean, string, integer, long."""

NUMPY_TYPES = ("boolean", "string", "integer", "long", "float", "double")
"""Those that an Array can hold, and that travel as numbers, booleans or text."""

SIMPLE_TYPES = (*NUMPY_TYPES, "date", "timestamp", "any")

_KEY_TYPES = ("boolean", "string", "integer", "long")
_BOUNDS = {"integer": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
MAX_FLOAT = 3.4028235677973366e38
"""The first number that rounds to infinity in 32 bits."""
_MAX_DEPTH = 8
_MAX_TEXT = 64
"""The most that the operator records of a type's name."""


@dataclass(frozen=True)
class Kind:
    """A data type taken apart: the types inside of `array<T>` and `map<K,V>`."""

    name: str
    of: tuple[Kind, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}<{','.join(map(str, self.of))}>" if self.of else self.name


class MismatchError(ValueError):
    """A value is of another type than the api declares."""

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(f"is {actual}, not {expected}")
        self.expected = expected
        self.actual = actual


class BadMapError(ValueError):
    """The key of a map cannot be read as the declared type."""


@lru_cache(256)
def kind_of(data_type: str) -> Kind:
    """The type named by the text. Raises ValueError."""
    if not isinstance(data_type, str) or len(data_type) > _MAX_TEXT:
        raise ValueError(f"data type {data_type!r} must be a text of at most {_MAX_TEXT} characters")
    kind, rest = _read(re.sub(r"\s", "", data_type), 0)
    if rest:
        raise ValueError(f"data type {data_type!r}: {rest!r} does not belong there")
    return kind


def _read(text: str, depth: int) -> tuple[Kind, str]:
    match = re.match("[a-z]+", text)
    name = match.group() if match else ""
    rest = text[len(name) :]
    if depth > _MAX_DEPTH:
        raise ValueError(f"a data type is nested deeper than {_MAX_DEPTH}")
    if name == "array" and rest.startswith("<"):
        inner, rest = _read(rest[1:], depth + 1)
        return Kind("array", (inner,)), _closed(rest)
    if name == "map" and rest.startswith("<"):
        key, rest = _read(rest[1:], depth + 1)
        if key.name not in _KEY_TYPES or not rest.startswith(","):
            raise ValueError(f"a map's type is map<K,V> with K one of {', '.join(_KEY_TYPES)}")
        value, rest = _read(rest[1:], depth + 1)
        return Kind("map", (key, value)), _closed(rest)
    if name not in SIMPLE_TYPES:
        raise ValueError(f"data type {text!r} must be one of {', '.join(SIMPLE_TYPES)}, array<T>, map<K,V>")
    return Kind(name), rest


def _closed(rest: str) -> str:
    if not rest.startswith(">"):
        raise ValueError("a data type has a '<' without its '>'")
    return rest[1:]


def convert(value: object, kind: Kind, *, strict: bool = False) -> Any:
    """A JSON value as the type: bool, int, float, str, date, datetime with a time zone, list or dict.

    A fraction is cut off for a whole number, as 3.6 → 3; `strict` refuses that: parameters are type-checked, not cast.
    Raises MismatchError, BadMapError, or ValueError for a value out of range.
    """
    match kind.name:
        case "any":
            return value
        case "boolean" | "string":
            if type(value) is not (bool if kind.name == "boolean" else str):
                raise MismatchError(str(kind), type_name(value))
            return value
        case "integer" | "long":
            return _whole(value, kind, strict)
        case "float" | "double":
            return _fraction(value, kind)
        case "date" | "timestamp":
            return _moment(value, kind)
        case "array":
            if not isinstance(value, (list, tuple)):
                raise MismatchError(str(kind), type_name(value))
            return [convert(one, kind.of[0], strict=strict) for one in value]
    return _map(value, kind, strict)


def _whole(value: object, kind: Kind, strict: bool) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise MismatchError(str(kind), type_name(value))
    # 3.0 is a whole number: JSON has one kind of number only, and some clients write every one with a point.
    if strict and isinstance(value, float) and not value.is_integer():
        raise MismatchError(str(kind), "double")
    low, high = _BOUNDS[kind.name]
    whole = math.trunc(value)
    if not low <= whole <= high:
        raise ValueError(f"is out of range for {kind}")
    return whole


def _fraction(value: object, kind: Kind) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MismatchError(str(kind), type_name(value))
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or (kind.name == "float" and abs(number) >= MAX_FLOAT):
        raise ValueError(f"is out of range for {kind}")
    return number


def _moment(value: object, kind: Kind) -> date:
    if type(value) is date and kind.name == "date":
        return value
    if isinstance(value, datetime) and kind.name == "timestamp":
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if not isinstance(value, str):
        raise MismatchError(str(kind), type_name(value))
    try:
        if kind.name == "date":
            return date.fromisoformat(value)
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"is no {kind} in ISO 8601, such as {_EXAMPLES[kind.name]}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_EXAMPLES = {"date": "2026-01-31", "timestamp": "2026-01-31T12:00:00Z"}


def _map(value: object, kind: Kind, strict: bool) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise MismatchError(str(kind), type_name(value))
    key_kind, value_kind = kind.of
    return {_key(key, key_kind): convert(one, value_kind, strict=strict) for key, one in value.items()}


def _key(key: object, kind: Kind) -> Any:
    """JSON's keys are texts: `"7"` is the key 7 of a map<long,...>."""
    if isinstance(key, str) and kind.name != "string":
        try:
            key = orjson.loads(key)
        except orjson.JSONDecodeError:
            raise BadMapError(f"has a key that is no {kind}") from None
    try:
        return convert(key, kind, strict=True)
    except ValueError as error:
        raise BadMapError(f"has a key that {error}") from error


def plain(value: object, kind: Kind) -> Any:
    """The JSON-ready form of what `convert` made."""
    if isinstance(value, date):
        return value.isoformat()
    if kind.name == "array" and isinstance(value, list):
        return [plain(one, kind.of[0]) for one in value]
    if kind.name == "map" and isinstance(value, dict):
        return {_key_text(key): plain(one, kind.of[1]) for key, one in value.items()}
    return value


def _key_text(key: object) -> str:
    return key if isinstance(key, str) else orjson.dumps(key).decode()


def to_text(value: object, kind: Kind) -> str:
    """How a value travels as one element of a BYTES tensor: ISO 8601, or JSON text. Raises ValueError."""
    made = plain(value, kind)
    if kind.name in ("date", "timestamp"):
        return str(made)
    try:
        return orjson.dumps(made, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    except TypeError as error:
        raise ValueError(f"cannot be written as JSON: {error}") from error


def from_text(text: str, kind: Kind, *, strict: bool = False) -> Any:
    """The value that `to_text` wrote. Raises as `convert`, or ValueError for text that is not JSON."""
    if kind.name in ("date", "timestamp"):
        return convert(text, kind)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ValueError(f"is not the JSON text of one {kind}") from None
    return convert(value, kind, strict=strict)


def type_name(value: object) -> str:
    """The data type that a JSON value would have."""
    for types, name in _NAMES:
        if isinstance(value, types):
            return name
    return "null" if value is None else type(value).__name__


_NAMES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "boolean"),
    (str, "string"),
    (int, "long"),
    (float, "double"),
    (datetime, "timestamp"),
    (date, "date"),
    ((list, tuple), "array"),
    (dict, "map"),
)
