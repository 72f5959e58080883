"""The target: which version a Model should run. A pure function of the objects, of what serves, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.api.target import Resolved
from topgraft.governance import releases, training
from topgraft.governance.admission import objection
from topgraft.governance.refusal import Refusal
from topgraft.governance.sourcetypes import source_refusal
from topgraft.governance.targets import Question, question, unpublished
from topgraft.rollout import verification
from topgraft.rollout.content import digest, wire
from topgraft.rollout.derive import content_of, derived_body, derived_name, identity, same_content, upgraded_spec
from topgraft.rollout.image import Image
from topgraft.rollout.policy import rollback_policy
from topgraft.rollout.views import RETRY_AT

GOOD = ("Succeeded", "Restored")
"""Outcomes in a Model's history of versions that ended their bake."""
MESSAGE = 1000


@dataclass(frozen=True)
class Target:
    """What should serve, and on whose order.

    `version` is None while nothing can be said (`reason` and `message` tell why). `body` is the derived ModelVersion
    that does not exist yet. `held` is why the governing upgrade has no say now (pin, suspend); `refused` why it may not
    have its say, or not yet: what serves stays. `question` is to be looked up in a registry first.
    """

    version: str | None = None
    trigger: str = "Base"
    base: str | None = None
    body: dict[str, Any] | None = None
    governing: AdapterUpgrade | None = None
    held: str = ""
    refused: Refusal | None = None
    question: Question | None = None
    overtaken: bool = False
    ungoverned: bool = False
    adapter_overridden: bool = False
    attempt: str = ""
    reason: str = ""
    message: str = ""

    @property
    def order(self) -> AdapterUpgrade | None:
        """The upgrade that asked for this version; None where a pin, the base or a fallback did."""
        return self.governing if self.trigger == "Upgrade" else None


def seniority(upgrade: AdapterUpgrade) -> tuple[str, str]:
    return (upgrade.metadata.creation_timestamp.isoformat(), upgrade.metadata.name)


def governing_upgrade(model: Model, upgrades: Iterable[AdapterUpgrade]) -> AdapterUpgrade | None:
    """The upgrade whose word counts: the newest that was ever seen.

    Invariant: deleting an object is never an order. When the newest upgrade is gone an older one stays superseded
    until its own generation passes the one it was superseded at.
    """
    ordered = sorted(upgrades, key=seniority)
    mark = model.status.governing_upgrade
    if not ordered:
        return None
    if mark is None:
        return ordered[-1]
    high = (mark.creation_time.isoformat(), mark.name)
    for upgrade in reversed(ordered):
        if upgrade.metadata.uid == mark.uid or seniority(upgrade) > high:
            return upgrade
        superseded = upgrade.status.superseded_generation
        if superseded is not None and upgrade.metadata.generation > superseded:
            return upgrade
    return None


def derived(version: ModelVersion) -> bool:
    """Made by the operator for an upgrade: a Model is its controller. Any other owner is a user's affair."""
    return any(owner.kind == "Model" and owner.controller for owner in version.metadata.owner_references)


def eligible(model: Model, version: ModelVersion) -> bool:
    """A user-made version that may become the base without being named."""
    if derived(version) or version.spec.channel != "Production" or version.metadata.deletion_timestamp is not None:
        return False
    return objection(model, version) is None


def rank(version: ModelVersion) -> tuple[int, int, str]:
    """Order of user-made versions: those with a revision above those without, then revision, then creation time."""
    revision = version.spec.revision
    return (
        0 if revision is None else 1,
        revision or 0,
        version.metadata.creation_timestamp.isoformat() if revision is None else "",
    )


@dataclass(frozen=True)
class Base:
    version: ModelVersion | None = None
    name: str | None = None
    reason: str = ""
    message: str = ""


def choose_base(model: Model, versions: dict[str, ModelVersion], *, since: str | None = None) -> Base:
    """The newest eligible version, or the recorded base where nothing newer exists.

    `since` stands in for the recorded base (`fromVersion`). Invariant: deleting or re-creating a version never moves
    the base: what was base before (history) does not become it again by a fresh creation time.
    """
    recorded = since or model.status.base_version
    if (released := _released(model, versions, recorded)) is not None:
        return released
    current = versions.get(recorded or "")
    past = {entry.version for entry in model.status.history}
    newer = [
        v
        for v in versions.values()
        if eligible(model, v)
        and v.metadata.name != recorded
        and (recorded is None or _is_newer(v, current, model, past))
    ]
    if not newer:
        if recorded and current is None:
            return Base(None, recorded)
        return Base(current, recorded)
    newest = max(newer, key=rank)
    equals = sorted(v.metadata.name for v in newer if rank(v) == rank(newest))
    if len(equals) > 1:
        names = ", ".join(equals)
        message = f"ModelVersions {names} are equally new: give them different values in spec.revision"
        return Base(current, recorded, "BaseAmbiguous", message)
    return Base(newest, newest.metadata.name)


