"""The objects that carry traffic: Deployments, the Service, and the slices that arm the standby."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.rollout.beside import put_beside
from topgraft.rollout.claims import EXCLUSIVE, ONE_NODE
from topgraft.rollout.content import digest, wire
from topgraft.rollout.derive import content_of, owner_of
from topgraft.rollout.infofiles import show_infos
from topgraft.rollout.peftfiles import reading_container
from topgraft.rollout.podspec import adapter_container, labels, pod_spec, ports, together
from topgraft.rollout.preflight import digest_container
from topgraft.rollout.views import (
    APPLIED,
    CONTENT,
    DECISION,
    INFORMED,
    MODEL_LABEL,
    SLICE_MANAGER,
    STANDBY_SINCE,
    VERSION_LABEL,
    Decision,
    Deployment,
    Pod,
    Service,
)

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"


def stamped(body: dict[str, Any]) -> dict[str, Any]:
    """Add the hash of what is applied, so that a look tells in no time whether there is anything to write."""
    annotations = {**body["metadata"].get("annotations", {}), APPLIED: digest(body)[:16]}
    return {**body, "metadata": {**body["metadata"], "annotations": annotations}}


def deployment_stands(live: Deployment, body: dict[str, Any]) -> bool:
    """Whether the Deployment in the cluster is what `body` asks for, also where somebody scaled it or set its image."""
    asked = (body["metadata"]["annotations"][APPLIED], body["spec"]["replicas"])
    image: str = body["spec"]["template"]["spec"]["containers"][0]["image"]
    return (live.metadata.annotations.get(APPLIED), live.spec.replicas) == asked and live.image == image


def service_stands(live: Service, body: dict[str, Any]) -> bool:
    """Whether the Service in the cluster is what `body` asks for, also where somebody set its selector."""
    selector: dict[str, str] = body["spec"]["selector"]
    return live.metadata.annotations.get(APPLIED) == body["metadata"]["annotations"][APPLIED] and (
        live.spec.selector == selector
    )


def spread(model: Model, selector: dict[str, str]) -> list[dict[str, Any]]:
    given = model.spec.serving.topology_spread_constraints
    if given is None:
        default = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        return [{**default, "labelSelector": {"matchLabels": selector}}]
    return [{"labelSelector": {"matchLabels": selector}, **wire(one)} for one in given]


@dataclass(frozen=True)
class Kept:
    """What was read of the cluster when a Deployment was made, and stays with it: no later look restarts a pod."""

    image: str
    one_node: bool = False
    """Its pods share a node: an artifact's volume is ReadWriteOnce."""
    informed: bool = False
    """Its pods see the version's infos."""
    digest_image: str = ""
    """Only one pod may mount the volume, so each reads the artifacts itself, by this image, before it serves."""

    def marks(self, version: ModelVersion) -> dict[str, str]:
        """The Deployment's annotations, from which the next look knows it all again."""
        held = {ONE_NODE: self.one_node, EXCLUSIVE: bool(self.digest_image), INFORMED: self.informed}
        return {CONTENT: content_of(version), **{mark: "true" for mark, holds in held.items() if holds}}


def pod(model: Model, version: ModelVersion, kept: Kept) -> dict[str, Any]:
    """The spec of the version's pods, wherever they answer requests: in production, in a branch, in a sandbox."""
    spec = pod_spec(model, version) | {"containers": [adapter_container(model, version, kept.image)]}
    if kept.one_node:
        together(spec, model)
    if kept.informed:
        show_infos(spec, version.metadata.name)
    if image := kept.digest_image:
        spec["initContainers"] = [*digest_container(version, image), *reading_container(version, image)]
    put_beside(spec, version)
    return spec


