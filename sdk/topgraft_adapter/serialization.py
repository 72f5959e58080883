"""`@auto_serialize`: the arguments of `__init__` as artifacts, so that load() and save() need not be written."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import pickle
from collections.abc import Callable
from typing import Any, ClassVar, ParamSpec, Protocol, TypeVar, overload

from topgraft_adapter.state import ModelStateReader, ModelStateWriter

P = ParamSpec("P")
T = TypeVar("T")
Init = Callable[P, None]

SERIALIZERS = "__topgraft_serializers__"
_ARGUMENTS = "_topgraft_arguments"


class Serializer(Protocol):
    """Writes one value to a file of the artifacts and reads it again."""

    suffix: ClassVar[str]

    def write(self, writer: ModelStateWriter, path: str, value: Any) -> None:
        """Write the value to a new file."""

    def read(self, reader: ModelStateReader, path: str) -> Any:
        """Read what `write` wrote."""


class JsonSerializer:
    """What JSON has: None, bool, int, float, str, lists, and dicts with texts as keys."""

    suffix: ClassVar[str] = ".json"

    def write(self, writer: ModelStateWriter, path: str, value: Any) -> None:
        """Raises TypeError for a value that JSON has not."""
        with writer.open(path, "w") as file:
            json.dump(value, file)

    def read(self, reader: ModelStateReader, path: str) -> Any:
        """The value; a tuple comes back as a list."""
        with reader.open(path, "r") as file:
            return json.load(file)


class NumpySerializer:
    """A numpy array of numbers, booleans or texts of fixed length; never Python objects."""

    suffix: ClassVar[str] = ".npy"

    def write(self, writer: ModelStateWriter, path: str, value: Any) -> None:
        """Raises ValueError for an array of objects."""
        with writer.open(path) as file:
            import numpy as np  # noqa: PLC0415 - `inspect` imports this module, and mostly needs no numpy

            np.save(file, np.asarray(value), allow_pickle=False)

    def read(self, reader: ModelStateReader, path: str) -> Any:
        """The array."""
        with reader.open(path) as file:
            import numpy as np  # noqa: PLC0415

            return np.load(file, allow_pickle=False)


class PickleSerializer:
    """Any Python object that pickle can write, in one version of its libraries.

    Reading runs code that the file names: only for artifacts that you made. An upgrade of the library that the object
    came from may not be able to read it: weights kept as numpy or safetensors files outlive their code.
    """

    suffix: ClassVar[str] = ".pickle"
    _module: ClassVar[str] = "pickle"

    def write(self, writer: ModelStateWriter, path: str, value: Any) -> None:
        """Raises what pickle raises."""
        with writer.open(path) as file:
            importlib.import_module(self._module).dump(value, file, protocol=pickle.DEFAULT_PROTOCOL)

    def read(self, reader: ModelStateReader, path: str) -> Any:
        """The object."""
        with reader.open(path) as file:
            return importlib.import_module(self._module).load(file)


class DillSerializer(PickleSerializer):
    """As pickle, and functions and classes of the main program too. Needs the package dill in the image."""

    suffix: ClassVar[str] = ".dill"
    _module: ClassVar[str] = "dill"


@overload
def auto_serialize(init: Init[P], /) -> Init[P]: ...
@overload
def auto_serialize(**serializers: Serializer) -> Callable[[Init[P]], Init[P]]: ...
def auto_serialize(init: Any = None, /, **serializers: Serializer) -> Any:
    """Decorate `__init__`: save() then writes its arguments, and load() calls it with them.

    `@auto_serialize` writes each with PickleSerializer; `@auto_serialize(weights=NumpySerializer(), labels=
    JsonSerializer())` names one for every argument. Raises TypeError where an argument has none, or where `__init__`
    takes `*args` or `**kwargs`.
    """
    if init is None:
        return functools.partial(_decorated, serializers)
    return _decorated(None, init)


def _decorated(given: dict[str, Serializer] | None, init: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(init)
    parameters = list(signature.parameters.values())[1:]
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY) for p in parameters):
        raise TypeError("@auto_serialize needs an __init__ whose every argument has a name.")
    names = [p.name for p in parameters]
    serializers = dict.fromkeys(names, PickleSerializer()) if given is None else given
    wrong = sorted(set(names) ^ set(serializers))
    if wrong:
        raise TypeError(f"@auto_serialize: {', '.join(wrong)}: name one serializer for each argument of __init__.")

    @functools.wraps(init)
    def remembering(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        arguments = {name: bound.arguments[name] for name in names}
        init(self, *args, **kwargs)
        setattr(self, _ARGUMENTS, arguments)

    setattr(remembering, SERIALIZERS, serializers)
    return remembering


def serializers_of(cls: type) -> dict[str, Serializer] | None:
    """The serializers of a class whose `__init__` is decorated, else None."""
    return getattr(inspect.getattr_static(cls, "__init__"), SERIALIZERS, None)


def read_arguments(cls: type, reader: ModelStateReader) -> dict[str, Any]:
    """The arguments that `write_arguments` wrote. Raises FileNotFoundError or what a serializer raises."""
    serializers = serializers_of(cls) or {}
    return {name: one.read(reader, f"{name}{one.suffix}") for name, one in serializers.items()}


def write_arguments(adapter: object, writer: ModelStateWriter) -> None:
    """Write the arguments that the adapter was made with. Raises TypeError for one made without `__init__`."""
    arguments = getattr(adapter, _ARGUMENTS, None)
    serializers = serializers_of(type(adapter))
    if arguments is None or serializers is None:
        raise TypeError(f"{type(adapter).__name__} defines no save() and no @auto_serialize on its __init__.")
    for name, one in serializers.items():
        one.write(writer, f"{name}{one.suffix}", arguments[name])
