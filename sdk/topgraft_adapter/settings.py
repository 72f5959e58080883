"""What the environment tells the server."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from topgraft_adapter.errors import FatalError

MAX_DRAIN_SECONDS = 10
"""A client that knows the pod's address may never stop; the drain then ends all the same."""

ARTIFACT_VARIABLE = "TOPGRAFT_ARTIFACT_DIR"


@dataclass(frozen=True)
class Settings:
    """The settings of `topgraft-adapter serve`. Times are in seconds."""

    artifact_dir: Path
    model: str
    version: str
    port: int
    max_connection_age: float
    drain: float


def read_settings() -> Settings:
    """Read and check the environment. Raises FatalError: SettingInvalid or ArtifactUnreadable."""
    return Settings(
        artifact_dir=readable_artifact_dir(),
        model=_text("TOPGRAFT_MODEL"),
        version=_text("TOPGRAFT_VERSION"),
        port=_port("TOPGRAFT_PORT", "8080"),
        max_connection_age=_seconds("TOPGRAFT_MAX_CONNECTION_AGE_SECONDS", "5", most=3600),
        drain=_seconds("TOPGRAFT_DRAIN_SECONDS", "2", most=MAX_DRAIN_SECONDS),
    )


def readable_artifact_dir() -> Path:
    """The artifact directory, which exists and can be listed. Raises FatalError: ArtifactUnreadable."""
    named = os.environ.get(ARTIFACT_VARIABLE, "")
    if not named:
        raise FatalError("ArtifactUnreadable", f"{ARTIFACT_VARIABLE} is not set; set it to the artifact directory.")
    try:
        next(os.scandir(named), None)
    except OSError as error:
        message = f"{ARTIFACT_VARIABLE}={named}: {error.strerror}; mount the artifacts there, readable for this user."
        raise FatalError("ArtifactUnreadable", message) from error
    return Path(named)


def _text(variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value or "/" in value:
        raise _invalid(variable, value, "a name without a slash")
    return value


def _port(variable: str, default: str) -> int:
    value = os.environ.get(variable, default)
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 65535:
        raise _invalid(variable, value, "a port from 1 to 65535")
    return int(value)


def _seconds(variable: str, default: str, most: float) -> float:
    value = os.environ.get(variable, default)
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= most:
        raise _invalid(variable, value, f"a number of seconds from 0 to {most:g}")
    return seconds


def _invalid(variable: str, value: str, wanted: str) -> FatalError:
    return FatalError("SettingInvalid", f"{variable}={value!r}: set it to {wanted}.", exit_code=2)
