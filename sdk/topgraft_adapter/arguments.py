"""What a request gives, checked against the api and made into the adapter's arguments.

Parameters are type-checked; tensors and the cells of tables are cast, as 3.6 → 3; columns that the api does not name
pass through; what is missing, unknown or cannot be cast is an InvalidInputError.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any

from topgraft_adapter import tensors
from topgraft_adapter.api import NO_DEFAULT, ApiItem, Array, FileSystem, Object, Parameter, Tabular, tensor_names
from topgraft_adapter.datatypes import BadMapError, DataType, MismatchError, convert, from_text, kind_of, type_name
from topgraft_adapter.errors import InvalidInputError
from topgraft_adapter.files import read_files
from topgraft_adapter.tensors import Tensor

_MAX_RANK = 32
_NUMBERS = frozenset((int, float))
_EXACT: dict[DataType, frozenset[type]] = {"boolean": frozenset((bool,)), "string": frozenset((str,))}


def from_tensors(inputs: Mapping[str, ApiItem], given: Mapping[str, Tensor], stack: ExitStack) -> dict[str, Any]:
    """The arguments that the tensors of an infer request make. Raises InvalidInputError."""
    left = dict(given)
    arguments: dict[str, Any] = {}
    for name, item in inputs.items():
        if isinstance(item, Tabular):
            table = _table(name, item, left)
            if table or item.required:
                arguments[name] = table
        elif name in left:
            arguments[name] = _from_tensor(name, item, left.pop(name), stack)
        else:
            _absent(name, item, arguments)
    if left:
        known = ", ".join(tensor for name, item in inputs.items() for tensor in tensor_names(name, item))
        raise _unknown(next(iter(left)), known)
    return arguments


def from_json(inputs: Mapping[str, ApiItem], given: object, stack: ExitStack) -> dict[str, Any]:
    """The arguments that the values of a /transformJson request make. Raises InvalidInputError."""
    if not isinstance(given, Mapping):
        raise InvalidInputError("`input` must be an object of values by input name.", "invalidMapFormat")
    for name in given:
        if name not in inputs:
            raise _unknown(name, ", ".join(inputs))
    arguments: dict[str, Any] = {}
    for name, item in inputs.items():
        if given.get(name) is None:
            _absent(name, item, arguments)
        else:
            arguments[name] = _from_json(name, item, given[name], stack)
    return arguments


def _absent(name: str, item: ApiItem, arguments: dict[str, Any]) -> None:
    if isinstance(item, Parameter) and item.default is not NO_DEFAULT:
        arguments[name] = item.default
    elif item.required:
        raise _missing(name)


def _from_tensor(name: str, item: ApiItem, tensor: Tensor, stack: ExitStack) -> Any:
    if isinstance(item, Array):
        return _shaped(name, _cast(name, tensor, item.data_type), item)
    if tensor.size != 1:
        raise InvalidInputError(
            f"The input {name!r} has shape {list(tensor.shape)}; it needs [1].",
            "invalidArrayShape",
            expectedShape=[1],
            actualShape=list(tensor.shape),
        )
    value = tensor.item()
    with _named(f"The input {name!r}"):
        if isinstance(item, Parameter):
            kind = kind_of(item.data_type)
            as_text = tensor.dtype.kind == "O" and tensors.datatype_of(item.data_type) == "BYTES"
            return from_text(value, kind, strict=True) if as_text and kind.name != "string" else _typed(value, item)
        value = from_text(value, kind_of("any")) if isinstance(value, str) else value
    return _from_json(name, item, value, stack)


def _typed(value: object, item: Parameter) -> Any:
    return convert(value, kind_of(item.data_type), strict=True)


def _from_json(name: str, item: ApiItem, value: Any, stack: ExitStack) -> Any:
    match item:
        case Object():
            return value
        case FileSystem():
            return read_files(name, value, stack)
        case Tabular():
            return _records(name, item, value)
        case Parameter():
            with _named(f"The input {name!r}"):
                return _typed(value, item)
    return _nested(name, item, value)


def _table(name: str, item: Tabular, left: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take the table's columns out of `left`; columns that the api does not name pass through as they came."""
    table = {tensor: left.pop(tensor) for tensor in list(left) if tensor.startswith(f"{name}.")}
    if not table and not item.required:
        return {}
    columns: dict[str, Tensor] = {}
    for column in item.columns:
        tensor_name = f"{name}.{column.name}"
        if tensor_name in table:
            columns[column.name] = _cast(tensor_name, table.pop(tensor_name), column.data_type)
        elif column.required:
            raise _missing(tensor_name)
    columns.update({tensor_name.removeprefix(f"{name}."): tensor for tensor_name, tensor in table.items()})
    rows = {column: _rows(name, f"{name}.{column}", tensor) for column, tensor in columns.items()}
    lengths = {len(tensor) for tensor in rows.values()}
    if len(lengths) > 1:
        raise InvalidInputError(
            f"The columns of {name!r} have different lengths: {sorted(lengths)}.",
            "invalidTabularFormat",
            inputFieldName=name,
        )
    return rows


def _rows(table: str, name: str, tensor: Tensor) -> Tensor:
    if tensor.ndim == 1 or (tensor.ndim == 2 and tensor.shape[1] == 1):
        return tensor.reshape(tensor.shape[0])
    raise InvalidInputError(
        f"The column {name!r} has shape {list(tensor.shape)}; it needs [rows].",
        "invalidTabularFormat",
        inputFieldName=table,
    )


