"""The adapter: the image with the serving code."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from topgraft.api.pod import Env, Resources
from topgraft.api.scalars import Argument, Image
from topgraft.api.wire import ATOMIC, Rule, Wire, rules

Arguments = Annotated[tuple[Argument, ...], Field(max_length=64), ATOMIC]
Contract = Literal["Topgraft", "None"]
PullPolicy = Literal["Always", "IfNotPresent", "Never"]


class Adapter(Wire):
    """The serving code of a version, and how it is started."""

    model_config = rules(
        Rule(
            "self.contract != 'None' || (!has(self.module) && !has(self.className))",
            "spec.adapter.module and spec.adapter.className need contract: Topgraft: other images name no class",
        )
    )

    image: Image
    """The image, by tag or digest."""
    module: Annotated[
        str | None, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")
    ] = None
    """The Python module that the image must name."""
    class_name: Annotated[str | None, Field(min_length=1, max_length=255, pattern="^[A-Za-z_][A-Za-z0-9_]*$")] = None
    """The adapter class that the image must name."""
    contract: Contract = "Topgraft"
    """Topgraft: the image has topgraft-adapter. None: a stock server, whose class and API are not checked."""
    command: Arguments = ()
    """Replaces topgraft-adapter (or, without a contract, the image's entry point)."""
    args: Arguments = ()
    """Arguments after those that Topgraft gives."""
    env: Env = ()
    """Variables; they win over those of the Model with the same name."""
    resources: Resources | None = None
    """Requests and limits; in place of those of the Model."""
    pull_policy: PullPolicy | None = None
    """When the image is pulled; by default as Kubernetes does it."""


class UpgradeAdapter(Wire):
    """The serving code that the Model is to run; a field left out stays as the base version has it."""

    image: Image | None = None
    """The image, by tag or digest; absent with spec.target."""
    args: Annotated[tuple[Argument, ...] | None, Field(max_length=64), ATOMIC] = None
    """Replaces the arguments."""
    env: Env | None = None
    """Replaces the variables."""
    resources: Resources | None = None
    """Replaces requests and limits."""