def _released(model: Model, versions: dict[str, ModelVersion], recorded: str | None) -> Base | None:
    """The base where an objective releases to Production. One that waits for its first release keeps what it has."""
    found = releases.production(model, versions)
    if found.current is not None:
        return Base(versions.get(found.current.version), found.current.version)
    if found.blocked is None:
        return None
    if recorded is None:
        return Base(None, None, found.blocked.reason, found.blocked.message)
    return Base(versions.get(recorded), recorded)


def _is_newer(version: ModelVersion, current: ModelVersion | None, model: Model, past: set[str]) -> bool:
    if version.metadata.name in past and version.spec.revision is None:
        return False
    if current is not None:
        return rank(version) > rank(current)
    mark = model.status.base_rank
    return mark is not None and rank(version) > (mark.order, mark.revision, mark.creation_time)


def choose(
    model: Model, versions: dict[str, ModelVersion], upgrades: Iterable[AdapterUpgrade], serving: str | None
) -> Target:
    """Decide the target. Order: pin, governing upgrade, what serves if it comes from the base, base."""
    upgrade = governing_upgrade(model, upgrades)
    marked = model.status.governing_upgrade is not None
    base = choose_base(model, versions)
    target = Target(
        base=base.name,
        governing=upgrade,
        ungoverned=upgrade is None and marked,
        reason=base.reason,
        message=base.message,
    )
    pin = model.spec.serving.version
    if pin is not None:
        target = replace(_pinned(target, versions, pin), held="Pinned" if upgrade else "")
    elif base.reason:
        return target
    elif upgrade is not None and not upgrade.spec.suspend:
        target, plain = _upgraded(model, versions, target, base, upgrade), target
        asked = target.question
        if (refused := target.refused or _barred(model, versions, target, serving)) is not None:
            # What an earlier form of the order brought in from a version of its choice stays.
            kept = replace(plain, version=serving) if upgrade.spec.from_version and serving in versions else None
            target = kept or _without_upgrade(model, plain, versions, base, serving)
            target = replace(target, refused=refused, question=asked)
    else:
        held = "Suspended" if upgrade else ""
        target = replace(_without_upgrade(model, target, versions, base, serving), held=held)
    if (found := _barred(model, versions, target, serving)) is not None:
        target = replace(target, version=None, body=None, reason=found.reason, message=found.message)
    return replace(target, attempt=attempt_hash(model, versions, target)) if target.version else target


def _barred(model: Model, versions: dict[str, ModelVersion], target: Target, serving: str | None) -> Refusal | None:
    """Why the target may not be brought in.

    Invariant: a policy never ends what serves, nor bars the way to what served well: it guards what is new.
    """
    status = model.status
    known = {e.version for e in status.history if e.outcome in GOOD} | {status.stable_version, status.previous_version}
    if target.version is None or target.version in known | {serving}:
        return None
    # A version that is yet to be derived has its base's lineage and channel.
    record = versions.get(target.version) or versions.get(target.base or "")
    return objection(model, record) if record is not None else None


def _pinned(target: Target, versions: dict[str, ModelVersion], pin: str) -> Target:
    if pin in versions:
        return replace(target, version=pin, trigger="Pin", reason="", message="")
    message = f"spec.serving.version names ModelVersion {pin!r}, which does not exist: create it or remove the pin"
    return replace(target, reason="VersionNotFound", message=message)


def _upgraded(
    model: Model, versions: dict[str, ModelVersion], target: Target, base: Base, upgrade: AdapterUpgrade
) -> Target:
    root = base
    if name := upgrade.spec.from_version:
        if name not in versions:
            message = (
                f"spec.fromVersion names ModelVersion {name!r}, which does not exist: create it or change the name"
            )
            return replace(target, reason="VersionNotFound", message=message)
        newest = choose_base(model, versions, since=name)
        root = Base(versions[name], name) if newest.version is None or newest.reason else newest
        if root.name != name and root.version and _carries_another(root.version, versions[name]):
            return replace(target, version=root.name, base=root.name, overtaken=True)
    if root.version is None:
        return _no_version(model, replace(target, base=root.name), versions)
    if upgrade.spec.target is not None and (refused := source_refusal(root.version, upgrade)):
        return replace(target, refused=refused)
    asked, found = _looked_up(model, root.version, upgrade)
    if asked is not None and (refused := _unanswered(asked, found)):
        return replace(target, refused=refused, question=None if refused.final else asked)
    spec = upgraded_spec(root.version, upgrade, found)
    if same_content(spec, wire(root.version.spec)):
        return replace(target, version=root.name, trigger="Upgrade", base=root.name)
    if refused := source_refusal(root.version, upgrade) or _unpublished(model, upgrade, spec):
        return replace(target, refused=refused)
    name = derived_name(model.metadata.name, spec)
    overridden = root.version.metadata.creation_timestamp > upgrade.metadata.creation_timestamp
    made = replace(target, version=name, trigger="Upgrade", base=root.name, adapter_overridden=overridden)
    existing = versions.get(name)
    if existing is None:
        return replace(made, body=derived_body(model, root.version, name, spec))
    if not same_content(wire(existing.spec), spec):
        message = f"ModelVersion {name!r} exists with other content: delete or rename it"
        return replace(target, base=root.name, reason="VersionNameTaken", message=message)
    return made


