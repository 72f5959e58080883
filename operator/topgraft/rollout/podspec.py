"""The pod of a version. Depends on user intent alone: no release of the operator may change what is rendered here."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable
from itertools import product
from typing import Any

from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.api.serving import Port
from topgraft.governance.peft import metadata
from topgraft.rollout.beside import variables
from topgraft.rollout.content import wire
from topgraft.rollout.image import Image
from topgraft.rollout.views import MODEL_LABEL, ROLE_LABEL, VERSION_LABEL

POD_SECURITY = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
TMP = {"name": "topgraft-tmp", "mountPath": "/tmp"}  # noqa: S108 - a path in the container, an emptyDir of its own

CONNECTION_AGE_SECONDS = 5
HEAD_CONVERSION = "TOPGRAFT_HEAD_CONVERSION"
"""The variable that makes the adapter look at the artifacts' head, in the preflight too."""
SCHEDULING = ("nodeSelector", "tolerations", "affinity", "priorityClassName", "runtimeClassName", "imagePullSecrets")


def labels(model: Model, version: str | None = None, role: str | None = None) -> dict[str, str]:
    made = {
        MODEL_LABEL: model.metadata.name,
        VERSION_LABEL: version,
        "app.kubernetes.io/managed-by": "topgraft",
        ROLE_LABEL: role,
    }
    return {label: value for label, value in made.items() if value is not None}


def artifact_mounts(version: ModelVersion) -> list[dict[str, Any]]:
    """Where the artifact is seen. Invariant: always read-only, here and at the volume's source."""
    mounts = []
    for volume in version.spec.artifact.volumes:
        mount = {"name": f"artifact-{volume.name}", "mountPath": volume.mount_path, "readOnly": True}
        claim = volume.persistent_volume_claim
        if claim is not None and claim.sub_path:
            mount["subPath"] = claim.sub_path
        mounts.append(mount)
    return mounts


def artifact_volumes(version: ModelVersion) -> list[dict[str, Any]]:
    return [{"name": f"artifact-{v.name}", **_source(wire(v))} for v in version.spec.artifact.volumes]


def _source(volume: dict[str, Any]) -> dict[str, Any]:
    if "persistentVolumeClaim" in volume:
        # No `readOnly` on the claim itself: a claim used read-only by one pod and not by another fails to mount on
        # some drivers; the mount above is what the container sees.
        return {"persistentVolumeClaim": {"claimName": volume["persistentVolumeClaim"]["claimName"]}}
    if "image" in volume:
        return {"image": {"reference": volume["image"]["reference"], "pullPolicy": "IfNotPresent"}}
    for kind in ("nfs", "csi"):
        if kind in volume:
            return {kind: {**volume[kind], "readOnly": True}}
    kind = "configMap" if "configMap" in volume else "secret"
    return {kind: volume[kind]}


def scratch_volumes(model: Model) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    volumes: list[dict[str, Any]] = [{"name": TMP["name"], "emptyDir": {}}]
    mounts: list[dict[str, Any]] = [dict(TMP)]
    for volume in model.spec.serving.volumes:
        source = {k: v for k, v in wire(volume).items() if k not in ("name", "mountPath")}
        volumes.append({"name": volume.name, **source})
        mount: dict[str, Any] = {"name": volume.name, "mountPath": volume.mount_path}
        if "emptyDir" not in source:
            mount["readOnly"] = True
        mounts.append(mount)
    return volumes, mounts


def environment(model: Model, version: ModelVersion) -> list[dict[str, Any]]:
    """Ours first, then the Model's defaults, then the version's own: the later of one name wins."""
    volumes = version.spec.artifact.volumes
    given = {
        **({"TOPGRAFT_ARTIFACT_DIR": volumes[0].mount_path} if volumes else {}),
        "TOPGRAFT_MODEL": model.metadata.name,
        "TOPGRAFT_VERSION": version.metadata.name,
        "TOPGRAFT_PORT": str(http_port(model)),
        "TOPGRAFT_MAX_CONNECTION_AGE_SECONDS": str(CONNECTION_AGE_SECONDS),
        **variables(version),
        **_head(version),
    }
    if version.spec.artifact.adapters:
        given["TOPGRAFT_ADAPTERS"] = adapters_text(model, version)
    grpc = next((p for p in ports(model) if p.name == "grpc"), None)
    if grpc is not None and version.spec.adapter.contract == "Topgraft":
        given["TOPGRAFT_GRPC_PORT"] = str(grpc.container_port or grpc.port)
    named = {name: {"name": name, "value": value} for name, value in given.items()}
    for item in (*model.spec.serving.env, *version.spec.adapter.env):
        named[item.name] = wire(item)
    return list(named.values())


def adapters_text(model: Model, version: ModelVersion) -> str:
    """The metadata of the version's PEFT adapters as JSON, each with its `path` where it has a location."""
    root = version.spec.artifact.volumes[0].mount_path if version.spec.artifact.volumes else ""
    made = []
    for adapter in version.spec.artifact.adapters:
        told = {k: v for k, v in metadata(model.metadata.namespace, model.metadata.name, adapter).items() if v}
        if adapter.location:
            told["path"] = posixpath.normpath(posixpath.join(root, adapter.location))
        made.append(told)
    # The kubelet expands $(NAME) in a variable; no JSON needs the sign itself.
    return json.dumps(made, separators=(",", ":"), ensure_ascii=False).replace("$", "\\u0024")


