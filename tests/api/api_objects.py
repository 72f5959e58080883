"""Small changes of objects, by path."""

from __future__ import annotations

import copy
from enum import Enum
from typing import Any

API_VERSION = "topgraft.dev/v1alpha1"


class Removed(Enum):
    """No value: a field that is taken away. Its text is in names of tests, which are the same in each process."""

    REMOVED = "removed"


REMOVED = Removed.REMOVED


def minimal(kind: str, name: str = "digits") -> dict[str, Any]:
    """The smallest object of a kind that the API server accepts."""
    specs: dict[str, dict[str, Any]] = {
        "Model": {"modelTypeId": "classifier"},
        "ModelVersion": {
            "modelRef": {"name": "digits"},
            "artifact": {"volumes": [{"name": "weights", "mountPath": "/artifacts", "configMap": {"name": "weights"}}]},
            "adapter": {"image": "registry.example/digits:v1"},
        },
        "AdapterUpgrade": {
            "modelRef": {"name": "digits"},
            "adapter": {"image": "registry.example/digits:v2"},
            "reason": "BugFix",
        },
    }
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name},
        "spec": copy.deepcopy(specs[kind]),
    }


def changed(body: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of the object with the field at `path` (such as spec.artifact.volumes.0.name) set, or REMOVED."""
    body = copy.deepcopy(body)
    *parents, last = path.split(".")
    node: Any = body
    for name in parents:
        node = node[int(name)] if isinstance(node, list) else node.setdefault(name, {})
    if value is REMOVED:
        del node[last]
    elif isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = value
    return body