def _records(name: str, item: Tabular, rows: Any) -> dict[str, Tensor]:
    """The columns of a table that came as a list of rows, each an object of cells by column name."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidInputError(
            f"The input {name!r} must be a list of rows, each an object of cells by column name.",
            "invalidTabularFormat",
            inputFieldName=name,
        )
    declared = {column.name for column in item.columns}
    columns: dict[str, Tensor] = {}
    for column in item.columns:
        cells = [row.get(column.name) for row in rows]
        holes = sum(cell is None for cell in cells)
        if holes and column.required:
            raise _missing(f"{name}.{column.name}")
        if rows and holes == len(cells):
            continue
        with _named(f"The input '{name}.{column.name}'"):
            columns[column.name] = _cells(cells, column.data_type, holes)
    for extra in dict.fromkeys(chain.from_iterable(rows)):
        if extra not in declared:
            columns[extra] = tensors.objects(row.get(extra) for row in rows)
    return columns


def _cells(cells: list[Any], data_type: DataType, holes: int) -> Tensor:
    """One column. A hole of one that is not required is NaN among fractions, else None."""
    if not holes:
        return _column(cells, [len(cells)], data_type)
    filled = iter(_column([cell for cell in cells if cell is not None], [len(cells) - holes], data_type).tolist())
    values = [None if cell is None else next(filled) for cell in cells]
    if data_type not in ("float", "double"):
        return tensors.objects(values)
    return tensors.with_holes(values, data_type)


def _column(flat: list[Any], lengths: list[int], data_type: DataType) -> Tensor:
    """Values of one data type as a tensor. Raises MismatchError or ValueError."""
    kind = kind_of(data_type)
    if tensors.datatype_of(data_type) == "BYTES" and kind.name != "string":
        return tensors.objects(convert(value, kind) for value in flat).reshape(lengths)
    allowed = _EXACT.get(data_type, _NUMBERS)
    if not set(map(type, flat)) <= allowed:
        wrong = next(value for value in flat if type(value) not in allowed)
        raise MismatchError(data_type, type_name(wrong))
    return tensors.cast(tensors.parse(_carrier(flat, data_type), lengths, flat), data_type)


def _carrier(flat: list[Any], data_type: DataType) -> str:
    """The widest datatype for what JSON gave, from which the cast checks the range."""
    if data_type in ("integer", "long"):
        return "FP64" if float in set(map(type, flat)) else "INT64"
    return {"float": "FP64", "double": "FP64"}.get(data_type) or tensors.datatype_of(data_type)


def _nested(name: str, item: Array, value: Any) -> Tensor:
    """The tensor in nested lists."""
    if not isinstance(value, list):
        raise InvalidInputError(
            f"The input {name!r} is {type_name(value)}, not an array.",
            "typeMismatch",
            expectedType=f"array<{item.data_type}>",
            actualType=type_name(value),
        )
    lengths, flat = _unnested(name, value)
    if flat == [] and len(lengths) < len(item.shape):
        # Of an empty list nobody can tell how deep it would have been.
        lengths += [max(length, 0) for length in item.shape[len(lengths) :]]
    if len(lengths) > _MAX_RANK:
        raise InvalidInputError(f"The input {name!r} has more than {_MAX_RANK} dimensions.", "unsupportedType")
    with _named(f"The input {name!r}"):
        tensor = _column(flat, lengths, item.data_type)
    return _shaped(name, tensor, item)


def _unnested(name: str, value: list[Any]) -> tuple[list[int], list[Any]]:
    lengths = [len(value)]
    while value and isinstance(value[0], list):
        length = len(value[0])
        if any(not isinstance(row, list) or len(row) != length for row in value):
            raise InvalidInputError(
                f"The input {name!r}: the lists of one dimension have different lengths.",
                "inconsistentArrayDimensions",
            )
        lengths.append(length)
        value = list(chain.from_iterable(value))
    if any(isinstance(one, list) for one in value):
        raise InvalidInputError(f"The input {name!r} mixes values and lists.", "inconsistentArrayDimensions")
    return lengths, value if math.prod(lengths) else []


def _shaped(name: str, tensor: Tensor, item: Array) -> Tensor:
    if not tensors.fits(tensor, item.shape):
        raise InvalidInputError(
            f"The input {name!r} has shape {list(tensor.shape)}; it needs {list(item.shape)}.",
            "invalidArrayShape",
            expectedShape=list(item.shape),
            actualShape=list(tensor.shape),
        )
    return tensor


def _cast(name: str, tensor: Tensor, data_type: DataType) -> Tensor:
    try:
        return tensors.cast(tensor, data_type)
    except ValueError as error:
        raise _refused(f"The input {name!r}", error) from error


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Errors of single values as errors of the request."""
    try:
        yield
    except ValueError as error:
        raise _refused(what, error) from error


def _refused(what: str, error: ValueError) -> InvalidInputError:
    if isinstance(error, MismatchError):
        message = f"{what} {error}."
        return InvalidInputError(message, "typeMismatch", expectedType=error.expected, actualType=error.actual)
    if isinstance(error, BadMapError):
        return InvalidInputError(f"{what} {error}.", "invalidMapFormat")
    return InvalidInputError(f"{what}: {error}.")


def _missing(name: str) -> InvalidInputError:
    return InvalidInputError(f"The input {name!r} is missing.", "requiredValueMissing", fieldName=name)


def _unknown(name: str, known: str) -> InvalidInputError:
    message = f"inputs: this model has no {name[:100]!r}; it has {known}."
    return InvalidInputError(message, "unknownInputName", inputName=name[:100])
