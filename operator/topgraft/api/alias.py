"""Aliases: names that a Model gives to its versions, such as the baseline that tests compare with."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from topgraft.api.scalars import DnsLabel
from topgraft.api.wire import Rule, Wire

Aliases = Annotated[
    dict[str, DnsLabel],
    Field(max_length=32),
    Rule(
        "self.all(k, k.matches('^[A-Za-z0-9_-]{1,63}$'))",
        "must have keys of 1 to 63 characters: names may only contain alphanumerics, underscores (_), and dashes (-)",
    ),
    Rule(
        "!self.exists(k, k.matches('^([Ll][Aa][Tt][Ee][Ss][Tt]|[Vv][0-9]+|serving|previous)$'))",
        "must not have a key that is reserved: latest, serving, previous, or v with a number",
    ),
]
"""The rules of MLflow's registry, so that every alias can be one there, too."""


class AliasMove(Wire):
    """An alias that was given, moved or taken away."""

    alias: Annotated[str, Field(max_length=63)]
    from_: Annotated[str | None, Field(alias="from", max_length=63)] = None
    """The version that it named before; absent where it is new."""
    to: Annotated[str | None, Field(max_length=63)] = None
    """The version that it names since; absent where it was taken away."""
    time: datetime
