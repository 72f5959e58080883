"""The class that an adapter derives from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from topgraft_adapter.api import Api
from topgraft_adapter.context import ContainerContext, ExternalModelContext
from topgraft_adapter.info import LiveInfo, live_info
from topgraft_adapter.serialization import read_arguments, serializers_of, write_arguments
from topgraft_adapter.state import ModelStateReader, ModelStateWriter


class ModelAdapter(ABC):
    """Loads model artifacts and answers inference requests with them.

    A class defines `api`, one of `predict` and `run_inference`, and how it is made: `load`, `init_container`,
    `init_external`, or `@auto_serialize` on its `__init__`.
    """

    label_output: ClassVar[str | None] = None
    """The output whose values are the labels of the answers: /metrics counts them, /feedback is held against them.

    None: the first output with one whole number, text or boolean per row. "": no output. Of an output of fractions
    the label is the place of the greatest in each row.
    """

    @classmethod
    def load(
        cls,
        state_reader: ModelStateReader,
        container_context: ContainerContext | None = None,
        external_model_context: ExternalModelContext | None = None,
    ) -> Self:
        """Make an adapter from the artifacts. Called once, before any request; the pod is not ready until it returns.

        A class of its own may leave out the contexts that it does not need. Without one: `init_container` of a version
        with containers, `init_external` of one with an external model, else the arguments that `@auto_serialize` wrote.
        Whatever it raises ends the process, and is reported as `LoadFailed`.
        """
        if container_context is not None and overrides(cls, "init_container"):
            return cls.init_container(container_context)
        if external_model_context is not None and overrides(cls, "init_external"):
            return cls.init_external(external_model_context)
        if serializers_of(cls) is not None:
            return cls(**read_arguments(cls, state_reader))
        for name, needed in (("init_container", "artifact.containers"), ("init_external", "artifact.external")):
            if overrides(cls, name):
                raise TypeError(f"{cls.__name__} is made by {name}(): the ModelVersion needs spec.{needed}.")
        raise TypeError(f"{cls.__name__} defines no load().")

    @classmethod
    def init_container(cls, container_context: ContainerContext) -> Self:
        """Make an adapter in front of the version's containers; `load` calls it."""
        raise NotImplementedError

    @classmethod
    def init_external(cls, external_model_context: ExternalModelContext) -> Self:
        """Make an adapter in front of an external model; `load` calls it."""
        raise NotImplementedError

    def save(self, state_writer: ModelStateWriter) -> None:
        """Write the artifacts that `load` reads; called where the model is trained, never when it serves.

        Without one of its own a class needs `@auto_serialize`. Raises TypeError without either.
        """
        write_arguments(self, state_writer)

    @classmethod
    @abstractmethod
    def api(cls) -> Api:
        """Inputs and outputs by name. Called without artifacts."""

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Answer one request.

        The argument names are the api's input names, in any order; an input that is not required needs a default.
        Returns the value itself when the api declares one output, else a mapping from output name to value.
        Runs in one of several worker threads, so several calls may run at once. Raise `InvalidInputError` for a
        request that fits the api and still makes no sense.
        """
        raise NotImplementedError

    def run_inference(self, inputs: Any, outputs: Any) -> None:
        """Answer one request, in place of `predict`.

        `inputs` is a named tuple of the api's inputs, None where one that is not required was not given. `outputs` is
        one of the api's outputs: `outputs.<name>.write(value)`, and of a FileSystem `open(path)` and `put_file`, too.
        Threads and errors are those of `predict`.
        """
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether this adapter can answer now. False takes the pod out of the Service; the process lives on.

        Called at each readiness probe and before each request, on the server's event loop: it must return at once.
        """
        return True

    @classmethod
    def inspect_head(cls, state_reader: ModelStateReader) -> Mapping[str, Any] | None:
        """What becomes of the artifacts' prediction head under this code: `headConversion` of `inspect`.

        Asked before any pod of this code serves, where the ModelVersion has `spec.headConversion`. None: this adapter
        has no say in it. What it raises is reported as `LoadFailed`.
        """
        return None

    @property
    def params(self) -> Mapping[str, Any]:
        """The params in `outputInfo` of the ModelVersion, as they are now: they change while the server runs.

        Read them where they are used, once per request. A param is text, or what its entry in paramsSpecs makes of it.
        """
        return self._info.params

    @property
    def output_info(self) -> Mapping[str, Any]:
        """`outputInfo` of the ModelVersion as it is now, such as its outputConfig."""
        return self._info.output_info

    @property
    def input_info(self) -> Mapping[str, Any]:
        """`inputInfo` of the ModelVersion."""
        return self._info.input_info

    @cached_property
    def _info(self) -> LiveInfo:
        return live_info()


def overrides(cls: type[ModelAdapter], method: str) -> bool:
    """Whether the class has its own method of this name."""
    own, base = getattr(cls, method), getattr(ModelAdapter, method)
    return getattr(own, "__func__", own) is not getattr(base, "__func__", base)


def publish(adapter: ModelAdapter, directory: str | Path) -> None:
    """Save a trained model: its artifacts in a new directory, or one that is empty.

    Raises FileExistsError where the directory has files, or what save() raises.
    """
    target = Path(directory)
    if target.exists() and any(target.iterdir()):
        raise FileExistsError(f"{target} is not empty: artifacts are published once, to a directory of their own.")
    adapter.save(ModelStateWriter(target))
