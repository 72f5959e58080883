"""The pods that only answer a question: bare, so that a quota's refusal comes back as the answer to our write."""

from __future__ import annotations

from typing import Any

from topgraft.api.model import Model
from topgraft.rollout.derive import owner_of
from topgraft.rollout.podspec import labels, together

ATTEMPT = "topgraft.dev/attempt"
"""Annotation: which attempt the pod answers for. Its answer counts for no other."""


def bare_pod(
    model: Model,
    name: str,
    attempt: str,
    spec: dict[str, Any],
    *,
    version: str | None = None,
    role: str = "preflight",
    one_node: bool = False,
) -> dict[str, Any]:
    """A Pod without a controller that runs `spec` once. Its role keeps it out of every Service.

    `version`: the one that it is about. `one_node` keeps it beside the serving pods where they share a ReadWriteOnce
    volume.
    """
    spec = spec | {"restartPolicy": "Never"}
    if one_node:
        together(spec, model)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": model.metadata.namespace,
            "labels": labels(model, version, role),
            "annotations": {ATTEMPT: attempt, "argocd.argoproj.io/ignore-restart-policy": "true"},
            # Not as its controller: a PodDisruptionBudget would add the Model's replicas for it, and block each drain.
            "ownerReferences": [{**owner, "controller": False} for owner in owner_of(model)],
        },
        "spec": spec,
    }
