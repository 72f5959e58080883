"""The outputs of an adapter's answer: what two versions are compared by, apart from names, ids and times round it."""

from __future__ import annotations

import hashlib
import json
from itertools import chain
from math import prod
from typing import Any, NamedTuple

import numpy as np

from topgraft.checks.goldenfile import Labels, label_text

MAX_LABEL_CHARACTERS = 64
"""A longer answer is text, not a class: it is compared, but not counted."""


_NUMBERS = frozenset((int, float))


class AnswerError(Exception):
    """The answer cannot be taken apart; the text says why, and holds nothing of it."""


class Output(NamedTuple):
    """One tensor, or another value where the protocol has no tensors (then `datatype` is empty)."""

    datatype: str
    shape: tuple[int, ...]
    data: Any


Outputs = dict[str, Output]


class Parsed:
    """`problem` says why the answer is no well-formed one; it then counts whole, as one output."""

    __slots__ = ("classes", "outputs", "problem", "tensors")

    def __init__(self, outputs: Outputs, problem: str = "", tensors: Any = None) -> None:
        """Take also the JSON that the outputs come from, where it is tensors."""
        self.outputs = outputs
        self.problem = problem
        self.tensors = tensors
        self.classes = classes(outputs)


def parse(body: bytes, like: Parsed | None = None) -> Parsed:
    """Take the outputs out of an answer of the Open Inference Protocol V2, of an OpenAI-style one, of one with a field
    `output`, or of any other JSON, which counts whole.

    Where the tensors are equal to those of `like`, that is returned: most answers of two versions are the same.
    """
    try:
        value = loads(body)
    except AnswerError as error:
        told = f"{len(body)} bytes with sha256 {hashlib.sha256(body).hexdigest()[:16]}…"
        return Parsed({"answer": Output("", (), told)}, str(error))
    tensors = value.get("outputs") if isinstance(value, dict) else None
    if like and tensors is not None and like.tensors == tensors:
        return like
    try:
        return Parsed(outputs_of(value), tensors=tensors)
    except AnswerError as error:
        return Parsed({"answer": Output("", (), value)}, str(error))


def outputs_of(value: Any) -> Outputs:
    """Do the same with the JSON of an answer; raises AnswerError."""
    if isinstance(value, dict):
        if isinstance(value.get("outputs"), list):
            outputs = dict(_tensor(tensor) for tensor in value["outputs"])
            if len(outputs) != len(value["outputs"]):
                raise AnswerError("two outputs have the same name")
            return outputs
        if isinstance(value.get("choices"), list):
            return {f"choices[{index}]": Output("", (), _said(choice)) for index, choice in enumerate(value["choices"])}
        if isinstance(value.get("output"), dict):
            return {name: Output("", (), content) for name, content in value["output"].items()}
    return {"answer": Output("", (), value)}


def loads(body: bytes) -> Any:
    """Read JSON, without NaN and Infinity. Raises AnswerError."""
    try:
        return _DECODER.decode(body.decode())
    except UnicodeDecodeError:
        raise AnswerError("the answer is not UTF-8") from None
    except (ValueError, RecursionError):
        raise AnswerError("the answer is not JSON") from None


def classes(outputs: Outputs) -> Labels | None:
    """Name the best class of each row of the batch: that of the first output that holds whole numbers or text, one for
    each row, else the place of the largest number in each row of the first output with scores; None without either."""
    for output in outputs.values():
        if not output.datatype:
            if (named := _scalar(output.data)) is not None:
                return named
        elif output.datatype[0] not in "F" and len(output.data) == (output.shape[0] if output.shape else 1):
            return _fitting(tuple([label_text(label) for label in output.data]))
    for output in outputs.values():
        if output.datatype.startswith("FP") and len(output.shape) >= 1 and output.shape[-1] > 1:
            try:
                scores = np.asarray(output.data, dtype=np.float64)
            except OverflowError:  # a whole number beyond any float
                return None
            return tuple(map(str, scores.reshape(-1, output.shape[-1]).argmax(axis=1).tolist()))
    return None


def _scalar(value: Any) -> Labels | None:
    if isinstance(value, list) and value and all(isinstance(one, str | int) for one in value):
        return _fitting(tuple(map(label_text, value)))
    return _fitting((label_text(value),)) if isinstance(value, str | int) else None


def _fitting(labels: Labels) -> Labels | None:
    return labels if max(map(len, labels), default=0) <= MAX_LABEL_CHARACTERS else None


def _tensor(tensor: Any) -> tuple[str, Output]:
    if not isinstance(tensor, dict):
        raise AnswerError("an entry of outputs is no object")
    get = tensor.get
    name, datatype, shape, data = get("name"), get("datatype"), get("shape"), get("data")
    if not isinstance(name, str) or not isinstance(datatype, str) or not datatype:
        raise AnswerError("an output has no name or datatype")
    if not isinstance(shape, list) or not all(type(length) is int and length >= 0 for length in shape):
        raise AnswerError("an output's shape is no list of lengths")
    if not isinstance(data, list):
        raise AnswerError("an output has no data in JSON")
    flat = data
    while flat and isinstance(flat[0], list):
        if not all(isinstance(part, list) for part in flat):
            raise AnswerError("an output's data are ragged")
        flat = list(chain.from_iterable(flat))
    if len(flat) != prod(shape):
        raise AnswerError("an output's data do not fill its shape")
    if datatype.startswith("FP") and not _NUMBERS.issuperset(map(type, flat)):
        raise AnswerError(f"an output of datatype {datatype[:8]} holds something that is no number")
    return name, Output(datatype, tuple(shape), flat)


def _said(choice: Any) -> Any:
    """What a completion says, without its index and log probabilities."""
    if not isinstance(choice, dict):
        return choice
    message = choice.get("message")
    if isinstance(message, dict):
        return {name: value for name, value in message.items() if value is not None and name != "role"}.get(
            "content", message
        )
    return choice.get("text", choice)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
