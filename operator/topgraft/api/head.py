"""The prediction head of a transformer model: what is asked of it, and what became of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from topgraft.api.wire import Wire

HeadMode = Literal["Auto", "Require", "Off"]
HeadResult = Literal["NotNeeded", "Converted", "Repaired", "Unsupported", "Incomplete"]
ClassText = Annotated[str, Field(max_length=255)]


class HeadConversion(Wire):
    """How the adapter treats a static prediction head, for adapters of topgraft-transformers."""

    mode: HeadMode = "Auto"
    """Auto: convert what can be converted, and serve another head by its own class. Require: refuse another one. Off:
    convert nothing."""
    head_name: Annotated[
        str, Field(min_length=1, max_length=63, pattern="^[A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?$")
    ] = "default"
    """The name of the flex head."""


class HeadConversionStatus(Wire):
    """What became of the head, as the adapter's image said in the preflight."""

    from_: ClassText = Field(alias="from")
    """The class that the artifacts are of."""
    to: ClassText
    """The class that serves them."""
    head_name: Annotated[str | None, Field(max_length=63)] = None
    head_type: Annotated[str | None, Field(max_length=63)] = None
    max_abs_diff: Annotated[str | None, Field(max_length=32, pattern=r"^([0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?|inf)$")] = (
        None
    )
    """Greatest difference of a golden logit between the artifacts' own class and the one that serves."""
    result: HeadResult
    """NotNeeded, Converted and Repaired serve a flex head; Unsupported the static head, by its own class, if at all."""
    message: Annotated[str | None, Field(max_length=1024)] = None
    """Why not, in the library's words where it has some."""
