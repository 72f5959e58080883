"""Where a version comes from: the repository and commit of its code, or another model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from topgraft.api.scalars import DnsLabel
from topgraft.api.wire import Rule, Wire, rules

SourceType = Literal[
    "CodeRepository", "CodeWorkspace", "ModelStudio", "Sdk", "ExternalModel", "ContainerImage", "Promoted"
]
Commit = Annotated[
    str,
    Field(min_length=7, max_length=64),
    Rule("self.matches('^[0-9a-f]{7,64}$')", "must be a commit: 7 to 64 lower-case hexadecimal digits"),
]
GitName = Annotated[
    str,
    Field(min_length=1, max_length=255),
    Rule("self.matches('^[A-Za-z0-9_][A-Za-z0-9._/+-]*$')", "must be a name of a branch or tag, without spaces"),
]


class PromotedFrom(Wire):
    """The version of another Model, of the same namespace, that this one is a promotion of."""

    model: DnsLabel
    version: DnsLabel


class Source(Wire):
    """Where the version comes from. Only versions of a CodeRepository take another adapter by an AdapterUpgrade."""

    model_config = rules(
        Rule(
            "(self.type == 'Promoted') == has(self.promoted)",
            "spec.source.promoted must be given with type: Promoted, and with no other type",
        )
    )

    type: SourceType
    """CodeRepository: trained by versioned code, the only type whose adapter may be upgraded by itself."""
    repository: Annotated[str | None, Field(min_length=1, max_length=1024)] = None
    """The repository of the code, as a URL or path."""
    branch: GitName | None = None
    commit: Commit | None = None
    tag: GitName | None = None
    promoted: PromotedFrom | None = None
    """Where a promoted version comes from."""
