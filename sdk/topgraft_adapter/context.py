"""What stands beside the adapter: containers of the same pod, an external model, PEFT adapters."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from topgraft_adapter.errors import FatalError

CONTAINERS_VARIABLE = "TOPGRAFT_CONTAINERS"
EXTERNAL_VARIABLE = "TOPGRAFT_EXTERNAL"
ADAPTERS_VARIABLE = "TOPGRAFT_ADAPTERS"


@dataclass(frozen=True)
class ContainerContext:
    """The other containers of the pod, given to `load` or `init_container` when the version has any."""

    services: Mapping[str, list[str]]
    """Addresses such as `localhost:8000` by the container's name."""
    shared_empty_dir_mount_path: str
    """A directory that every container of the pod can write to; it goes with the pod."""


@dataclass(frozen=True)
class ExternalModel:
    """Where an external model is served."""

    base_url: str
    connection_configuration: Mapping[str, str] = field(default_factory=dict)
    """Further settings of the connection, as the version declares them."""


@dataclass(frozen=True)
class ExternalModelContext:
    """The external model of the version, given to `load` or `init_external`."""

    external_model: ExternalModel
    resolved_credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The Secret's values by key, as they were when the adapter was loaded; never shown in logs."""


def container_context() -> ContainerContext | None:
    """The other containers, None without any. Raises FatalError: SettingInvalid."""
    told = _object(CONTAINERS_VARIABLE)
    if told is None:
        return None
    try:
        services = {str(name): [str(address) for address in listed] for name, listed in told["services"].items()}
        return ContainerContext(MappingProxyType(services), str(told["sharedEmptyDirMountPath"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise _invalid(CONTAINERS_VARIABLE, f"has no usable {error}") from error


def external_model_context() -> ExternalModelContext | None:
    """The external model, None without one. Raises FatalError: SettingInvalid or CredentialsUnreadable."""
    told = _object(EXTERNAL_VARIABLE)
    if told is None:
        return None
    try:
        configuration = {str(name): str(value) for name, value in told.get("configuration", {}).items()}
        model = ExternalModel(str(told["baseUrl"]), MappingProxyType(configuration))
    except (KeyError, TypeError, AttributeError) as error:
        raise _invalid(EXTERNAL_VARIABLE, f"has no usable {error}") from error
    directory = told.get("credentialsDir")
    return ExternalModelContext(model, MappingProxyType(_credentials(Path(directory)) if directory else {}))


def _credentials(directory: Path) -> dict[str, str]:
    """A mounted Secret: one file per key; `..data` and its like are the kubelet's."""
    try:
        return {
            entry.name: entry.read_text(encoding="utf-8")
            for entry in sorted(directory.iterdir())
            if entry.is_file() and not entry.name.startswith("..")
        }
    except (OSError, UnicodeDecodeError) as error:
        message = f"{directory}: {type(error).__name__}; mount the Secret of the external model there, values in UTF-8."
        raise FatalError("CredentialsUnreadable", message) from None


@lru_cache(1)
def peft_adapters() -> tuple[Mapping[str, Any], ...]:
    """The version's PEFT adapters as `spec.artifact.adapters` declares them; empty without any.

    Raises FatalError: SettingInvalid.
    """
    text = os.environ.get(ADAPTERS_VARIABLE, "")
    if not text:
        return ()
    try:
        told = json.loads(text)
    except ValueError as error:
        raise _invalid(ADAPTERS_VARIABLE, "is not JSON") from error
    if not isinstance(told, list) or not all(isinstance(one, dict) and "name" in one for one in told):
        raise _invalid(ADAPTERS_VARIABLE, "is no list of objects with a name")
    return tuple(MappingProxyType(one) for one in told)


def _object(variable: str) -> dict[str, Any] | None:
    text = os.environ.get(variable, "")
    if not text:
        return None
    try:
        told = json.loads(text)
    except ValueError as error:
        raise _invalid(variable, "is not JSON") from error
    if not isinstance(told, dict):
        raise _invalid(variable, "is no JSON object")
    return told


def _invalid(variable: str, what: str) -> FatalError:
    return FatalError("SettingInvalid", f"{variable} {what}: the operator sets it.", exit_code=2)
