"""One inference request: JSON to the adapter's arguments, and its result back to JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from topgraft_adapter import tensors
from topgraft_adapter.adapter import ModelAdapter
from topgraft_adapter.api import Api, ApiItem, Array, DataType, Parameter, Tabular, tensor_names
from topgraft_adapter.errors import InvalidInputError, OutputError
from topgraft_adapter.labels import label_tensor, labels_of
from topgraft_adapter.tensors import DATATYPES, Tensor


@dataclass(frozen=True)
class Answer:
    """The body to send, the request's id ("" without), and the label of each row, where the model has labels."""

    body: bytes
    id: str
    labels: list[str]


def infer(adapter: ModelAdapter, api: Api, model: str, version: str, body: bytes) -> Answer:
    """Answer the body of an infer request.

    Raises InvalidInputError, OutputError, or whatever `predict` raises.
    """
    inputs, outputs = api
    request = _request(body)
    arguments = _arguments(inputs, _tensors(request))
    wanted = _wanted(request, [tensor for name, item in outputs.items() for tensor in tensor_names(name, item)])
    results = _results(outputs, adapter.predict(**arguments))
    answer: dict[str, Any] = {"model_name": model, "model_version": version}
    if "id" in request:
        answer["id"] = request["id"]
    answer["outputs"] = [
        {"name": name, "shape": list(tensor.shape), "datatype": datatype, "data": tensor.ravel().tolist()}
        for name, (datatype, tensor) in results.items()
        if name in wanted
    ]
    labels = results.get(label_tensor(api, adapter.label_output) or "")
    try:
        return Answer(orjson.dumps(answer), answer.get("id", ""), labels_of(labels[1]) if labels else [])
    except orjson.JSONEncodeError as error:
        raise OutputError(f"predict() returned text that is not valid Unicode: {error}") from error


def metadata(items: Mapping[str, ApiItem]) -> list[dict[str, Any]]:
    """The tensors of one side of an api, as the protocol's model metadata lists them; -1 stands for any length."""
    found = []
    for name, item in items.items():
        if isinstance(item, Tabular):
            found += [(f"{name}.{column.name}", column.data_type, [-1]) for column in item.columns]
        else:
            found.append((name, item.data_type, list(item.shape) if isinstance(item, Array) else [1]))
    return [{"name": name, "datatype": DATATYPES[kind], "shape": shape} for name, kind, shape in found]


def _request(body: bytes) -> dict[str, Any]:
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"The body is not valid JSON: {error.msg}, at character {error.pos}.") from None
    if not isinstance(request, dict):
        raise InvalidInputError("The body must be a JSON object with a list `inputs`.")
    if not isinstance(request.get("id", ""), str):
        raise InvalidInputError("`id` must be a string.")
    return request


