"""The infos of a version on their way to its pods, also to those that run already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from topgraft.api.modelversion import ModelVersion
from topgraft.rollout import branches
from topgraft.rollout.conditions import Says, rfc3339
from topgraft.rollout.content import digest
from topgraft.rollout.infofiles import config_map, files, has_infos, infos_name
from topgraft.rollout.instructions import Apply, Delete, Write
from topgraft.rollout.situation import Situation
from topgraft.rollout.views import INFOS_CHANGED, ConfigMap


def info_writes(at: Situation, live: Iterable[str]) -> Iterator[Write]:
    """The ConfigMaps of the versions that have pods, before the Deployments: a pod must find its infos when it starts.

    Pods that run get a mark after a change: the kubelet looks at once, and not at its next round a minute later.
    """
    ours, kept = _ours(at), set(live) | set(at.deployments)
    for name in sorted(kept):
        version, known = at.versions.get(name), ours.get(infos_name(name))
        if version is None or at.replaced(name) or (known is None and not has_infos(version)):
            continue
        if known is None:
            yield Apply(config_map(at.model, version, None), new=True)
        elif known.content != digest(files(version)):
            yield Apply(config_map(at.model, version, rfc3339(at.now)))
        elif changed := known.metadata.annotations.get(INFOS_CHANGED):
            yield from _marks(at, name, changed)
    for known in ours.values():
        if known.version not in kept and known.name == infos_name(known.version or ""):
            yield Delete("ConfigMap", known.metadata.namespace, known.name, known.metadata.uid)


def _marks(at: Situation, version: str, changed: str) -> Iterator[Apply]:
    aside = (pod for run in at.branches for pod in branches.pods(at, run) if pod.version == version)
    for pod in (*at.pods(version), *aside):
        meta = pod.metadata
        # By the second: an API server tells no more of a pod's creation.
        if rfc3339(meta.creation_timestamp)[:19] > changed[:19] or meta.annotations.get(INFOS_CHANGED) == changed:
            continue
        if meta.deletion_timestamp is None and not at.seen.refusals.get(f"Pod/{pod.name}"):
            # The uid: an apply would make a pod that has just gone anew.
            mark = {"uid": meta.uid, "annotations": {INFOS_CHANGED: changed}}
            named = {"name": pod.name, "namespace": meta.namespace, **mark}
            yield Apply({"apiVersion": "v1", "kind": "Pod", "metadata": named})


def _ours(at: Situation) -> dict[str, ConfigMap]:
    mine = (c for c in at.seen.config_maps if at.owns(c) and c.metadata.deletion_timestamp is None)
    return {c.name: c for c in mine}


def infos_says(at: Situation, version: ModelVersion) -> Iterator[Says]:
    """Told only while the pods do not see what the spec says."""
    name = infos_name(version.metadata.name)
    if text := at.seen.refusals.get(f"ConfigMap/{name}"):
        why = f"the pods do not see this version's infos: ConfigMap {name!r} cannot be written: {text}"
        yield Says("InfosDelivered", "False", "InfosRefused", why)
