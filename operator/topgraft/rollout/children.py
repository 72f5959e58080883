"""Deployments, preflight pod and standby slices: what must exist for the step that the rollout is at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from topgraft.api.modelversion import ModelVersion
from topgraft.rollout import quick, render
from topgraft.rollout.barepod import ATTEMPT
from topgraft.rollout.branches import branch_writes, versions
from topgraft.rollout.claims import exclusive, on_one_node
from topgraft.rollout.condemned import condemned
from topgraft.rollout.ending import ends
from topgraft.rollout.following import followers
from topgraft.rollout.image import Image
from topgraft.rollout.infofiles import informed
from topgraft.rollout.infos import info_writes
from topgraft.rollout.instructions import Apply, Delete, Write
from topgraft.rollout.preflight import preflight_name, preflight_pod, recheck_name, recheck_pod
from topgraft.rollout.resolving import resolve_writes
from topgraft.rollout.sandbox import sandbox_writes, used_version
from topgraft.rollout.situation import Situation
from topgraft.rollout.strategy import resized
from topgraft.rollout.training import training_writes
from topgraft.rollout.verifying import superfluous, verification_writes, verifies
from topgraft.rollout.views import STANDBY_SINCE, EndpointSlice, Pod

LOST_PAUSE = timedelta(seconds=60)


def children(at: Situation, *, preparing: bool) -> tuple[Write, ...]:
    """All writes to the Model's children, made before removed. `preparing`: the candidate may have pods now."""
    sizes = desired_replicas(at, preparing=preparing)
    return (
        *_derived_version(at),
        *followers(at),
        *training_writes(at),
        *(_preflight(at) if preparing else ()),
        *verification_writes(at, preparing=preparing),
        *_recheck(at),
        *info_writes(at, _shown(at, sizes, preparing=preparing)),
        *resolve_writes(at),
        *_deployments(at, sizes),
        *_arming(at),
        *sandbox_writes(at),
        *_leftovers(at, sizes, preparing=preparing),
        *branch_writes(at),
    )


def _shown(at: Situation, sizes: dict[str, int], *, preparing: bool) -> set[str]:
    """The versions whose pods may see infos."""
    candidate = at.candidate.metadata.name if preparing and at.candidate else None
    return {name for name in (*sizes, *versions(at), candidate, used_version(at)) if name is not None}


def desired_replicas(at: Situation, *, preparing: bool) -> dict[str, int]:
    """Pods per live version; a version that is not in here has no Deployment.

    Invariants: what serves and what is stable keep their full size; the standby stays while what serves has no ready
    pod, however long its time is over; at 0 replicas there is no standby either.
    """
    sizes: dict[str, int] = {}
    candidate = at.candidate
    if preparing and candidate is not None and _may_start(at, candidate):
        sizes[candidate.metadata.name] = max(1, at.replicas)
    previous, ends = at.previous, at.standby_ends
    if previous is not None and ends is not None:
        needed = at.replicas > 0 and at.ready(at.serving) == 0 and at.ready(previous) > 0
        if at.baking or needed or at.now < ends:
            full = at.baking or condemned(at) is not None
            sizes[previous] = at.replicas if full else min(at.replicas, at.policy.standby_replicas)
    for name in (at.stable, at.serving, at.wanted if at.wanted == at.stable or at.returning else None):
        if name is not None:
            sizes[name] = at.replicas
    return resized(at, sizes, preparing=preparing)


def _may_start(at: Situation, candidate: ModelVersion) -> bool:
    """Once the image's digest is known the candidate starts, beside the checks and not after them."""
    if at.refused_at_once:
        return False
    if candidate.metadata.name in at.deployments:
        return True
    if Image.parse(candidate.spec.adapter.image).digest and not exclusive(at, candidate):
        return True
    report = at.report(candidate)
    if report is None or (report.exclusive and not report.inspected(candidate)):
        return False
    return bool(report.image_digest) or report.complete(candidate) or report.inspected(candidate)


def _derived_version(at: Situation) -> Iterator[Write]:
    if at.target.body is not None and not at.seen.refusals.get(f"ModelVersion/{at.target.version}"):
        yield Apply(at.target.body, new=True)


def _preflight(at: Situation) -> Iterator[Write]:
    candidate = at.candidate
    if candidate is None or at.refused_at_once:
        return
    if at.own_pod(preflight_name(candidate.metadata.name)) is None:
        image, alone = at.seen.settings.image, exclusive(at, candidate)
        one_node = on_one_node(at, candidate)
        options = quick.known(at, candidate)
        body = preflight_pod(at.model, candidate, at.goal.attempt, image, one_node, alone=alone, options=options)
        yield Apply(body, new=True)


def _recheck(at: Situation) -> Iterator[Write]:
    version = at.versions.get(at.serving or "")
    if version is None or not at.recheck_due or at.recheck.artifact is not None or at.recheck.error is not None:
        return
    name = recheck_name(version.metadata.name)
    if not any(pod.name == name for pod in at.seen.pods):
        image, attempt = at.seen.settings.image, at.decision.attempt if at.decision else ""
        options, one_node = quick.reading_options(at), on_one_node(at, version)
        yield Apply(recheck_pod(at.model, version, attempt, image, one_node, options=options), new=True)


