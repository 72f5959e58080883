"""What an AdapterUpgrade asks for instead of an image, and which image that stood for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from topgraft.api.scalars import MAX_MESSAGE
from topgraft.api.source import Commit
from topgraft.api.wire import Rule, Wire, rules

PublishPolicy = Literal["EveryCommit", "TagOnly"]
ImageTag = Annotated[
    str,
    Field(min_length=1, max_length=128),
    Rule(
        "self.matches('^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$')",
        "must be a tag of an image: letters, digits, '_', '.' and '-', at most 128 characters",
    ),
]


class UpgradeTarget(Wire):
    """An image of the base's repository, found once in the registry; exactly one of the fields."""

    model_config = rules(
        Rule(
            "[has(self.tag), has(self.commit), has(self.latest)].filter(x, x).size() == 1",
            "must have exactly one of tag, commit and latest",
        )
    )

    tag: ImageTag | None = None
    """The image of this tag."""
    commit: Commit | None = None
    """The image of this commit: by a tag that names it, or by the image's label org.opencontainers.image.revision."""
    latest: Literal[True] | None = None
    """The newest image: by semantic version where the tags are versions, else by the time it was made."""


class Resolved(Wire):
    """The image that spec.target stood for when it was looked up, or why there is none. It is not looked up again."""

    tag: Annotated[str | None, Field(max_length=128)] = None
    digest: Annotated[str | None, Field(max_length=71)] = None
    commit: Annotated[str | None, Field(max_length=64)] = None
    """The commit that the image was made from, where its tag or labels tell it."""
    time: datetime
    """When it was looked up."""
    request_hash: Annotated[str, Field(max_length=64)]
    """What was looked up: target, repository, policy and retry token."""
    reason: Annotated[str | None, Field(max_length=128)] = None
    """Why there is no image."""
    message: Annotated[str | None, Field(max_length=MAX_MESSAGE)] = None
