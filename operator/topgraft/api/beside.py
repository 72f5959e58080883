"""What stands beside the adapter: further containers of its pod, or a model that is served elsewhere."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from topgraft.api.pod import EnvVar, LocalObjectReference, Resources
from topgraft.api.scalars import Argument, StringMap
from topgraft.api.wire import ATOMIC, BY_NAME, Rule, Wire, rules

Port = Annotated[int, Field(ge=1, le=65535)]


class ArtifactContainer(Wire):
    """A container in the version's pods, from before the adapter starts until after it has ended.

    The artifacts are mounted as in the adapter, read-only; /topgraft/shared is a directory for all containers.
    """

    model_config = rules(
        Rule("!has(self.readinessPath) || has(self.ports)", "readinessPath needs ports: the first of them is asked")
    )

    name: Annotated[
        str,
        Field(min_length=1, max_length=50, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
        Rule(
            "!(self in ['adapter', 'digest', 'inspect', 'peft', 'test', 'verify'])",
            "is the name of a container of Topgraft's own",
        ),
    ]
    image: Annotated[
        str,
        Field(min_length=1, max_length=512),
        Rule(
            "self.matches('^[^@ ]+@sha256:[0-9a-f]{64}$')",
            "must name the image by digest (repository@sha256:<64 hex digits>): it is a part of the artifacts",
        ),
    ]
    """The image, by digest: repository@sha256:…"""
    command: Annotated[tuple[Argument, ...], Field(max_length=32), ATOMIC] = ()
    """Replaces the image's entry point."""
    args: Annotated[tuple[Argument, ...], Field(max_length=32), ATOMIC] = ()
    env: Annotated[tuple[EnvVar, ...], Field(max_length=16), BY_NAME] = ()
    ports: Annotated[tuple[Port, ...], Field(min_length=1, max_length=8), ATOMIC] = ()
    """Where it listens, on localhost of the pod. The adapter starts when the first one answers."""
    readiness_path: Annotated[str | None, Field(min_length=1, max_length=512, pattern="^/")] = None
    """Asked by HTTP at the first port; without it, whether that port is open."""
    resources: Resources | None = None


class ExternalModel(Wire):
    """A model that is served elsewhere; the adapter stands in front of it."""

    base_url: Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^https?://[^\s/@]+(/\S*)?$")]
    """Where it is served. Credentials have no place in it."""
    secret_ref: LocalObjectReference | None = None
    """A Secret of the same namespace with the credentials, mounted for the adapter alone."""
    configuration: StringMap = {}
    """Further settings of the connection, given to the adapter."""
