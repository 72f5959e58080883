"""Make an adapter: load() with the artifacts and with what stands beside it."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import Any

from topgraft_adapter.adapter import ModelAdapter
from topgraft_adapter.context import container_context, external_model_context
from topgraft_adapter.contract import Contract
from topgraft_adapter.errors import FatalError, describe
from topgraft_adapter.state import ModelStateReader

LOAD_FAILED = 3
"""What the process ends with when load() fails."""


def load(contract: Contract, artifact_dir: Path | None) -> ModelAdapter:
    """The adapter of the class. Raises FatalError: LoadFailed, SettingInvalid or CredentialsUnreadable.

    The cause of a LoadFailed is what load() raised.
    """
    contexts = {"container_context": container_context(), "external_model_context": external_model_context()}
    # A version without artifacts still gives load() a reader: of an empty directory.
    directory = artifact_dir or tempfile.mkdtemp(prefix="no-artifacts-")
    try:
        adapter = contract.adapter.load(ModelStateReader(directory), **_taken(contract.adapter.load, contexts))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # load() that calls sys.exit() has failed as well
        raise FatalError("LoadFailed", describe(error), LOAD_FAILED) from error
    if not isinstance(adapter, ModelAdapter):
        kind = type(adapter).__name__
        raise FatalError("LoadFailed", f"load() returned a {kind}, not a ModelAdapter.", LOAD_FAILED)
    return adapter


def _taken(load: Any, contexts: dict[str, Any]) -> dict[str, Any]:
    """The contexts that this load() has an argument for: most need none of them."""
    parameters = inspect.signature(load).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return {name: value for name, value in contexts.items() if takes_any or name in parameters}