def workload(
    model: Model,
    version: ModelVersion,
    kept: Kept,
    *,
    name: str,
    replicas: int,
    labels: dict[str, str],
    selector: dict[str, str],
    annotations: dict[str, str] | None = None,
    recreates: bool = False,
) -> dict[str, Any]:
    """A Deployment of the version. `annotations` are those of its pods beside the Model's own.

    `maxUnavailable: 0`: a bad change of `serving` costs no old pod. `recreates`: old pods end before new ones start.
    """
    serving, spec = model.spec.serving, pod(model, version, kept)
    if constraints := spread(model, selector):
        spec["topologySpreadConstraints"] = constraints
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}}
    marked = {**serving.pod_labels, **selector, VERSION_LABEL: version.metadata.name}
    return stamped(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": name,
                "namespace": model.metadata.namespace,
                "labels": labels,
                "annotations": kept.marks(version),
                "ownerReferences": owner_of(model),
            },
            "spec": {
                "replicas": replicas,
                "revisionHistoryLimit": 1,
                "progressDeadlineSeconds": model.spec.strategy.progress_deadline_seconds,
                "selector": {"matchLabels": selector},
                "strategy": {"type": "Recreate"} if recreates else rolling,
                "template": {
                    "metadata": {"labels": marked, "annotations": {**serving.pod_annotations, **(annotations or {})}},
                    "spec": spec,
                },
            },
        }
    )


def deployment(
    model: Model, version: ModelVersion, kept: Kept, replicas: int, standby_since: str | None = None
) -> dict[str, Any]:
    """The Deployment of a version in production, named like it."""
    name = version.metadata.name
    return workload(
        model,
        version,
        kept,
        name=name,
        replicas=replicas,
        labels=labels(model, name),
        selector=labels(model, name, "serving"),
        annotations={STANDBY_SINCE: standby_since} if standby_since else None,
        recreates=bool(kept.digest_image) or model.spec.strategy.type == "Recreate",
    )


def service(model: Model, decision: Decision) -> dict[str, Any]:
    """The Service `<model>`: the selector and the decision behind it travel in one write."""
    options = model.spec.serving.service
    body = service_body(model, model.metadata.name, _selector(model, decision), options.type)
    body["metadata"]["annotations"] = {**options.annotations, DECISION: decision.wire()}
    return stamped(body)


def service_body(model: Model, name: str, selector: dict[str, str], kind: str = "ClusterIP") -> dict[str, Any]:
    """A Service of the Model over the pods that `selector` finds, of type `kind`.

    Ports are targeted by name: while a change of ports rolls, old and new pods both answer, each on its own number.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": model.metadata.namespace,
            "labels": {MODEL_LABEL: model.metadata.name, "app.kubernetes.io/managed-by": "topgraft"},
            "ownerReferences": owner_of(model),
        },
        "spec": {
            "type": kind,
            "selector": selector,
            "ports": [{"name": p.name, "port": p.port, "targetPort": p.name, "protocol": "TCP"} for p in ports(model)],
        },
    }


def _selector(model: Model, decision: Decision) -> dict[str, str]:
    """The pods of one version, or of both at a step that shares the requests between them."""
    selector = labels(model, decision.to, "serving")
    return {key: value for key, value in selector.items() if key != VERSION_LABEL or not decision.shares}


def standby_name(pod: str) -> str:
    return f"{pod}-standby"


def standby_slice(model: Model, pod: Pod) -> dict[str, Any]:
    """One pod of the warm previous version as a serving-but-terminating endpoint (KEP-1669).

    A proxy uses it in the very sync that removes the Service's last ready endpoint. Owned by the pod: when that goes,
    garbage collection takes the slice before a stranger gets the address.
    """
    endpoint: dict[str, Any] = {
        "addresses": [pod.status.pod_ip],
        "conditions": {"ready": False, "serving": True, "terminating": True},
        "targetRef": {"kind": "Pod", "namespace": pod.metadata.namespace, "name": pod.name, "uid": pod.metadata.uid},
    }
    if pod.spec.node_name:
        endpoint["nodeName"] = pod.spec.node_name
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": standby_name(pod.name),
            "namespace": pod.metadata.namespace,
            "labels": {
                **labels(model, pod.version or ""),
                SERVICE_NAME: model.metadata.name,
                MANAGED_BY: SLICE_MANAGER,
            },
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.metadata.uid}],
        },
        "addressType": "IPv6" if ":" in pod.status.pod_ip else "IPv4",
        "endpoints": [endpoint],
        "ports": [
            {"name": p.name, "port": p.container_port, "protocol": "TCP"} for c in pod.spec.containers for p in c.ports
        ],
    }


def addresses(pods: Iterable[Pod]) -> frozenset[str]:
    return frozenset(pod.status.pod_ip for pod in pods if pod.status.pod_ip)
