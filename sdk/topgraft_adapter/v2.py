"""Infer requests and answers of the Open Inference Protocol over REST: JSON, and the binary tensor extension."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson

from topgraft_adapter import arguments, tensors
from topgraft_adapter.errors import InvalidInputError, OutputError
from topgraft_adapter.inference import Answer, Target, call
from topgraft_adapter.reading import read_json
from topgraft_adapter.results import Output
from topgraft_adapter.tensors import Tensor

_NEEDED = frozenset(("shape", "datatype", "data"))
_NEEDED_OF_RAW = frozenset(("shape", "datatype"))

MAX_TENSORS = 10_000


def infer(target: Target, body: bytes, header_length: int | None = None) -> Answer:
    """Answer the body of an infer request; `header_length` is its part of JSON, where raw tensors follow.

    Raises InvalidInputError, OutputError, or whatever the adapter raises.
    """
    if header_length is None:
        request, raw = _request(body), memoryview(b"")
    else:
        request, raw = _request(body[:header_length]), memoryview(body)[header_length:]
    given = _tensors(request, raw)
    wanted = _wanted(request, target.names)
    found, labels = call(target, partial(_arguments, given))
    answer: dict[str, Any] = {"model_name": target.model, "model_version": target.version}
    if "id" in request:
        answer["id"] = request["id"]
    described, pieces = _outputs(found, wanted)
    answer["outputs"] = described
    try:
        head = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError as error:
        raise OutputError(f"predict() returned text that is not valid Unicode: {error}") from error
    if not pieces:
        return Answer(head, answer.get("id", ""), labels)
    return Answer(b"".join((head, *pieces)), answer.get("id", ""), labels, len(head))


def _arguments(given: Mapping[str, Tensor], inputs: Any, stack: Any) -> dict[str, Any]:
    return arguments.from_tensors(inputs, given, stack)


def _request(body: bytes) -> dict[str, Any]:
    request = read_json(body)
    if not isinstance(request, dict):
        raise InvalidInputError("The body must be a JSON object with a list `inputs`.")
    if not isinstance(request.get("id", ""), str):
        raise InvalidInputError("`id` must be a string.")
    return request


def _tensors(request: Mapping[str, Any], raw: memoryview) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for index, (name, tensor) in enumerate(_named(request, "inputs")):
        if name in found:
            raise InvalidInputError(f"inputs[{index}]: the name {name!r} stands twice.")
        size = _parameters(tensor).get("binary_data_size")
        needed = _NEEDED if size is None else _NEEDED_OF_RAW
        if not needed <= tensor.keys():
            missing = ", ".join(field for field in ("shape", "datatype", "data") if field in needed - tensor.keys())
            raise InvalidInputError(f"inputs[{index}] ({name!r}) has no {missing}.")
        try:
            if size is None:
                found[name] = tensors.parse(tensor["datatype"], tensor["shape"], tensor["data"])
            else:
                if type(size) is not int or not 0 <= size <= len(raw) or "data" in tensor:
                    raise ValueError("binary_data_size must be the bytes of this tensor after the JSON, without `data`")
                found[name] = tensors.parse_binary(tensor["datatype"], tensor["shape"], raw[:size])
                raw = raw[size:]
        except ValueError as error:
            raise InvalidInputError(f"inputs[{index}] ({name!r}): {error}.") from error
    if raw:
        raise InvalidInputError(f"{len(raw)} bytes follow the last tensor.")
    return found


def _wanted(request: Mapping[str, Any], names: list[str]) -> dict[str, bool]:
    """The outputs to send, and whether as raw bytes."""
    binary = _flag(_parameters(request), "binary_data_output")
    if not request.get("outputs"):
        return dict.fromkeys(names, binary)
    wanted = {name: _flag(_parameters(item), "binary_data", binary) for name, item in _named(request, "outputs")}
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise InvalidInputError(f"outputs: this model has no {unknown[0]!r}; it has {', '.join(names)}.")
    return wanted


def _flag(parameters: Mapping[str, Any], name: str, default: bool = False) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidInputError(f"The parameter {name!r} must be true or false.")
    return value


def _parameters(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    value = holder.get("parameters", {})
    # Nothing here depends on unknown parameters, so that odd ones are no reason to refuse.
    return value if isinstance(value, dict) else {}


def check_number(field: str, number: int) -> None:
    """Raises InvalidInputError for more tensors than any api has columns: each costs many times its bytes."""
    if number > MAX_TENSORS:
        raise InvalidInputError(f"`{field}` has {number} tensors, more than {MAX_TENSORS}.")


def _named(request: Mapping[str, Any], field: str) -> list[tuple[str, dict[str, Any]]]:
    items = request.get(field)
    if not isinstance(items, list):
        raise InvalidInputError(f"`{field}` must be a list of tensors.")
    check_number(field, len(items))
    found = []
    for index, item in enumerate(items):
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str):
            raise InvalidInputError(f"{field}[{index}] must be an object with a `name`.")
        found.append((name, item))
    return found


def _outputs(found: Mapping[str, Output], wanted: Mapping[str, bool]) -> tuple[list[dict[str, Any]], list[bytes]]:
    described, pieces = [], []
    for name, output in found.items():
        binary = wanted.get(name)
        if binary is None:
            continue
        tensor = output.written()
        head: dict[str, Any] = {"name": name, "shape": tensor.shape, "datatype": output.datatype}
        if binary:
            pieces.append(_raw(output, tensor))
            head["parameters"] = {"binary_data_size": len(pieces[-1])}
        else:
            head["data"] = _json_ready(tensor)
        described.append(head)
    return described, pieces


def _raw(output: Output, tensor: Tensor) -> bytes:
    try:
        return tensors.to_binary(tensor)
    except ValueError as error:
        raise OutputError(f"The output {output.name!r} holds text that is not valid Unicode.") from error


def _json_ready(tensor: Tensor) -> Any:
    """What the JSON writer takes: numbers as they lie in memory, which spares a Python object for each."""
    flat = tensor.ravel()
    return flat if flat.dtype.kind in "iuf" and flat.size else flat.tolist()
