"""The parts of Kubernetes' object metadata and status conditions that Topgraft reads."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from topgraft.api.scalars import MAX_MESSAGE, Count
from topgraft.api.wire import ListOf, Wire

GROUP = "topgraft.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class OwnerReference(Wire):
    """The object that this one belongs to."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False


class ObjectMeta(Wire):
    """Metadata as the API server answers it."""

    name: str
    namespace: str
    uid: str
    creation_timestamp: datetime
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    deletion_timestamp: datetime | None = None


class Condition(Wire):
    """One aspect of the object's state (metav1.Condition)."""

    type: Annotated[
        str,
        Field(
            max_length=316,
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        ),
    ]
    """Name of the aspect, such as Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    observed_generation: Count | None = None
    """The metadata.generation that the condition was made for."""
    last_transition_time: datetime
    """When the status last changed."""
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """Why, in one CamelCase word."""
    message: Annotated[str, Field(max_length=MAX_MESSAGE)]
    """The details, for people."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=32), ListOf("map", ("type",))]
ObservedGeneration = Annotated[int, Field(ge=-1, le=2**53 - 1)]


class KubernetesObject(Wire):
    """A whole object as the API server answers it."""

    api_version: str = API_VERSION
    kind: str
    metadata: ObjectMeta