def _tensors(request: Mapping[str, Any]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for index, (name, tensor) in enumerate(_named(request, "inputs")):
        if name in found:
            raise InvalidInputError(f"inputs[{index}]: the name {name!r} stands twice.")
        missing = [field for field in ("shape", "datatype", "data") if field not in tensor]
        if missing:
            raise InvalidInputError(f"inputs[{index}] ({name!r}) has no {', '.join(missing)}.")
        try:
            found[name] = tensors.parse(tensor["datatype"], tensor["shape"], tensor["data"])
        except ValueError as error:
            raise InvalidInputError(f"inputs[{index}] ({name!r}): {error}.") from error
    return found


def _wanted(request: Mapping[str, Any], names: list[str]) -> set[str]:
    if not request.get("outputs"):
        return set(names)
    wanted = {name for name, _ in _named(request, "outputs")}
    unknown = sorted(wanted - set(names))
    if unknown:
        raise InvalidInputError(f"outputs: this model has no {unknown[0]!r}; it has {', '.join(names)}.")
    return wanted


def _named(request: Mapping[str, Any], field: str) -> list[tuple[str, dict[str, Any]]]:
    items = request.get(field)
    if not isinstance(items, list):
        raise InvalidInputError(f"`{field}` must be a list of tensors.")
    for index, item in enumerate(items):
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise InvalidInputError(f"{field}[{index}] must be an object with a `name`.")
    return [(item["name"], item) for item in items]


def _arguments(inputs: Mapping[str, ApiItem], given: dict[str, Tensor]) -> dict[str, Any]:
    left = dict(given)
    arguments: dict[str, Any] = {}
    for name, item in inputs.items():
        if isinstance(item, Tabular):
            table = _table(name, item, left)
            if table or item.required:
                arguments[name] = table
        elif name in left:
            tensor = _cast(name, left.pop(name), item.data_type)
            arguments[name] = _scalar(name, tensor) if isinstance(item, Parameter) else _shaped(name, tensor, item)
        elif item.required:
            raise InvalidInputError(f"The input {name!r} is missing.")
    if left:
        known = ", ".join(tensor for name, item in inputs.items() for tensor in tensor_names(name, item))
        raise InvalidInputError(f"inputs: this model has no {next(iter(left))!r}; it has {known}.")
    return arguments


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
            raise InvalidInputError(f"The input {tensor_name!r} is missing.")
    columns.update({tensor_name.removeprefix(f"{name}."): tensor for tensor_name, tensor in table.items()})
    rows = {column: _rows(f"{name}.{column}", tensor) for column, tensor in columns.items()}
    lengths = {len(tensor) for tensor in rows.values()}
    if len(lengths) > 1:
        raise InvalidInputError(f"The columns of {name!r} have different lengths: {sorted(lengths)}.")
    return rows


def _rows(name: str, tensor: Tensor) -> Tensor:
    if tensor.ndim == 1 or (tensor.ndim == 2 and tensor.shape[1] == 1):
        return tensor.reshape(tensor.shape[0])
    raise InvalidInputError(f"The column {name!r} has shape {list(tensor.shape)}; it needs [rows].")


def _scalar(name: str, tensor: Tensor) -> Any:
    if tensor.size != 1:
        raise InvalidInputError(f"The input {name!r} has shape {list(tensor.shape)}; it needs [1].")
    return tensor.item()


def _shaped(name: str, tensor: Tensor, item: Array) -> Tensor:
    if not tensors.fits(tensor, item.shape):
        raise InvalidInputError(f"The input {name!r} has shape {list(tensor.shape)}; it needs {list(item.shape)}.")
    return tensor


def _cast(name: str, tensor: Tensor, data_type: DataType) -> Tensor:
    try:
        return tensors.cast(tensor, data_type)
    except ValueError as error:
        raise InvalidInputError(f"The input {name!r}: {error}.") from error


def _results(outputs: Mapping[str, ApiItem], returned: object) -> dict[str, tuple[str, Tensor]]:
    """Datatype and tensor of every output that predict gave, in the api's order."""
    if len(outputs) == 1:
        returned = {next(iter(outputs)): returned}
    results: dict[str, tuple[str, Tensor]] = {}
    for name, item in outputs.items():
        value = _member(returned, name, item.required, "predict()")
        if value is None:
            continue
        if isinstance(item, Tabular):
            for column in item.columns:
                cells = _member(value, column.name, column.required, f"The output {name!r}")
                if cells is not None:
                    results[f"{name}.{column.name}"] = _result(f"{name}.{column.name}", cells, column.data_type, (-1,))
        elif isinstance(item, Array):
            results[name] = _result(name, value, item.data_type, item.shape)
        else:
            results[name] = _result(name, [value], item.data_type, (1,))
    return results


def _member(returned: object, name: str, required: bool, whose: str) -> Any:
    if not isinstance(returned, Mapping):
        raise OutputError(f"{whose} returned a {type(returned).__name__}; it must be a mapping that holds {name!r}.")
    value = returned.get(name)
    if value is None and required:
        raise OutputError(f"{whose} gave no {name!r}, which api() declares.")
    return value


def _result(name: str, value: object, data_type: DataType, shape: tuple[int, ...]) -> tuple[str, Tensor]:
    try:
        tensor = tensors.from_value(value, data_type)
    except (ValueError, TypeError) as error:
        raise OutputError(f"The output {name!r}: {error}.") from error
    if not tensors.fits(tensor, shape):
        raise OutputError(f"The output {name!r} has shape {list(tensor.shape)}; api() declares {list(shape)}.")
    return DATATYPES[data_type], tensor
