"""AdapterUpgrade: a standing target, "this Model runs this adapter"."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from topgraft.api.adapter import UpgradeAdapter
from topgraft.api.meta import Conditions, KubernetesObject, ObservedGeneration
from topgraft.api.model import HashText, ImageText, Reason, VersionName
from topgraft.api.modelversion import ModelReference
from topgraft.api.policy import RollbackOverride
from topgraft.api.scalars import Count, DnsLabel
from topgraft.api.target import Resolved, UpgradeTarget
from topgraft.api.verification import Checks, VerificationOverride
from topgraft.api.wire import ATOMIC, Rule, Wire, immutable, rules


class AdapterUpgradeSpec(Wire):
    """Which adapter the Model is to run."""

    model_config = rules(
        immutable("AdapterUpgrade", "modelRef"),
        Rule(
            "has(self.target) != (has(self.adapter) && has(self.adapter.image))",
            "must have either adapter.image or target: an image by name, or one that is looked up",
        ),
    )

    model_ref: ModelReference
    """The Model that is upgraded. Immutable."""
    adapter: UpgradeAdapter = UpgradeAdapter()
    target: UpgradeTarget | None = None
    """The image by tag, commit or age instead of adapter.image. It is looked up once, in the base's repository."""
    reason: Literal["BugFix", "MethodChange", "DependencyFix"]
    """Why the adapter changes."""
    from_version: DnsLabel | None = None
    """The ModelVersion whose artifacts are used; by default the Model's base."""
    allow_repository_change: bool = False
    """Whether the image may come from another repository than the base's."""
    allow_api_break: bool = False
    """Whether inputs and outputs may change incompatibly."""
    allow_source_type: bool = False
    """Whether the adapter may change although the base's spec.source.type is not CodeRepository."""
    suspend: bool = False
    """Whether the upgrade waits."""
    verification: VerificationOverride | None = None
    rollback: RollbackOverride | None = None


class ArtifactProof(Wire):
    """The tree digest before and after the upgrade; both are the same."""

    before: Annotated[str | None, Field(max_length=128)] = None
    after: Annotated[str | None, Field(max_length=128)] = None


class ApiDifference(Wire):
    """One input, output or column; without `old` it is new, without `new` it was removed."""

    name: Annotated[str, Field(max_length=600)]
    old: Annotated[str | None, Field(max_length=256)] = None
    new: Annotated[str | None, Field(max_length=256)] = None
    breaking: bool
    """Whether callers of the old interface can notice."""


class RequirementDifference(Wire):
    """One package and its versions; without `old` it is new, without `new` it was removed."""

    name: Annotated[str, Field(max_length=256)]
    old: Annotated[str | None, Field(max_length=256)] = None
    new: Annotated[str | None, Field(max_length=256)] = None


class UpgradeHistoryEntry(Wire):
    """An attempt that has ended."""

    image: ImageText
    version: VersionName | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    outcome: Reason
    reason: Reason | None = None


class AdapterUpgradeStatus(Wire):
    """How far the upgrade is."""

    observed_generation: ObservedGeneration = -1
    """The metadata.generation that this status describes; -1 before the first look."""
    conditions: Conditions = ()
    """Ready is the summary."""
    from_version: VersionName | None = None
    """The version that the upgrade started from."""
    to_version: VersionName | None = None
    """The version that carries the new adapter."""
    resolved: Resolved | None = None
    """What spec.target stood for when it was looked up. Another edit, or the annotation retry-at, looks again."""
    image_digest: Annotated[str | None, Field(max_length=128)] = None
    """Digest that the image's tag stood for."""
    artifact: ArtifactProof | None = None
    api_changes: Annotated[tuple[ApiDifference, ...], Field(max_length=64), ATOMIC] = ()
    """How inputs and outputs differ from those of the version that the new one was derived from."""
    requirement_changes: Annotated[tuple[RequirementDifference, ...], Field(max_length=256), ATOMIC] = ()
    """How the image's Python packages differ from those of that version."""
    checks: Checks = ()
    """The verdicts on the new version."""
    attempt_hash: HashText | None = None
    """What is tried: content, policy and retry token."""
    superseded_generation: Count | None = None
    """The metadata.generation at which a newer upgrade took over."""
    start_time: datetime | None = None
    switch_time: datetime | None = None
    """When requests began to go to the new version."""
    end_time: datetime | None = None
    last_handled_retry_at: Annotated[str | None, Field(max_length=1024)] = None
    """The last value of the annotation topgraft.dev/retry-at that was acted on."""
    history: Annotated[tuple[UpgradeHistoryEntry, ...], Field(max_length=10), ATOMIC] = ()
    """The last attempts, newest first."""


class AdapterUpgrade(KubernetesObject):
    """A standing target: this Model runs this adapter, over the same artifacts."""

    kind: Literal["AdapterUpgrade"] = "AdapterUpgrade"
    spec: AdapterUpgradeSpec
    status: AdapterUpgradeStatus = AdapterUpgradeStatus()
