"""Which derived versions may go: those that nothing refers to, beyond the limit, the oldest first."""

from __future__ import annotations

from collections.abc import Iterator

from topgraft.governance.releases import named
from topgraft.rollout.branches import versions
from topgraft.rollout.instructions import Delete
from topgraft.rollout.sandbox import used_version
from topgraft.rollout.situation import Situation
from topgraft.rollout.target import derived


def outdated(at: Situation) -> Iterator[Delete]:
    """Prune. User-made versions are never touched, nor one that is still the target: its failure is an input."""
    status = at.model.status
    used = {at.serving, at.stable, at.previous, at.target.version, at.goal.version, at.target.base, status.base_version}
    used |= {upgrade.status.to_version for upgrade in at.seen.upgrades} | set(at.deployments)
    used |= {version.spec.parent_version for version in at.seen.versions}
    used |= named(at.model) | versions(at)
    used |= {*at.model.spec.aliases.values(), used_version(at)}
    made = [v for v in at.seen.versions if derived(v)]
    free = [v for v in made if v.metadata.name not in used and v.metadata.deletion_timestamp is None]
    surplus = len(made) - at.model.spec.version_history_limit
    oldest = sorted(free, key=lambda v: (v.metadata.creation_timestamp, v.metadata.name))
    for version in oldest[: max(0, surplus)]:
        meta = version.metadata
        yield Delete("ModelVersion", meta.namespace, meta.name, meta.uid)
