"""Tensors of the Open Inference Protocol: JSON data to numpy arrays and back, with every value checked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from topgraft_adapter.datatypes import MAX_FLOAT, DataType, convert, from_text, kind_of, to_text

if TYPE_CHECKING:
    import numpy.typing as npt

Tensor: TypeAlias = "npt.NDArray[Any]"

_DATATYPES: dict[DataType, str] = {
    "boolean": "BOOL",
    "string": "BYTES",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
}


def datatype_of(data_type: DataType) -> str:
    """The protocol's datatype for a data type of an api: what numpy has no type for travels as text in BYTES."""
    return _DATATYPES.get(data_type, "BYTES")


_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "BYTES": np.dtype(np.object_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
}

_BOUNDS: dict[np.dtype[Any], tuple[float, float]] = {
    **{dtype: (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) for dtype in _DTYPES.values() if dtype.kind in "iu"},
    # The first numbers that round to infinity.
    _DTYPES["FP16"]: (-65520.0, 65520.0),
    _DTYPES["FP32"]: (-MAX_FLOAT, MAX_FLOAT),
    _DTYPES["FP64"]: (-math.inf, math.inf),
}

_LEAST, _MOST = np.minimum.reduce, np.maximum.reduce

_FLOAT64 = np.dtype(np.float64)
_INT64 = np.dtype(np.int64)
_UINT64 = np.dtype(np.uint64)

# What JSON may hold for a numpy kind; for every other kind, numbers.
_ALLOWED: dict[str, set[type]] = {"b": {bool}, "O": {str}}
_NUMBERS: set[type] = {int, float}

_MAX_RANK = 32

# One conversion of a whole body would hold the interpreter for seconds, and the health answers with it; between pieces
# other threads get their turn.
_PIECE = 100_000


def parse(datatype: object, shape: object, data: object) -> Tensor:
    """The tensor of this datatype and shape from flat or nested row-major data. Raises ValueError."""
    if not isinstance(datatype, str) or datatype not in _DTYPES:
        raise ValueError(f"datatype {_shown(datatype)} must be one of {', '.join(_DTYPES)}")
    lengths = _lengths(shape)
    if not isinstance(data, list):
        raise ValueError(f"data must be a list, not {_kind(data)}")
    flat = _flatten(data, lengths)
    size = math.prod(lengths)
    if len(flat) != size:
        raise ValueError(f"data has {len(flat)} values, shape {lengths} needs {size}")
    if size <= _PIECE:
        return _piece(flat, datatype).reshape(lengths)
    pieces = [_piece(flat[start : start + _PIECE], datatype) for start in range(0, size, _PIECE)]
    return np.concatenate(pieces).reshape(lengths)


def parse_binary(datatype: object, shape: object, content: bytes | memoryview) -> Tensor:
    """The tensor from its raw form: row-major, little-endian; of BYTES each element after its length in 4 bytes.

    Raises ValueError.
    """
    if not isinstance(datatype, str) or datatype not in _DTYPES:
        raise ValueError(f"datatype {_shown(datatype)} must be one of {', '.join(_DTYPES)}")
    lengths = _lengths(shape)
    if datatype == "BYTES":
        return objects(_texts(content, math.prod(lengths))).reshape(lengths)
    dtype = _DTYPES[datatype].newbyteorder("<")
    if len(content) != math.prod(lengths) * dtype.itemsize:
        raise ValueError(f"has {len(content)} bytes, {datatype} of shape {lengths} needs {_size(lengths, dtype)}")
    if datatype == "BOOL" and any(byte > 1 for byte in bytes(content).translate(None, b"\0\1")):
        raise ValueError("a BOOL is one byte, 0 or 1")
    # A copy: the adapter may keep or change its arguments.
    return np.frombuffer(content, dtype).astype(_DTYPES[datatype]).reshape(lengths)


def to_binary(tensor: Tensor) -> bytes:
    """The raw form of a tensor that `written` made. Raises ValueError for text that is not valid Unicode."""
    if tensor.dtype.kind != "O":
        return np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<")).tobytes()
    encoded = [text.encode() for text in tensor.flat]
    return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)