def _deployments(at: Situation, sizes: dict[str, int]) -> Iterator[Write]:
    for name, replicas in sizes.items():
        version, live = at.versions.get(name), at.deployments.get(name)
        if version is None or at.replaced(name) or at.mount_clash or ends(at, "Deployment", name):
            # The record is gone or another: the pods stay as they are, absence is never an order.
            continue
        since = live.spec.template.metadata.annotations.get(STANDBY_SINCE) if live else None
        if name == at.previous and not at.baking and version.spec.adapter.contract == "None" and at.decision:
            # A stock server closes no old connection by itself; its pods are replaced once, which does.
            since = at.decision.attempt
        image = at.image(version)
        digest_image = (live.digest_image if live else "") or at.seen.settings.image
        reads = digest_image if exclusive(at, version) else ""
        one_node = on_one_node(at, version)
        kept = render.Kept(image, one_node, informed(version, live), reads)
        body = render.deployment(at.model, version, kept, replicas, since)
        if live is None or not render.deployment_stands(live, body):
            yield Apply(body, new=live is None)


def rolls(at: Situation) -> bool:
    """Whether the Deployment that serves is not yet what the Model's spec asks for."""
    serving = at.serving
    live = at.deployments.get(serving or "")
    if serving is None or live is None:
        return False
    seen = live.status.observed_generation >= live.metadata.generation
    return not seen or any(True for _ in _deployments(at, {serving: at.replicas}))


def _arming(at: Situation) -> Iterator[Write]:
    """Slices of our own for the standby's ready pods, once the controller's slices have dropped their addresses."""
    wanted = {render.standby_name(pod.name): pod for pod in _standby_pods(at)}
    ours = {s.name: s for s in at.seen.slices if s.ours}
    for name, pod in wanted.items():
        if name not in ours:
            yield Apply(render.standby_slice(at.model, pod), new=True)
    for name, one in ours.items():
        if name in wanted or not any(render.standby_name(pod.name) == name for pod in at.seen.pods):
            # With the pod gone the garbage collector takes the slice.
            continue
        if one.version != at.serving or one.addresses <= at.listed:
            # A standby that took over keeps its slices until the controller's list its pods: a slice deleted before
            # makes kube-proxy sync at once and then hold the real change back for its minSyncPeriod, a second.
            yield disarm(one)


def disarm(one: EndpointSlice) -> Delete:
    return Delete("EndpointSlice", one.metadata.namespace, one.name, one.metadata.uid)


def _standby_pods(at: Situation) -> tuple[Pod, ...]:
    back, service = at.way_back, at.service
    armed = at.seen.settings.armed_standby and at.policy.automatic and at.replicas > 0
    if not armed or back is None or service is None or service.selects != at.serving:
        return ()
    pods = tuple(p for p in at.pods(back) if p.ready and p.status.pod_ip)
    return pods if not at.listed & render.addresses(pods) else ()


def _leftovers(at: Situation, sizes: dict[str, int], *, preparing: bool) -> Iterator[Write]:
    """What no step needs any more. Only what was seen and is ours goes; a preflight pod stays through the bake."""
    undecided = at.target.version is None and at.failure is None
    left = at.decision.origin if at.decision and at.decision.leaves != "Standby" else None
    for name, deployment in at.deployments.items():
        outdated = preparing and at.candidate is not None and name == at.candidate.metadata.name and at.replaced(name)
        if (name not in sizes and (not undecided or name == left)) or outdated:
            yield Delete("Deployment", deployment.metadata.namespace, deployment.name, deployment.metadata.uid)
    keep = {at.candidate.metadata.name if at.candidate and preparing else None, at.serving if at.baking else None}
    for pod in at.seen.pods:
        if pod.role != "preflight" or pod.metadata.deletion_timestamp is not None or not at.owns(pod):
            continue
        if verifies(pod):
            over = superfluous(at, pod, preparing=preparing)
        else:
            over = pod.version not in keep or _spent(at, pod)
        if over:
            yield Delete("Pod", pod.metadata.namespace, pod.name, pod.metadata.uid)


def _spent(at: Situation, pod: Pod) -> bool:
    """Whether a preflight or recheck is of another attempt, or ended without a word and may be made anew."""
    version = at.versions.get(pod.version or "")
    if pod.name == recheck_name(pod.version or ""):
        stale, lost = not at.recheck_due, at.recheck.lost
    else:
        mine = at.candidate is not None and pod.version == at.candidate.metadata.name
        stale = mine and pod.metadata.annotations.get(ATTEMPT) != at.goal.attempt
        report = at.report(version) if version is not None else None
        lost = report is not None and report.lost
    # A node that rejects the pod would reject the next one too: not more than one a minute is made.
    return stale or (lost and at.now - pod.metadata.creation_timestamp >= LOST_PAUSE)
