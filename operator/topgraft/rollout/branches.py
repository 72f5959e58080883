"""Branches: a version beside what serves, behind the Service `<model>-<branch>`. No production request reaches it.

Invariant: pods of a branch carry the role `branch`, which no selector of production traffic has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from topgraft.api.branch import Branch
from topgraft.api.modelversion import ModelVersion
from topgraft.governance import training
from topgraft.governance.releases import standing
from topgraft.rollout import routing
from topgraft.rollout.claims import ONE_NODE, exclusive, on_one_node
from topgraft.rollout.derive import content_of
from topgraft.rollout.ending import ends
from topgraft.rollout.infofiles import has_infos, informed
from topgraft.rollout.instructions import Apply, Delete, Write
from topgraft.rollout.podspec import mount_clash
from topgraft.rollout.render import Kept, deployment_stands, service_body, service_stands, stamped, workload
from topgraft.rollout.views import (
    BRANCH_LABEL,
    CONTENT,
    MODEL_LABEL,
    ROLE_LABEL,
    Deployment,
    Pod,
    Service,
)

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

ROLE = "branch"
STILL_ROUTED = "StillRouted"


@dataclass(frozen=True)
class Run:
    """What becomes of a branch: the record that its pods are to run; or why there is none, and whether they stay."""

    branch: Branch
    name: str
    version: ModelVersion | None = None
    reason: str = ""
    message: str = ""
    stays: bool = False


def runs(at: Situation) -> list[Run]:
    """Ask `at.branches`: a look needs the answer several times."""
    return [_run(at, branch) for branch in at.model.spec.branches]


def versions(at: Situation) -> set[str]:
    """The versions that branches run or name."""
    named = {branch.version for branch in at.model.spec.branches if branch.version}
    return named | {run.version.metadata.name for run in at.branches if run.version is not None}


def _run(at: Situation, branch: Branch) -> Run:
    """Invariant: an absent object is never an order: what ran before goes on running."""
    name = f"{at.model.metadata.name}-{branch.name}"
    if name in at.versions:
        text = f"spec.branches[{branch.name}]: ModelVersion {name!r} has the name of its Deployment: rename the branch"
        return Run(branch, name, None, "BranchNameTaken", text)
    wanted = branch.version
    if branch.objective is not None:
        objective = next((o for o in at.model.spec.objectives if o.name == branch.objective), None)
        current = standing(at.model, at.versions, objective, "Staging").current if objective is not None else None
        if current is None:
            text = f"spec.branches[{branch.name}].objective: there is no release of objective {branch.objective!r} yet"
            return Run(branch, name, None, "NotReleased", text, stays=True)
        wanted = current.version
    version = at.versions.get(wanted or "")
    if version is None:
        text = f"spec.branches[{branch.name}] runs ModelVersion {wanted!r}, which does not exist: create it"
        return Run(branch, name, None, "VersionNotFound", text, stays=True)
    if (found := training.objection(version)) is not None:
        return Run(branch, name, None, found.reason, found.message)
    if text := mount_clash(at.model, [version]):
        return Run(branch, name, None, "MountPathTaken", text, stays=True)
    if exclusive(at, version):
        text = f"an artifact of ModelVersion {wanted!r} is on a ReadWriteOncePod volume, which production needs alone"
        return Run(branch, name, None, "VolumeExclusive", text)
    return Run(branch, name, version)


def current(at: Situation) -> list[tuple[Run, Deployment | None]]:
    """What each branch is to run at this moment, with its Deployment as it is; in the order of the spec.

    Ask `at.branch_runs`: a look needs the answer several times.
    """
    live = deployments(at)
    return [(_held(at, run, live.get(run.name)), live.get(run.name)) for run in at.branches]


def _held(at: Situation, run: Run, live: Deployment | None) -> Run:
    """`run`; or what runs before it, while requests from outside may reach the pods of an Experimental version."""
    version = run.version
    if version is None or version.spec.channel != "Experimental":
        return run
    runs_it = live is not None and live.metadata.annotations.get(CONTENT) == content_of(version)
    if runs_it or not routing.reaches(at, run.name):
        return run
    text = f"requests from outside may still reach the branch: {version.metadata.name}, whose channel is Experimental"
    text += ", starts when every Gateway has taken over the HTTPRoute without it"
    return replace(run, version=None, reason=STILL_ROUTED, message=text, stays=True)


def holds(at: Situation) -> bool:
    """Whether any branch waits for Gateways."""
    return any(run.reason == STILL_ROUTED for run, _ in at.branch_runs)


def branch_writes(at: Situation) -> Iterator[Write]:
    """The Deployments and Services of the branches, made before removed."""
    wanted, services = at.branch_runs, _services(at)
    for run, live in wanted:
        if run.version is None:
            continue
        known = services.get(run.name)
        body = _deployment(at, run, run.version, live)
        if not ends(at, "Deployment", run.name) and (live is None or not deployment_stands(live, body)):
            yield Apply(body, new=live is None)
        body = stamped(_service(at, run))
        if not ends(at, "Service", run.name) and (known is None or not service_stands(known, body)):
            yield Apply(body, new=known is None)
    kept = {run.name for run, _ in wanted if run.version is not None or run.stays}
    for kind, found in (("Deployment", deployments(at)), ("Service", services)):
        for name, one in found.items():
            if name not in kept:
                yield Delete(kind, one.metadata.namespace, name, one.metadata.uid)


def deployments(at: Situation) -> dict[str, Deployment]:
    found = (d for d in at.seen.deployments if at.owns(d) and BRANCH_LABEL in d.metadata.labels)
    return {d.name: d for d in found if d.metadata.deletion_timestamp is None}


def pods(at: Situation, run: Run) -> list[Pod]:
    """The branch's pods, of whatever version: while one is rolled out there are two."""
    mine = (p for p in at.seen.pods if p.role == ROLE and p.metadata.labels.get(BRANCH_LABEL) == run.branch.name)
    return [pod for pod in mine if pod.runs_for(run.name)]


def _services(at: Situation) -> dict[str, Service]:
    found = (s for s in at.seen.services if at.owns(s) and BRANCH_LABEL in s.metadata.labels)
    return {s.name: s for s in found if s.metadata.deletion_timestamp is None}


def _selector(at: Situation, run: Run) -> dict[str, str]:
    managed = {"app.kubernetes.io/managed-by": "topgraft"}
    return {MODEL_LABEL: at.model.metadata.name, BRANCH_LABEL: run.branch.name, ROLE_LABEL: ROLE, **managed}


def _deployment(at: Situation, run: Run, version: ModelVersion, live: Deployment | None) -> dict[str, Any]:
    """Rolled in place when the version changes."""
    selector = _selector(at, run)
    return workload(
        at.model,
        version,
        _kept(at, version, live),
        name=run.name,
        replicas=run.branch.replicas,
        labels=selector,
        selector=selector,
    )


def _kept(at: Situation, version: ModelVersion, live: Deployment | None) -> Kept:
    if live is None or live.metadata.annotations.get(CONTENT) != content_of(version):
        return Kept(at.image(version), on_one_node(at, version), has_infos(version))
    # A digest that becomes known restarts no pod.
    image = live.image if live.image == version.spec.adapter.image else at.image(version, live)
    one_node = live.metadata.annotations.get(ONE_NODE) == "true"
    return Kept(image, one_node, informed(version, live))


def _service(at: Situation, run: Run) -> dict[str, Any]:
    body = service_body(at.model, run.name, _selector(at, run))
    body["metadata"]["labels"][BRANCH_LABEL] = run.branch.name
    return body
