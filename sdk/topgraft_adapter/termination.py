"""The termination log: the few bytes that a container leaves in its pod's status."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

MAX_BYTES = 4096
"""What the kubelet keeps of a container's termination message."""

_DEFAULT_PATH = "/dev/termination-log"
_VARIABLE = "TOPGRAFT_TERMINATION_LOG"


def encode(value: Mapping[str, Any]) -> str:
    """One line of JSON without needless space."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def fits(value: Mapping[str, Any]) -> bool:
    """Whether the encoded value is short enough to be kept whole."""
    return len(encode(value).encode(errors="replace")) <= MAX_BYTES


def error(reason: str, message: str) -> dict[str, Any]:
    """A failure as a result, its message cut to what fits."""
    text = message[:1000]
    return {"error": {"reason": reason, "message": text}}


def leave(value: Mapping[str, Any]) -> None:
    """Write the value to the termination log, where there is one."""
    named = os.environ.get(_VARIABLE)
    # Only the kubelet makes the default file; creating it here would leave a stray one in /dev outside of a pod.
    flags = os.O_WRONLY | os.O_TRUNC | (os.O_CREAT if named else 0)
    try:
        descriptor = os.open(named or _DEFAULT_PATH, flags, 0o644)
    except OSError:
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(encode(value).encode(errors="replace"))
