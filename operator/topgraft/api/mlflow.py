"""The mirror of a Model in an MLflow model registry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from topgraft.api.wire import Rule, Wire

RegisteredModelName = Annotated[str, Field(max_length=255)]


class Mlflow(Wire):
    """Mirror this Model in the MLflow registry that the operator was started with."""

    registered_model: Annotated[
        RegisteredModelName | None,
        Rule(
            "self.matches('^[A-Za-z0-9][A-Za-z0-9 ._-]*$')",
            "must be a name of letters, digits, spaces, '.', '_' and '-' that starts with a letter or digit",
        ),
    ] = None
    """The registered model; without it <namespace>.<name>."""


class MlflowStatus(Wire):
    """What was mirrored last."""

    registered_model: RegisteredModelName
    digest: Annotated[str, Field(max_length=64)]
    """Of all that was mirrored: as long as it is the same there is nothing to do."""


class MlflowVersionStatus(Wire):
    """The version in MLflow."""

    version: Annotated[str, Field(max_length=32)]
    """Its number in the registered model."""