def _carries_another(newest: ModelVersion, version: ModelVersion) -> bool:
    """Whether newer weights came with an adapter of their own; a version made of `version` did not bring any."""
    made = newest.spec.parent_version == version.metadata.name and derived(newest)
    return not made and newest.spec.adapter.image != version.spec.adapter.image


def _looked_up(model: Model, base: ModelVersion, upgrade: AdapterUpgrade) -> tuple[Question | None, Resolved | None]:
    """(what the upgrade's target asks of the registry, the answer on record); None where it names an image itself."""
    repository = Image.parse(base.spec.adapter.image).canonical_repository
    asked = question(model, upgrade, repository, upgrade.metadata.annotations.get(RETRY_AT, ""))
    found = upgrade.status.resolved
    return asked, found if asked is not None and asked.answered_by(found) else None


def _unanswered(asked: Question, found: Resolved | None) -> Refusal | None:
    if found is None:
        return Refusal("Resolving", f"spec.target is looked up in {asked.repository}", final=False)
    return Refusal(found.reason, found.message or found.reason) if found.reason else None


def _unpublished(model: Model, upgrade: AdapterUpgrade, spec: dict[str, Any]) -> Refusal | None:
    image = Image.parse(spec["adapter"]["image"])
    return unpublished(model, upgrade, image.tag, image.digest)


def _without_upgrade(
    model: Model, target: Target, versions: dict[str, ModelVersion], base: Base, serving: str | None
) -> Target:
    current = versions.get(serving or "")
    if current is not None and base.name in (current.metadata.name, current.spec.parent_version):
        return replace(target, version=serving)
    if base.version is None:
        return _no_version(model, target, versions)
    return replace(target, version=base.name)


def _no_version(model: Model, target: Target, versions: dict[str, ModelVersion]) -> Target:
    if target.base is not None:
        message = (
            f"the base ModelVersion {target.base!r} was deleted: what serves stays; re-create it or create a newer one"
        )
        return replace(target, reason="BaseVersionMissing", message=message)
    aside = "; ".join(f"{name}: {why}" for name, why in sorted(_held_back(model, versions)))
    found = [objection(model, version) for version in versions.values()]
    if found and all(one is not None and one.reason == training.UNTRAINED_REASON for one in found):
        # It goes on by itself when the training ends.
        return replace(target, reason=training.UNTRAINED_REASON, message=aside[:MESSAGE])
    if aside:
        return replace(
            target, reason="NoVersion", message=f"no ModelVersion of this Model may serve: {aside}"[:MESSAGE]
        )
    return replace(target, reason="NoVersion", message="no ModelVersion names this Model in spec.modelRef.name")


def _held_back(model: Model, versions: dict[str, ModelVersion]) -> Iterator[tuple[str, str]]:
    for version in versions.values():
        if version.spec.channel != "Production":
            yield version.metadata.name, "spec.channel is not Production"
        elif found := objection(model, version):
            yield version.metadata.name, found.message


def attempt_hash(model: Model, versions: dict[str, ModelVersion], target: Target) -> str:
    """Identity of an attempt: content, policy, what is allowed, retry tokens. A failure is remembered under it."""
    upgrade = target.order
    holders = (model, versions.get(target.version or ""), upgrade)
    tokens = [token for holder in holders if holder and (token := holder.metadata.annotations.get(RETRY_AT))]
    allowed = [
        name for name in ("allow_repository_change", "allow_api_break") if upgrade and getattr(upgrade.spec, name)
    ]
    version = versions.get(target.version or "")
    content = content_of(version) if version else digest(identity(target.body["spec"]))[:16] if target.body else ""
    parts = [target.version, content, rollback_policy(model, upgrade).wire(), allowed, tokens]
    # Only where something is asked for: an operator that learns of a new kind of check tries nothing again by itself.
    if asked := verification.identity(verification.verification_policy(model, upgrade)):
        parts.append(asked)
    return digest(parts)[:16]
