"""What the environment tells the server."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from topgraft_adapter.context import CONTAINERS_VARIABLE, EXTERNAL_VARIABLE
from topgraft_adapter.errors import FatalError

MAX_DRAIN_SECONDS = 10
"""A client that knows the pod's address may never stop; the drain then ends all the same."""

ARTIFACT_VARIABLE = "TOPGRAFT_ARTIFACT_DIR"
GRPC_VARIABLE = "TOPGRAFT_GRPC_PORT"


@dataclass(frozen=True)
class Settings:
    """The settings of `topgraft-adapter serve`. Times are in seconds."""

    artifact_dir: Path | None
    """None for a version without artifacts: it stands in front of containers or an external model."""
    model: str
    version: str
    port: int
    max_connection_age: float
    drain: float
    threads: int = 32
    """How many calls of predict() run at once."""
    max_concurrency: int = 256
    """How many requests may be read, wait or run at once; one more is answered with 503."""
    request_timeout: float = 300
    grpc_port: int | None = None


def read_settings() -> Settings:
    """Read and check the environment. Raises FatalError: SettingInvalid or ArtifactUnreadable."""
    return Settings(
        artifact_dir=readable_artifact_dir(),
        model=_text("TOPGRAFT_MODEL"),
        version=_text("TOPGRAFT_VERSION"),
        port=_port("TOPGRAFT_PORT", "8080"),
        max_connection_age=_seconds("TOPGRAFT_MAX_CONNECTION_AGE_SECONDS", "5", most=3600),
        drain=_seconds("TOPGRAFT_DRAIN_SECONDS", "2", most=MAX_DRAIN_SECONDS),
        threads=_count("TOPGRAFT_THREADS", "32"),
        max_concurrency=_count("TOPGRAFT_MAX_CONCURRENCY", "256"),
        request_timeout=_seconds("TOPGRAFT_REQUEST_TIMEOUT_SECONDS", "300", most=86400, least=0.1),
        grpc_port=_port(GRPC_VARIABLE, "") if os.environ.get(GRPC_VARIABLE) else None,
    )


def readable_artifact_dir() -> Path | None:
    """The artifact directory, which exists and can be listed. Raises FatalError: ArtifactUnreadable.

    None where the version has containers or an external model, and no artifacts.
    """
    named = os.environ.get(ARTIFACT_VARIABLE, "")
    if not named:
        if os.environ.get(CONTAINERS_VARIABLE) or os.environ.get(EXTERNAL_VARIABLE):
            return None
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


def _count(variable: str, default: str) -> int:
    value = os.environ.get(variable, default)
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 10_000:
        raise _invalid(variable, value, "a number from 1 to 10000")
    return int(value)


def _seconds(variable: str, default: str, most: float, least: float = 0) -> float:
    value = os.environ.get(variable, default)
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not least <= seconds <= most:
        raise _invalid(variable, value, f"a number of seconds from {least:g} to {most:g}")
    return seconds


def _invalid(variable: str, value: str, wanted: str) -> FatalError:
    return FatalError("SettingInvalid", f"{variable}={value!r}: set it to {wanted}.", exit_code=2)
