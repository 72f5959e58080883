"""The class that an adapter derives from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Self

from topgraft_adapter.api import Api
from topgraft_adapter.info import LiveInfo, live_info
from topgraft_adapter.state import ModelStateReader


class ModelAdapter(ABC):
    """Loads model artifacts and answers inference requests with them."""

    label_output: ClassVar[str | None] = None
    """The output whose values are the labels of the answers: /metrics counts them, /feedback is held against them.

    None: the first output with one whole number, text or boolean per row. "": no output. Of an output of fractions
    the label is the place of the greatest in each row.
    """

    @classmethod
    @abstractmethod
    def load(cls, state_reader: ModelStateReader) -> Self:
        """Make an adapter from the artifacts. Called once, before any request; the pod is not ready until it returns.

        Whatever it raises ends the process, and is reported as `LoadFailed`.
        """

    @classmethod
    @abstractmethod
    def api(cls) -> Api:
        """Inputs and outputs by name. Called without artifacts."""

    @abstractmethod
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Answer one request.

        The argument names are the api's input names, in any order; an input that is not required needs a default.
        Returns the value itself when the api declares one output, else a mapping from output name to value.
        Runs in one of several worker threads, so several calls may run at once. Raise `InvalidInputError` for a
        request that fits the api and still makes no sense.
        """

    def ready(self) -> bool:
        """Whether this adapter can answer now. False takes the pod out of the Service; the process lives on.

        Called at each readiness probe and before each request, on the server's event loop: it must return at once.
        """
        return True

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
