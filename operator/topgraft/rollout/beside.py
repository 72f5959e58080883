"""Containers beside the adapter, and the credentials of an external model, in the pods that serve.

Containers are init containers that go on (`restartPolicy: Always`): they start before the adapter, and end after it,
so that requests which the adapter finishes while it drains still find them.
"""

from __future__ import annotations

import json
from typing import Any

from topgraft.api.beside import ArtifactContainer
from topgraft.api.modelversion import ModelVersion
from topgraft.rollout.content import wire

SHARED = "/topgraft/shared"
CREDENTIALS = "/topgraft/external"
# No volume of a user's has such a name: those of artifacts have a label after `artifact-`, others may not begin so.
_SHARED_VOLUME = "artifact--shared"
_CREDENTIALS_VOLUME = "artifact--external"
_TMP = "topgraft-tmp"
_STARTUP_SECONDS = 3600


def variables(version: ModelVersion) -> dict[str, str]:
    """What the adapter is told of them; nothing where there are none."""
    artifact, told = version.spec.artifact, {}
    if artifact.containers:
        services = {one.name: [f"localhost:{port}" for port in one.ports] for one in artifact.containers}
        told["TOPGRAFT_CONTAINERS"] = _json({"services": services, "sharedEmptyDirMountPath": SHARED})
    if artifact.external is not None:
        external = {"baseUrl": artifact.external.base_url, "configuration": artifact.external.configuration}
        mounted = {"credentialsDir": CREDENTIALS} if artifact.external.secret_ref else {}
        told["TOPGRAFT_EXTERNAL"] = _json({**external, **mounted})
    return told


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def put_beside(spec: dict[str, Any], version: ModelVersion) -> None:
    """Add them to the pod whose first container is the adapter; a version without any stays as it is."""
    artifact, adapter = version.spec.artifact, spec["containers"][0]
    if artifact.containers:
        shared = {"name": _SHARED_VOLUME, "mountPath": SHARED}
        spec["volumes"] = [*spec["volumes"], {"name": _SHARED_VOLUME, "emptyDir": {}}]
        mounts = [mount for mount in adapter["volumeMounts"] if mount["name"] != _TMP]
        beside = [_container(one, [*mounts, shared], adapter["securityContext"]) for one in artifact.containers]
        spec["initContainers"] = [*spec.get("initContainers", []), *beside]
        adapter["volumeMounts"] = [*adapter["volumeMounts"], shared]
    if artifact.external is not None and artifact.external.secret_ref is not None:
        secret = {"secretName": artifact.external.secret_ref.name}
        spec["volumes"] = [*spec["volumes"], {"name": _CREDENTIALS_VOLUME, "secret": secret}]
        mount = {"name": _CREDENTIALS_VOLUME, "mountPath": CREDENTIALS, "readOnly": True}
        adapter["volumeMounts"] = [*adapter["volumeMounts"], mount]


def _container(one: ArtifactContainer, mounts: list[dict[str, Any]], security: dict[str, Any]) -> dict[str, Any]:
    given = wire(one)
    # A directory of its own in the pod's /tmp: programs like to put files of the same name there.
    tmp = {"name": _TMP, "mountPath": "/tmp", "subPath": one.name}  # noqa: S108 - a path in the container
    return {
        "name": one.name,
        "image": one.image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "securityContext": security,
        "volumeMounts": [*mounts, tmp],
        **{field: given[field] for field in ("command", "args", "env", "resources") if given.get(field)},
        **_probes(one),
    }


def _probes(one: ArtifactContainer) -> dict[str, Any]:
    if not one.ports:
        return {}
    port = one.ports[0]
    asked: dict[str, Any] = {"tcpSocket": {"port": port}}
    if one.readiness_path:
        asked = {"httpGet": {"path": one.readiness_path, "port": port}}
    each = {**asked, "periodSeconds": 1, "timeoutSeconds": 1}
    return {
        "startupProbe": {**each, "failureThreshold": _STARTUP_SECONDS},
        "readinessProbe": {**each, "failureThreshold": 2},
    }
