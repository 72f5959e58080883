"""The Service `<model>-candidate`: the version that is being verified, or that gets a canary's share, by a name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from topgraft.api.model import Model
from topgraft.rollout.instructions import Apply, Delete, Write
from topgraft.rollout.podspec import labels, ports
from topgraft.rollout.render import service_body, service_stands, stamped
from topgraft.rollout.views import Service

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
    return stamped(service_body(model, candidate_name(model), labels(model, version, "serving")))


def live_service(at: Situation) -> Service | None:
    """The Service as it is in the cluster; None where there is none of ours."""
    return at.own(at.seen.services, candidate_name(at.model))


def candidate_writes(at: Situation, version: str | None) -> Iterator[Write]:
    """Make the Service select `version`, or remove it where there is none."""
    live = live_service(at)
    if version is None:
        if live is not None and live.metadata.deletion_timestamp is None:
            yield Delete("Service", live.metadata.namespace, live.name, live.metadata.uid)
        return
    body = candidate_service(at.model, version)
    if live is None or not service_stands(live, body):
        yield Apply(body, new=live is None)