def _size(lengths: list[int], dtype: np.dtype[Any]) -> int:
    return math.prod(lengths) * dtype.itemsize


def _texts(content: bytes | memoryview, count: int) -> list[str]:
    if count * 4 > len(content):
        raise ValueError(f"has {len(content)} bytes, {count} elements of BYTES need {count * 4} at least")
    found, place = [], 0
    for _ in range(count):
        if place + 4 > len(content):
            raise ValueError("ends in the middle of an element's length")
        length = int.from_bytes(content[place : place + 4], "little")
        place += 4 + length
        if place > len(content):
            raise ValueError("ends in the middle of an element")
        found.append(text_of(content[place - length : place]))
    if place != len(content):
        raise ValueError(f"has {len(content) - place} bytes after its last element")
    return found


def text_of(content: bytes | memoryview) -> str:
    """The text of one element of BYTES. Raises ValueError."""
    try:
        return str(content, "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("holds an element that is not UTF-8: send bytes as base64 text") from error


def cast(tensor: Tensor, data_type: DataType) -> Tensor:
    """The tensor in an api's data type: a fraction is cut off for an integer, as 3.6 → 3. Raises ValueError."""
    if data_type not in _DATATYPES:
        return _read_texts(tensor, data_type)
    dtype = _DTYPES[_DATATYPES[data_type]]
    if (tensor.dtype.kind == "O") != (dtype.kind == "O"):
        raise ValueError(f"{_family(tensor.dtype)} cannot become {data_type}")
    return _to(tensor, dtype)


def from_value(value: object, data_type: DataType) -> Tensor:
    """A tensor in an api's data type from what an adapter returned. Raises ValueError or TypeError.

    Dates, times and what only JSON can hold stay Python objects: `written` makes text of them.
    """
    if data_type not in _DATATYPES:
        return _checked_objects(value, data_type)
    if data_type == "string":
        strings = np.asarray(value, dtype=object)
        if not all(isinstance(text, str) for text in strings.flat):
            raise ValueError("holds something other than str")
        return strings
    tensor = np.asarray(value)
    if tensor.dtype.kind not in "biuf":
        raise ValueError(f"holds {tensor.dtype}, not {data_type}")
    return _to(tensor, _DTYPES[_DATATYPES[data_type]])


def written(tensor: Tensor, data_type: DataType) -> Tensor:
    """The tensor as it travels: objects as texts. Raises ValueError."""
    if data_type in _DATATYPES:
        return tensor
    kind = kind_of(data_type)
    return objects(to_text(value, kind) for value in tensor.flat).reshape(tensor.shape)


def objects(values: Iterable[Any]) -> Tensor:
    """A tensor of one dimension that holds the values as they are, lists too."""
    listed = list(values)
    made = np.empty(len(listed), dtype=object)
    for place, value in enumerate(listed):
        made[place] = value
    return made


def with_holes(values: list[float | None], data_type: DataType) -> Tensor:
    """Fractions with NaN for None."""
    return np.array([math.nan if value is None else value for value in values], _DTYPES[_DATATYPES[data_type]])


def _read_texts(tensor: Tensor, data_type: DataType) -> Tensor:
    if tensor.dtype.kind != "O":
        raise ValueError(f"{_family(tensor.dtype)} cannot become {data_type}, which travels as text in BYTES")
    kind = kind_of(data_type)
    return objects(from_text(text, kind) for text in tensor.flat).reshape(tensor.shape)


def _checked_objects(value: Any, data_type: DataType) -> Tensor:
    kind = kind_of(data_type)
    # numpy's own scalars and times as the Python values that JSON has.
    listed = value.tolist() if isinstance(value, np.ndarray) else list(value)
    return objects(convert(_unwrapped(one), kind) for one in listed)


def _unwrapped(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def fits(tensor: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether the tensor has this shape, where -1 stands for any length."""
    if tensor.ndim != len(shape):
        return False
    for want, length in zip(shape, tensor.shape, strict=True):  # noqa: SIM110 - `all` costs twice as much per answer
        if want not in (-1, length):
            return False
    return True


def _lengths(shape: object) -> list[int]:
    if not isinstance(shape, list):
        raise ValueError(f"shape {_shown(shape)} must be a list of lengths")
    for length in shape:
        if type(length) is not int or length < 0:
            raise ValueError(f"shape {_shown(shape)} must be a list of lengths")
    if len(shape) > _MAX_RANK:
        raise ValueError(f"shape has {len(shape)} dimensions, more than {_MAX_RANK}")
    # A zero makes any product zero, so each length needs its own bound.
    for length in shape:
        if length > 2**31:
            raise ValueError(f"shape {_shown(shape)} has a length above 2147483648")
    return shape


def _flatten(data: list[Any], lengths: list[int]) -> list[Any]:
    if not data or not isinstance(data[0], list):
        return data
    if len(data) != lengths[0] if lengths else True:
        raise ValueError(f"data is nested with {len(data)} rows, which is not shape {lengths}")
    for length in lengths[1:]:
        if any(type(row) is not list or len(row) != length for row in data):
            raise ValueError(f"nested data does not have shape {lengths}")
        data = list(chain.from_iterable(data))
    return data


def _piece(values: list[Any], datatype: str) -> Tensor:
    kinds = set(map(type, values))
    dtype = _DTYPES[datatype]
    allowed = _ALLOWED.get(dtype.kind, _NUMBERS)
    if not kinds <= allowed:
        names = ", ".join(sorted(_KINDS.get(kind, "?") for kind in kinds - allowed))
        raise ValueError(f"data of datatype {datatype} holds {names}")
    if dtype.kind in "bO":
        return np.array(values, dtype=dtype)
    try:
        # Not `array`, which first looks into each value for more dimensions.
        wide = np.fromiter(values, _wide(kinds, dtype), len(values))
    except OverflowError as error:
        raise ValueError(f"data holds a value out of range for {datatype}") from error
    return _to(wide, dtype)


def _wide(kinds: set[type], dtype: np.dtype[Any]) -> np.dtype[Any]:
    if float in kinds or dtype.kind == "f":
        return _FLOAT64
    return _UINT64 if dtype.kind == "u" else _INT64


def _to(tensor: Tensor, dtype: np.dtype[Any]) -> Tensor:
    given = tensor.dtype
    if given == dtype or (given.kind == dtype.kind and given.itemsize < dtype.itemsize) or not tensor.size:
        # The same or wider: nothing can be out of range.
        _check_finite(tensor)
        return tensor if given == dtype else tensor.astype(dtype)
    if dtype.kind == "b":
        _check_finite(tensor)
        if not np.isin(tensor, (0, 1)).all():
            raise ValueError("holds a value other than 0 and 1, which cannot become boolean")
    elif given.kind != "b":
        # As Python numbers: a comparison in float64 would round 2^63 - 1 up and let 2^63 pass.
        low, high = _LEAST(tensor, axis=None).item(), _MOST(tensor, axis=None).item()
        least, most = _BOUNDS[dtype]
        # A fraction is cut off for a whole number, so it may lie between the last one and the next.
        inside = least < low and high < most if dtype.kind == "f" else least - 1 < low and high < most + 1
        if not inside:  # NaN is inside of nothing
            _check_finite(tensor)
            raise ValueError(f"holds a value out of range for {dtype}")
    return tensor.astype(dtype)


def _check_finite(tensor: Tensor) -> None:
    if tensor.dtype.kind == "f" and not _finite(tensor):
        raise ValueError("holds NaN or infinity, which JSON cannot carry")


def _finite(tensor: Tensor) -> bool:
    return bool(np.count_nonzero(np.isfinite(tensor)) == tensor.size)


_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "numbers",
    float: "numbers",
    str: "strings",
    list: "lists",
    dict: "objects",
    type(None): "null",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _family(dtype: np.dtype[Any]) -> str:
    return "strings" if dtype.kind == "O" else "numbers"


def _shown(value: object) -> str:
    """A short picture of a client's value for an error message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
