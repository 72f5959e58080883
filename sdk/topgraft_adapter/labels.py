"""The labels that a model answers: which output holds them, and their text in figures and feedback."""

from __future__ import annotations

from typing import Any

from topgraft_adapter.api import Api, ApiItem, Array, Parameter, Tabular
from topgraft_adapter.tensors import Tensor

_MAX_TEXT = 64
_WHOLE = ("boolean", "string", "integer", "long")
_FRACTIONS = ("float", "double")


def label_tensor(api: Api, named: str | None) -> str | None:
    """The name of the output tensor that holds the labels; None when the model has none.

    Without a name it is the first output with one whole number, text or boolean per row.
    """
    if named is not None:
        return named or None
    _, outputs = api
    return next((name for name, item in outputs.items() if _holds_labels(item)), None)


def problems(api: Api, named: object) -> list[str]:
    """What is wrong with an adapter's `label_output`; empty when nothing is."""
    if named is None or named == "":
        return []
    _, outputs = api
    known = [tensor for name, item in outputs.items() for tensor in _labelling(name, item)]
    return (
        []
        if named in known
        else [f"label_output = {named!r} is no output of api() with labels or scores; it has {', '.join(known)}."]
    )


def labels_of(tensor: Tensor) -> list[str]:
    """The label of each row: the value, or of fractions (scores of classes) the place of the greatest."""
    if tensor.dtype.kind == "f":
        rows = tensor.reshape(-1, tensor.shape[-1]) if tensor.size else tensor.reshape(0, 1)
        return [str(place) for place in rows.argmax(axis=1).tolist()]
    values = tensor.ravel().tolist()
    return list(map(str, values)) if tensor.dtype.kind in "iu" else [text(value) for value in values]


def text(value: Any) -> str:
    """One label as text. Raises ValueError for what is no label."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (int, str)):
        raise ValueError(f"a label is a whole number, a text or a boolean, not {type(value).__name__}")
    # Text of a client may hold surrogates, which no exposition can carry.
    return str(value)[:_MAX_TEXT].encode(errors="replace").decode()


def _labelling(name: str, item: ApiItem) -> list[str]:
    """The output tensors whose type can be a label or the score of one."""
    usable = (*_WHOLE, *_FRACTIONS)
    if isinstance(item, Tabular):
        return [f"{name}.{column.name}" for column in item.columns if column.data_type in usable]
    return [name] if isinstance(item, (Parameter, Array)) and item.data_type in usable else []


def _holds_labels(item: ApiItem) -> bool:
    if isinstance(item, Parameter):
        return item.data_type in _WHOLE
    return isinstance(item, Array) and len(item.shape) == 1 and item.data_type in _WHOLE
