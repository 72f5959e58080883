"""The Service `<model>-candidate`: the version that is being verified, or that gets a canary's share, by a name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from topgraft.api.model import Model
from topgraft.rollout.derive import owner_of
from topgraft.rollout.instructions import Apply, Delete, Write
from topgraft.rollout.podspec import labels, ports
from topgraft.rollout.render import stamped
from topgraft.rollout.views import APPLIED, MODEL_LABEL

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation


def candidate_name(model: Model) -> str:
    """At most 63 characters: a Model's name has at most 53."""
    return f"{model.metadata.name}-candidate"


def candidate_url(model: Model) -> str:
    port = next(p.port for p in ports(model) if p.name == "http")
    return f"http://{candidate_name(model)}.{model.metadata.namespace}:{port}"


def candidate_service(model: Model, version: str) -> dict[str, Any]:
    """Selects the pods of `version`, whatever the Model's own Service selects."""
    return stamped(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": candidate_name(model),
                "namespace": model.metadata.namespace,
                "labels": {MODEL_LABEL: model.metadata.name, "app.kubernetes.io/managed-by": "topgraft"},
                "ownerReferences": owner_of(model),
            },
            "spec": {
                "type": "ClusterIP",
                "selector": labels(model, version, "serving"),
                "ports": [
                    {"name": p.name, "port": p.port, "targetPort": p.name, "protocol": "TCP"} for p in ports(model)
                ],
            },
        }
    )


def candidate_writes(at: Situation, version: str | None) -> Iterator[Write]:
    """Make the Service select `version`, or remove it where there is none."""
    name, uid = candidate_name(at.model), at.model.metadata.uid
    live = next((s for s in at.seen.services if s.name == name and s.metadata.owned_by(uid)), None)
    if version is None:
        if live is not None and live.metadata.deletion_timestamp is None:
            yield Delete("Service", live.metadata.namespace, live.name, live.metadata.uid)
        return
    body = candidate_service(at.model, version)
    applied = body["metadata"]["annotations"][APPLIED]
    if (
        live is None
        or live.metadata.annotations.get(APPLIED) != applied
        or live.spec.selector != body["spec"]["selector"]
    ):
        yield Apply(body, new=live is None)
