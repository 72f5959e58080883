"""Find the adapter class that the image names, and check that it keeps the contract."""

from __future__ import annotations

import importlib
import inspect
import keyword
import os
from collections.abc import Iterable
from dataclasses import dataclass

from topgraft_adapter import labels
from topgraft_adapter.adapter import ModelAdapter, overrides
from topgraft_adapter.api import NO_DEFAULT, Api, problems
from topgraft_adapter.errors import FatalError, describe
from topgraft_adapter.serialization import serializers_of

ADAPTER_VARIABLE = "TOPGRAFT_ADAPTER"


@dataclass(frozen=True)
class Contract:
    """An adapter class that was imported and checked, with the api it declares."""

    module: str
    class_name: str
    adapter: type[ModelAdapter]
    api: Api


def find_contract() -> Contract:
    """The adapter class named by TOPGRAFT_ADAPTER. Raises FatalError: ContractMissing or ImportFailed."""
    named = os.environ.get(ADAPTER_VARIABLE, "")
    module_name, _, class_name = named.partition(":")
    if not module_name or not class_name:
        raise _missing(f"{ADAPTER_VARIABLE}={named!r}: set it in the image to module:ClassName.")
    found = getattr(_import(module_name), class_name, None)
    if not (isinstance(found, type) and issubclass(found, ModelAdapter)):
        raise _missing(f"{named}: module {module_name} has no class {class_name} that derives from ModelAdapter.")
    undefined = _undefined(found)
    if undefined:
        raise _missing(f"{named} does not define {', '.join(undefined)}.")
    if overrides(found, "predict") and overrides(found, "run_inference"):
        raise _missing(f"{named} defines predict and run_inference: keep one.")
    try:
        api = found.api()
    except Exception as error:
        raise _missing(f"{named}.api() raised {describe(error)}") from error
    found_problems = problems(api) or _signature_problems(found, api) or labels.problems(api, found.label_output)
    if found_problems:
        raise _missing(f"{named}: {' '.join(found_problems)}"[:1000])
    return Contract(module_name, class_name, found, api)


def _import(module_name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name == module_name:
            raise _missing(
                f"{ADAPTER_VARIABLE} names module {module_name}: it is not installed in the image."
            ) from error
        raise FatalError("ImportFailed", describe(error)) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module that calls sys.exit() must be reported too
        raise FatalError("ImportFailed", describe(error)) from error


def _undefined(adapter: type[ModelAdapter]) -> list[str]:
    made = serializers_of(adapter) is not None or any(
        overrides(adapter, way) for way in ("load", "init_container", "init_external")
    )
    answers = overrides(adapter, "predict") or overrides(adapter, "run_inference")
    abstract = set(adapter.__abstractmethods__)
    return sorted(abstract | ({"load"} if not made else set()) | ({"predict"} if not answers else set()))


def _signature_problems(adapter: type[ModelAdapter], api: Api) -> list[str]:
    inputs, outputs = api
    if overrides(adapter, "run_inference"):
        names = [name for name in (*inputs, *outputs) if not _is_field(name)]
        return [f"run_inference() has its inputs and outputs as fields: {name!r} cannot be one." for name in names]
    parameters = list(inspect.signature(adapter.predict).parameters.values())[1:]
    by_name = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    found = [
        f"predict() takes no argument {name!r}, an input of api()." for name in _absent(inputs, by_name, takes_any)
    ]
    for name, parameter in by_name.items():
        if parameter.default is not parameter.empty:
            continue
        if name not in inputs:
            found.append(f"predict() needs an argument {name!r}, which is no input of api().")
        elif not inputs[name].required and getattr(inputs[name], "default", NO_DEFAULT) is NO_DEFAULT:
            found.append(f"predict() needs a default for {name!r}, an input that is not required.")
    return found


def _is_field(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")


def _absent(wanted: Iterable[str], given: Iterable[str], takes_any: bool) -> list[str]:
    return [] if takes_any else sorted(set(wanted) - set(given))


def _missing(message: str) -> FatalError:
    return FatalError("ContractMissing", message)
