"""What an adapter answered, checked against the api: as tensors of the protocol, or as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from topgraft_adapter import tensors
from topgraft_adapter.api import ApiItem, Array, FileSystem, Object, Parameter, Tabular
from topgraft_adapter.datatypes import DataType, kind_of, plain
from topgraft_adapter.errors import OutputError
from topgraft_adapter.files import written_files
from topgraft_adapter.tensors import Tensor, datatype_of


class Output(NamedTuple):
    """One tensor of an answer; what numpy has no type for is still a Python object in it."""

    name: str
    data_type: DataType
    tensor: Tensor

    @property
    def datatype(self) -> str:
        """The protocol's datatype."""
        return datatype_of(self.data_type)

    def written(self) -> Tensor:
        """The tensor as it travels. Raises OutputError."""
        try:
            return tensors.written(self.tensor, self.data_type)
        except ValueError as error:
            raise OutputError(f"The output {self.name!r} {error}.") from error

    def values(self) -> Any:
        """JSON-ready values in nested lists."""
        if self.datatype != "BYTES" or self.data_type == "string":
            return self.tensor.tolist()
        kind = kind_of(self.data_type)
        return [plain(value, kind) for value in self.tensor]


def outputs_of(declared: Mapping[str, ApiItem], returned: object) -> dict[str, Output]:
    """Every output tensor that the adapter gave, in the api's order. Raises OutputError."""
    if len(declared) == 1:
        returned = {next(iter(declared)): returned}
    found: dict[str, Output] = {}
    for name, item in declared.items():
        value = _member(returned, name, item.required, "predict()")
        if value is None:
            continue
        if isinstance(item, Array):
            found[name] = _checked(name, value, item.data_type, item.shape)
            continue
        for output in _outputs(name, item, value):
            found[output.name] = output
    return found


def as_json(declared: Mapping[str, ApiItem], outputs: Mapping[str, Output]) -> dict[str, Any]:
    """The outputs as values by name: tables as lists of rows, tensors as nested lists."""
    made: dict[str, Any] = {}
    for name, item in declared.items():
        if isinstance(item, Tabular):
            columns = {c.name: outputs[f"{name}.{c.name}"] for c in item.columns if f"{name}.{c.name}" in outputs}
            if columns:
                cells = zip(*(output.values() for output in columns.values()), strict=True)
                made[name] = [dict(zip(columns, row, strict=True)) for row in cells]
        elif name in outputs:
            values = outputs[name].values()
            made[name] = values if isinstance(item, Array) else values[0]
    return made


def _outputs(name: str, item: Tabular | Parameter | Object | FileSystem, value: Any) -> list[Output]:
    match item:
        case Tabular():
            return _columns(name, item, value)
        case Parameter():
            return [_checked(name, [value], item.data_type, (1,))]
        case Object():
            return [Output(name, "any", tensors.objects([value]))]
        case FileSystem():
            return [Output(name, "any", tensors.objects([written_files(name, value)]))]


def _columns(name: str, item: Tabular, value: Any) -> list[Output]:
    found = []
    for column in item.columns:
        cells = _member(value, column.name, column.required, f"The output {name!r}")
        if cells is not None:
            found.append(_checked(f"{name}.{column.name}", cells, column.data_type, (-1,)))
    lengths = {len(output.tensor) for output in found}
    if len(lengths) > 1:
        raise OutputError(f"The columns of the output {name!r} have different lengths: {sorted(lengths)}.")
    return found


def _member(returned: object, name: str, required: bool, whose: str) -> Any:
    # Asked of the type first: `isinstance` of an abstract class is slow, and almost all give a dict.
    if type(returned) is not dict and not isinstance(returned, Mapping):
        raise OutputError(f"{whose} returned a {type(returned).__name__}; it must be a mapping that holds {name!r}.")
    value = returned.get(name)
    if value is None and required:
        raise OutputError(f"{whose} gave no {name!r}, which api() declares.")
    return value


def _checked(name: str, value: object, data_type: DataType, shape: tuple[int, ...]) -> Output:
    try:
        tensor = tensors.from_value(value, data_type)
    except (ValueError, TypeError) as error:
        raise OutputError(f"The output {name!r}: {error}.") from error
    if not tensors.fits(tensor, shape):
        raise OutputError(f"The output {name!r} has shape {list(tensor.shape)}; api() declares {list(shape)}.")
    return Output(name, data_type, tensor)
