"""The class that an adapter derives from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

from topgraft_adapter.api import Api
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
