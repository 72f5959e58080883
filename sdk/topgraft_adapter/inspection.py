"""`topgraft-adapter inspect`: what an adapter image says of itself, without loading the artifacts.

Where the ModelVersion asks for its head to be converted, the class is asked what becomes of it: that may load them.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from importlib import metadata
from typing import Any

from topgraft_adapter import termination
from topgraft_adapter.adapter import ModelAdapter
from topgraft_adapter.api import describe, digest
from topgraft_adapter.contract import find_contract
from topgraft_adapter.errors import FatalError
from topgraft_adapter.errors import describe as describe_error
from topgraft_adapter.settings import readable_artifact_dir
from topgraft_adapter.state import ModelStateReader
from topgraft_adapter.version import VERSION

HEAD_CONVERSION = "TOPGRAFT_HEAD_CONVERSION"
_DROPPED_WHEN_TOO_LONG = ("requirementsPacked", "api")


def inspect_image() -> dict[str, Any]:
    """The inspection, short enough for the termination log. Raises FatalError."""
    contract = find_contract()
    directory = readable_artifact_dir()
    api = describe(contract.api)
    requirements = installed()
    found: dict[str, Any] = {
        "module": contract.module,
        "className": contract.class_name,
        "sdkVersion": VERSION,
        "api": api,
        "apiDigest": digest(api),
        "requirementsDigest": "sha256:" + hashlib.sha256("\n".join(requirements).encode()).hexdigest(),
        "requirements": requirements,
        "commit": os.environ.get("TOPGRAFT_COMMIT") or None,
        "tag": os.environ.get("TOPGRAFT_TAG") or None,
    }
    if os.environ.get(HEAD_CONVERSION) and directory is not None:
        found["headConversion"] = _head(contract.adapter, ModelStateReader(directory))
    if not termination.fits(found):
        found["requirementsPacked"] = packed(found.pop("requirements"))
    for field in _DROPPED_WHEN_TOO_LONG:
        if not termination.fits(found):
            found.pop(field, None)
    return found


def _head(adapter: type[ModelAdapter], artifacts: ModelStateReader) -> dict[str, Any] | None:
    try:
        told = adapter.inspect_head(artifacts)
    except Exception as error:
        raise FatalError("LoadFailed", describe_error(error), exit_code=3) from error
    return None if told is None else dict(told)


def packed(requirements: list[str]) -> str:
    """The list as lines, compressed: some 200 packages fit into a termination message so, 100 as they are."""
    return base64.b64encode(zlib.compress("\n".join(requirements).encode(), 9)).decode()


def installed() -> list[str]:
    """Every installed distribution as `name==version`, sorted."""
    names = {f"{d.metadata['Name'].lower().replace('_', '-')}=={d.version}" for d in metadata.distributions()}
    return sorted(names)
