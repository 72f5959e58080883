"""Infer requests and answers of the Open Inference Protocol over gRPC, raw or typed contents."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError

from topgraft_adapter import arguments, tensors
from topgraft_adapter.api import tensor_names
from topgraft_adapter.errors import InvalidInputError, OutputError
from topgraft_adapter.inference import Answer, Target, call, check_name
from topgraft_adapter.open_inference import CLASSES
from topgraft_adapter.results import Output
from topgraft_adapter.tensors import Tensor
from topgraft_adapter.v2 import MAX_TENSORS

_MAX_FIELDS = 3 * MAX_TENSORS
"""Of one message: inputs, their raw contents and outputs. An empty tensor takes two bytes, and a hundred of memory."""

_FIXED = {1: 8, 5: 4}
"""Bytes of a field by its wire type."""

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def infer(target: Target, body: bytes) -> Answer:
    """Answer a ModelInferRequest with a ModelInferResponse, its contents raw where the request's are.

    Raises InvalidInputError, UnknownModelError, OutputError, or whatever the adapter raises.
    """
    request = parsed(body)
    check_name(target.model, target.version, request.model_name, request.model_version)
    given = _tensors(request)
    _, outputs = target.api
    names = [tensor for name, item in outputs.items() for tensor in tensor_names(name, item)]
    wanted = {output.name for output in request.outputs} or set(names)
    unknown = sorted(wanted - set(names))
    if unknown:
        raise InvalidInputError(f"outputs: this model has no {unknown[0]!r}; it has {', '.join(names)}.")
    found, labels = call(target, partial(_arguments, given))
    response = CLASSES["ModelInferResponse"](model_name=target.model, model_version=target.version, id=request.id)
    for name, output in found.items():
        if name in wanted:
            _add_output(response, output, raw=bool(request.raw_input_contents))
    return Answer(response, request.id, labels)


def parsed(body: bytes) -> Any:
    """The ModelInferRequest of these bytes, which are counted before they are parsed. Raises InvalidInputError."""
    try:
        _check_fields(body)
        return CLASSES["ModelInferRequest"].FromString(body)
    except (DecodeError, IndexError):
        raise InvalidInputError("The message is no ModelInferRequest.") from None


def _check_fields(body: bytes) -> None:
    place = fields = 0
    while place < len(body):
        tag, place = _varint(body, place)
        if tag & 7 == 2:
            length, place = _varint(body, place)
            place += length
        elif tag & 7 == 0:
            _, place = _varint(body, place)
        elif tag & 7 in _FIXED:
            place += _FIXED[tag & 7]
        else:
            raise DecodeError  # a group, behind which more could hide
        fields += 1
        if fields > _MAX_FIELDS:
            raise InvalidInputError(f"The message has more than {_MAX_FIELDS} fields; send fewer tensors.")


def _varint(body: bytes, place: int) -> tuple[int, int]:
    """The number at this place, and the place behind it."""
    number = 0
    for shift in range(0, 70, 7):
        byte = body[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place
    raise DecodeError


def _arguments(given: Mapping[str, Tensor], inputs: Any, stack: Any) -> dict[str, Any]:
    return arguments.from_tensors(inputs, given, stack)


def _tensors(request: Any) -> dict[str, Tensor]:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidInputError(f"raw_input_contents has {len(raw)} tensors, inputs {len(request.inputs)}.")
    found: dict[str, Tensor] = {}
    for index, tensor in enumerate(request.inputs):
        if tensor.name in found:
            raise InvalidInputError(f"inputs[{index}]: the name {tensor.name!r} stands twice.")
        try:
            shape = list(tensor.shape)
            if raw and not tensor.HasField("contents"):
                found[tensor.name] = tensors.parse_binary(tensor.datatype, shape, raw[index])
            elif raw:
                raise ValueError("contents must not be given beside raw_input_contents")
            else:
                found[tensor.name] = tensors.parse(tensor.datatype, shape, _typed(tensor))
        except ValueError as error:
            raise InvalidInputError(f"inputs[{index}] ({tensor.name!r}): {error}.") from error
    return found


def _typed(tensor: Any) -> list[Any]:
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        raise ValueError(f"datatype {tensor.datatype[:40]!r} has no typed contents; send raw_input_contents")
    others = [name for name, _ in tensor.contents.ListFields() if name.name != field]
    if others:
        raise ValueError(f"datatype {tensor.datatype} travels in {field}")
    values = list(getattr(tensor.contents, field))
    return [tensors.text_of(value) for value in values] if tensor.datatype == "BYTES" else values


def _add_output(response: Any, output: Output, raw: bool) -> None:
    tensor = output.written()
    made = response.outputs.add(name=output.name, datatype=output.datatype, shape=tensor.shape)
    try:
        if raw:
            response.raw_output_contents.append(tensors.to_binary(tensor))
            return
        values = tensor.ravel().tolist()
        listed = [text.encode() for text in values] if output.datatype == "BYTES" else values
    except ValueError as error:
        raise OutputError(f"The output {output.name!r} holds text that is not valid Unicode.") from error
    getattr(made.contents, _CONTENTS[output.datatype]).extend(listed)