def _head(version: ModelVersion) -> dict[str, str]:
    asked = version.spec.head_conversion
    return {} if asked is None else {HEAD_CONVERSION: asked.mode, "TOPGRAFT_HEAD_NAME": asked.head_name}


def ports(model: Model) -> tuple[Port, ...]:
    return model.spec.serving.ports or (Port(name="http", port=8080),)


def host_port(address: str, port: int) -> str:
    """An IP address of either family and a port, as a URL has them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def http_port(model: Model) -> int:
    """The container port that the probes and the server use: the schema asks for one called `http`."""
    chosen = next(p for p in ports(model) if p.name == "http")
    return chosen.container_port or chosen.port


def _probes(model: Model, version: ModelVersion) -> dict[str, Any]:
    probes, port = model.spec.serving.probes, http_port(model)
    ready: dict[str, Any] = {"httpGet": {"path": probes.readiness_path, "port": port}}
    alive: dict[str, Any] = {"httpGet": {"path": probes.liveness_path, "port": port}}
    if version.spec.adapter.contract == "None" and not probes.model_fields_set & {"readiness_path", "liveness_path"}:
        ready = alive = {"tcpSocket": {"port": port}}
    each = {"periodSeconds": 1, "timeoutSeconds": probes.timeout_seconds}
    return {
        "startupProbe": {**ready, **each, "failureThreshold": probes.startup_seconds},
        "readinessProbe": {**ready, **each, "failureThreshold": probes.failure_threshold},
        "livenessProbe": {**alive, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
    }


def adapter_container(model: Model, version: ModelVersion, image: str) -> dict[str, Any]:
    adapter, serving = version.spec.adapter, model.spec.serving
    _, scratch = scratch_volumes(model)
    container: dict[str, Any] = {
        "name": "adapter",
        "image": image,
        "env": environment(model, version),
        "ports": [{"name": p.name, "containerPort": p.container_port or p.port} for p in ports(model)],
        "securityContext": {
            **CONTAINER_SECURITY,
            **(wire(serving.security_context) if serving.security_context else {}),
        },
        "volumeMounts": [*artifact_mounts(version), *scratch],
        **_probes(model, version),
        **command(version),
    }
    resources = adapter.resources or serving.resources
    if resources is not None:
        container["resources"] = wire(resources)
    if adapter.pull_policy is not None:
        container["imagePullPolicy"] = adapter.pull_policy
    return container


def command(version: ModelVersion) -> dict[str, Any]:
    adapter = version.spec.adapter
    if adapter.command:
        made = {"command": list(adapter.command), "args": list(adapter.args)}
    elif adapter.contract == "None":
        made = {"args": list(adapter.args)}
    else:
        made = {"command": ["topgraft-adapter"], "args": ["serve", *adapter.args]}
    return {key: value for key, value in made.items() if value}


def placement(model: Model) -> dict[str, Any]:
    """Where any pod of the Model runs and as whom, without a token for the API."""
    intent = wire(model.spec.serving)
    account = model.spec.serving.service_account_name
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {**POD_SECURITY, **intent.get("podSecurityContext", {})},
        **{name: intent[name] for name in SCHEDULING if intent.get(name)},
        **({"serviceAccountName": account} if account else {}),
    }


def pod_spec(model: Model, version: ModelVersion) -> dict[str, Any]:
    """What serving and preflight pods have in common; the caller adds the containers."""
    serving, spec = model.spec.serving, placement(model)
    scratch, _ = scratch_volumes(model)
    if serving.service_account_name:
        # An account of the user's own is there to be used.
        del spec["automountServiceAccountToken"]
    grace = serving.termination_grace_period_seconds
    return spec | {"terminationGracePeriodSeconds": grace, "volumes": [*artifact_volumes(version), *scratch]}


def pinned_image(version: ModelVersion, digest: str) -> str:
    """`repository:tag@digest`, so that a tag moved later changes nothing, at scale-up neither."""
    image = Image.parse(version.spec.adapter.image)
    return version.spec.adapter.image if image.digest else image.at(digest)


def kept_digest(version: ModelVersion, image: str) -> str:
    """The digest that a Deployment of the version runs by `image`; "" where it was never known, or where somebody else
    put his own image there."""
    digest = Image.parse(image).digest
    return digest if image == pinned_image(version, digest) else ""


def mount_clash(model: Model, versions: Iterable[ModelVersion]) -> str:
    """Why the Model's own volumes do not fit these versions, or nothing.

    One at, above or below an artifact's path would show other bytes than those that were proved.
    """
    for version in versions:
        for artifact, volume in product(version.spec.artifact.volumes, model.spec.serving.volumes):
            one, other = f"{artifact.mount_path}/", f"{volume.mount_path}/"
            if one.startswith(other) or other.startswith(one):
                return (
                    f"spec.serving.volumes {volume.name!r} is mounted at {volume.mount_path}, an artifact of "
                    f"ModelVersion {version.metadata.name!r} at {artifact.mount_path}: choose another path"
                )
    return ""


def together(spec: dict[str, Any], model: Model) -> None:
    """Ask the scheduler for the node of the Model's other pods: a ReadWriteOnce volume is attached to one node."""
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {MODEL_LABEL: model.metadata.name}},
    }
    affinity = spec.get("affinity", {})
    near = affinity.get("podAffinity", {})
    required = [*near.get("requiredDuringSchedulingIgnoredDuringExecution", []), term]
    spec["affinity"] = {**affinity, "podAffinity": {**near, "requiredDuringSchedulingIgnoredDuringExecution": required}}
