"""One call of the adapter, whichever protocol asked for it."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Protocol

from topgraft_adapter.adapter import ModelAdapter, overrides
from topgraft_adapter.api import Api, ApiItem, Array, FileSystem, Parameter, Tabular, tensor_names
from topgraft_adapter.errors import OutputError, UnknownModelError
from topgraft_adapter.files import OutputFiles
from topgraft_adapter.labels import label_tensor, labels_of
from topgraft_adapter.results import Output, outputs_of
from topgraft_adapter.tensors import datatype_of


@dataclass(frozen=True)
class Target:
    """What is served: the adapter with its api, under the names of its model and version."""

    adapter: ModelAdapter
    api: Api
    model: str
    version: str

    @cached_property
    def names(self) -> list[str]:
        """The names of all output tensors."""
        return [tensor for name, item in self.api[1].items() for tensor in tensor_names(name, item)]

    @cached_property
    def labelled(self) -> str:
        """The output tensor that holds labels, "" for none."""
        return label_tensor(self.api, self.adapter.label_output) or ""

    @cached_property
    def has_files(self) -> bool:
        """Whether files come or go with a request."""
        return any(isinstance(item, FileSystem) for side in self.api for item in side.values())

    @cached_property
    def runs(self) -> bool:
        """Whether the adapter answers by run_inference."""
        return overrides(type(self.adapter), "run_inference")


class Answer(NamedTuple):
    """What to send, the request's id ("" without), and the label of each row, where the model has labels."""

    body: Any
    id: str
    labels: list[str]
    header_length: int | None = None
    """Bytes of JSON at the start of the body, where raw tensors follow."""


class Arguments(Protocol):
    """Makes the adapter's arguments of one request; files among them live as long as the stack."""

    def __call__(self, inputs: Mapping[str, ApiItem], stack: ExitStack, /) -> dict[str, Any]: ...


def check_name(model: str, version: str, asked_model: str, asked_version: str) -> None:
    """Raises UnknownModelError if another model or version than the served one is asked for; "" is any version."""
    if asked_model != model:
        raise UnknownModelError(f"There is no model {asked_model[:100]!r} here; this is {model!r}.")
    if asked_version not in ("", version):
        raise UnknownModelError(f"There is no version {asked_version[:100]!r} here; this is {version!r}.")


def call(target: Target, arguments: Arguments) -> tuple[dict[str, Output], list[str]]:
    """The outputs by name and the label of each row.

    Raises InvalidInputError, OutputError, or whatever the adapter raises.
    """
    if target.has_files:
        with ExitStack() as stack:
            found = _found(target, arguments, stack)
    else:
        found = _found(target, arguments, _NO_FILES)
    labelled = found.get(target.labelled)
    return found, labels_of(labelled.tensor) if labelled else []


_NO_FILES = ExitStack()
"""Closing one is not free, and an api without FileSystem puts nothing in it."""


def _found(target: Target, arguments: Arguments, stack: ExitStack) -> dict[str, Output]:
    inputs, outputs = target.api
    given = arguments(inputs, stack)
    returned = _run_inference(target, given, stack) if target.runs else target.adapter.predict(**given)
    return outputs_of(outputs, returned)


class OutputValue:
    """Where `run_inference` puts one output."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._given: Any = None

    def write(self, value: Any) -> None:
        """Give the output's value, in the form that `predict` would return. Raises OutputError the second time."""
        if self._given is not None:
            raise OutputError(f"The output {self._name!r} was written twice.")
        self._given = value

    def value(self) -> Any:
        """What was given, None when nothing was."""
        return self._given


def _run_inference(target: Target, given: dict[str, Any], stack: ExitStack) -> Any:
    inputs, outputs = target.api
    writers = {
        name: OutputFiles(name, stack) if isinstance(item, FileSystem) else OutputValue(name)
        for name, item in outputs.items()
    }
    target.adapter.run_inference(
        _tuple_type("Inputs", tuple(inputs))(**{name: given.get(name) for name in inputs}),
        _tuple_type("Outputs", tuple(outputs))(**writers),
    )
    values = {name: writer.value() for name, writer in writers.items()}
    return next(iter(values.values())) if len(values) == 1 else values


@lru_cache(16)
def _tuple_type(name: str, fields: tuple[str, ...]) -> Any:
    return namedtuple(name, fields)


def metadata(items: Mapping[str, ApiItem]) -> list[dict[str, Any]]:
    """The tensors of one side of an api, as the protocol's model metadata lists them; -1 stands for any length."""
    found = []
    for name, item in items.items():
        if isinstance(item, Tabular):
            found += [(f"{name}.{column.name}", column.data_type, [-1]) for column in item.columns]
        elif isinstance(item, Array):
            found.append((name, item.data_type, list(item.shape)))
        else:
            found.append((name, item.data_type if isinstance(item, Parameter) else "any", [1]))
    return [{"name": name, "datatype": datatype_of(kind), "shape": shape} for name, kind, shape in found]
