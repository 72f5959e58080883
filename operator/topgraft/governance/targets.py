"""Which image an AdapterUpgrade asks for: the one that it names, or what its target stood for when it was looked up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.model import Model
from topgraft.api.target import Resolved, UpgradeTarget
from topgraft.governance.publishing import released
from topgraft.governance.refusal import Refusal


@dataclass(frozen=True)
class Question:
    """What is to be looked up in a registry. `mark` identifies it, `strict_mark` with the policy too."""

    repository: str
    target: UpgradeTarget
    policy: str
    mark: str
    strict_mark: str

    @property
    def arguments(self) -> list[str]:
        """Of `topgraft tags`."""
        target = self.target
        asked = (
            ["--latest"] if target.latest else [f"--commit={target.commit}" if target.commit else f"--tag={target.tag}"]
        )
        return [f"--repository={self.repository}", f"--policy={self.policy}", *asked]

    def answered_by(self, resolved: Resolved | None) -> bool:
        """Whether the record answers this.

        An image that was found stays whatever becomes of the policy; that none was found holds under that policy only.
        """
        if resolved is None:
            return False
        return resolved.request_hash == (self.mark if resolved.reason is None else self.strict_mark)


def question(model: Model, upgrade: AdapterUpgrade, repository: str, token: str) -> Question | None:
    """What the upgrade's target asks of the registry of `repository`; None where it names an image.

    `token`: the annotation that asks to look again.
    """
    target = upgrade.spec.target
    if target is None:
        return None
    asked = [upgrade.metadata.uid, target.wire(), repository, token]
    policy = model.spec.publish_policy
    return Question(repository, target, policy, _hash(asked), _hash([*asked, policy]))


def _hash(parts: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def unpublished(model: Model, upgrade: AdapterUpgrade, tag: str, digest: str) -> Refusal | None:
    """Why the image that the upgrade names does not count under the Model's publish policy; None where it does."""
    if model.spec.publish_policy != "TagOnly" or upgrade.spec.target is not None:
        return None
    if released(tag) if tag else not digest:
        return None
    named = f"the commit {tag!r}" if tag else "a digest without a tag"
    return Refusal(
        "CommitNotTagged",
        f"spec.adapter.image names {named}, and the Model's spec.publishPolicy is TagOnly: name an image by a tag of "
        "its own, or set EveryCommit",
    )
