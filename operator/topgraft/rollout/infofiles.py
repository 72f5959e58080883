"""The infos of a version as files: a ConfigMap that the kubelet shows in its pods, and keeps current."""

from __future__ import annotations

import json
from typing import Any

from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.rollout.content import wire
from topgraft.rollout.derive import owner_of
from topgraft.rollout.podspec import labels
from topgraft.rollout.views import INFORMED, INFOS_CHANGED, Deployment

VOLUME = "topgraft-info"
DIRECTORY = "/etc/topgraft/info"
FILES = {"output-info.json": "output_info", "input-info.json": "input_info"}


def infos_name(version: str) -> str:
    return f"{version}-info"


def has_infos(version: ModelVersion) -> bool:
    return version.spec.output_info is not None or version.spec.input_info is not None


def informed(version: ModelVersion, live: Deployment | None) -> bool:
    """Whether the version's pods see infos. One that never had any is rendered as if there were no such thing.

    Pods that saw some go on to do so when they are taken away: that is a change of a file, not of the pod.
    """
    return has_infos(version) or (live is not None and live.metadata.annotations.get(INFORMED) == "true")


def show_infos(spec: dict[str, Any], version: str) -> None:
    """Let the pod's first container see the infos. Optional: a ConfigMap that is refused keeps no pod from starting."""
    source = {"name": infos_name(version), "optional": True}
    container = spec["containers"][0]
    spec["volumes"] = [*spec["volumes"], {"name": VOLUME, "configMap": source}]
    mount = {"name": VOLUME, "mountPath": DIRECTORY, "readOnly": True}
    container["volumeMounts"] = [*container["volumeMounts"], mount]
    container["env"] = [*container["env"], {"name": "TOPGRAFT_INFO_DIR", "value": DIRECTORY}]


def files(version: ModelVersion) -> dict[str, str]:
    """The files by name, each the JSON of one info as it stands in the spec."""
    given = {name: getattr(version.spec, attribute) for name, attribute in FILES.items()}
    return {
        name: json.dumps(wire(info), sort_keys=True, indent=1, ensure_ascii=False) + "\n"
        for name, info in given.items()
        if info is not None
    }


def config_map(model: Model, version: ModelVersion, changed: str | None) -> dict[str, Any]:
    """`changed`: when its content was last another; None for the first one."""
    name = version.metadata.name
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": infos_name(name),
            "namespace": model.metadata.namespace,
            "labels": labels(model, name),
            "annotations": {INFOS_CHANGED: changed} if changed else {},
            "ownerReferences": owner_of(model),
        },
        "data": files(version),
    }
