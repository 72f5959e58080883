"""The container that reads the files of a version's PEFT adapters, and what it said."""

from __future__ import annotations

from typing import Any

from topgraft.api.modelversion import ModelVersion
from topgraft.governance.peft import Found, asked, needs_files, read_answer
from topgraft.rollout.podspec import CONTAINER_SECURITY, artifact_mounts
from topgraft.rollout.termination import parse
from topgraft.rollout.views import ContainerStatus

CONTAINER = "peft"
LIMITS = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}


def reading_container(version: ModelVersion, image: str) -> list[dict[str, Any]]:
    """A trusted container beside the digest's, or none where no adapter has files. `image` is the operator's own."""
    if not needs_files(version):
        return []
    volumes = [part for v in version.spec.artifact.volumes for part in ("--volume", f"{v.name}={v.mount_path}")]
    # The kubelet expands $(NAME) in arguments; no JSON needs the sign itself.
    adapters = asked(version).replace("$", "\\u0024")
    return [
        {
            "name": CONTAINER,
            "image": image,
            "args": ["inspect-peft", *volumes, "--adapters", adapters],
            "securityContext": CONTAINER_SECURITY,
            "resources": LIMITS,
            "volumeMounts": artifact_mounts(version),
        }
    ]


def read_files(status: ContainerStatus | None, version: ModelVersion) -> tuple[tuple[Found, ...] | None, bool]:
    """(what was found, whether the container came to no end of its own: killed, or its image is another one).

    None while it has not ended. It ends well whatever the files are like, so anything else is no fault of theirs.
    """
    if not needs_files(version):
        return (), False
    if status is None or status.state.running is not None:
        return None, False
    ended = status.state.terminated or status.last_state.terminated
    if ended is None:
        return None, False
    found = read_answer(parse(ended.message) or {}, len(version.spec.artifact.adapters))
    return found, found is None
