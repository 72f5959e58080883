"""The preflight pod and what it says: are the artifacts the same bytes, does the new code fit them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from topgraft.api.head import HeadConversionStatus
from topgraft.api.model import Model
from topgraft.api.modelversion import Api, ModelVersion
from topgraft.api.wire import Wire
from topgraft.governance.peft import Found, needs_files
from topgraft.rollout.barepod import bare_pod
from topgraft.rollout.claims import EXCLUSIVE
from topgraft.rollout.content import wire
from topgraft.rollout.image import Image, digest_of
from topgraft.rollout.packages import packages_in
from topgraft.rollout.peftfiles import CONTAINER as PEFT
from topgraft.rollout.peftfiles import read_files, reading_container
from topgraft.rollout.podspec import (
    CONTAINER_SECURITY,
    HEAD_CONVERSION,
    artifact_mounts,
    artifact_volumes,
    environment,
    pod_spec,
    scratch_volumes,
)
from topgraft.rollout.termination import MESSAGE_LIMIT, clean, error_in, parse
from topgraft.rollout.views import ContainerStatus, Pod, Terminated

DIGEST_DEADLINE_SECONDS = 6 * 3600
GONE = ("Evicted", "NodeLost", "Terminated", "NodeShutdown", "Preempting")
"""Reasons of a pod that a kubelet ended through no fault of its containers."""
LIMITS = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}


def preflight_name(version: str) -> str:
    return f"{version}-preflight"


def recheck_name(version: str) -> str:
    return f"{version}-recheck"


def must_recheck(version: ModelVersion) -> bool:
    """Whether the artifacts could have changed since the preflight read them.

    OCI images are given by digest; a ConfigMap of artifacts is to be `immutable: true`.
    """
    return any(not volume.image and not volume.config_map for volume in version.spec.artifact.volumes)


def preflight_pod(
    model: Model,
    version: ModelVersion,
    attempt: str,
    image: str,
    one_node: bool,
    *,
    alone: bool = False,
    options: tuple[str, ...] = (),
) -> dict[str, Any]:
    """A bare Pod: a quota's refusal comes back as the answer to the write, and no controller stands between.

    `image` is the operator's own; `one_node` keeps it beside the serving pods where a volume is ReadWriteOnce.
    `alone`: only one pod may mount the volume, so this one does not: the candidate's own pods read the artifacts.
    `options` are further ones of `topgraft digest`.
    """
    answer = _inspect(model, version) if version.spec.adapter.contract == "Topgraft" else _resolve(version)
    reading = [*digest_container(version, image, options), *reading_container(version, image)]
    containers = [answer] if alone else [*reading, answer]
    pod = _pod(model, version, preflight_name(version.metadata.name), attempt, containers, one_node=one_node)
    return _unmounted(pod, version) if alone else pod


def _unmounted(pod: dict[str, Any], version: ModelVersion) -> dict[str, Any]:
    """Empty directories in place of the artifacts: the adapter answers what it is without looking into them."""
    names = {volume["name"] for volume in artifact_volumes(version)}
    pod["spec"]["volumes"] = [
        {"name": volume["name"], "emptyDir": {}} if volume["name"] in names else volume
        for volume in pod["spec"]["volumes"]
    ]
    for container in pod["spec"]["containers"]:
        for mount in container.get("volumeMounts", []):
            mount.pop("subPath", None)
        # An empty directory has no head to ask for.
        container["env"] = [item for item in container.get("env", []) if item["name"] != HEAD_CONVERSION]
    pod["metadata"]["annotations"][EXCLUSIVE] = "true"
    return pod


def recheck_pod(
    model: Model, version: ModelVersion, attempt: str, image: str, one_node: bool, *, options: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Reads the artifacts after the switch: the same bytes after as before."""
    name = recheck_name(version.metadata.name)
    containers = digest_container(version, image, options)
    return _pod(model, version, name, attempt, containers, one_node=one_node)


def _pod(
    model: Model, version: ModelVersion, name: str, attempt: str, containers: list[dict[str, Any]], *, one_node: bool
) -> dict[str, Any]:
    spec = pod_spec(model, version) | {"containers": containers}
    return bare_pod(model, name, attempt, spec, version=version.metadata.name, one_node=one_node)


def digest_container(version: ModelVersion, image: str, options: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The trusted container, or none where all volumes are OCI images: those count by their manifest digest."""
    volumes = version.spec.artifact.volumes
    named = [part for v in volumes if not v.image for part in ("--volume", f"{v.name}={v.mount_path}")]
    mounts = [m for m, v in zip(artifact_mounts(version), volumes, strict=True) if not v.image]
    container = {
        "name": "digest",
        "image": image,
        "args": ["digest", *named, "--deadline-seconds", str(DIGEST_DEADLINE_SECONDS), *options],
        "securityContext": CONTAINER_SECURITY,
        "resources": LIMITS,
        "volumeMounts": mounts,
    }
    return [container] if mounts else []


def _inspect(model: Model, version: ModelVersion) -> dict[str, Any]:
    container = {
        "name": "inspect",
        "image": version.spec.adapter.image,
        "command": ["topgraft-adapter"],
        "args": ["inspect"],
        "env": environment(model, version),
        "securityContext": CONTAINER_SECURITY,
        "resources": _host_resources(model, version),
        "volumeMounts": [*artifact_mounts(version), *scratch_volumes(model)[1]],
    }
    if version.spec.adapter.pull_policy is not None:
        container["imagePullPolicy"] = version.spec.adapter.pull_policy
    return container


def _resolve(version: ModelVersion) -> dict[str, Any]:
    """A stock image answers no questions; it is only pulled, so that its digest becomes known."""
    return {
        "name": "inspect",
        "image": version.spec.adapter.image,
        "command": ["/bin/true"],
        "securityContext": CONTAINER_SECURITY,
        "resources": LIMITS,
    }


def _host_resources(model: Model, version: ModelVersion) -> dict[str, Any]:
    """The adapter's processor and memory without its devices: importing a class must not wait for a second GPU."""
    given = version.spec.adapter.resources or model.spec.serving.resources
    if given is None:
        return LIMITS
    made = {}
    for kind, amounts in wire(given).items():
        if isinstance(amounts, dict):
            made[kind] = {name: amount for name, amount in amounts.items() if name in ("cpu", "memory")}
    return made


def _one_line(told: object) -> object:
    """Texts without line breaks and control characters: they go into conditions."""
    if not isinstance(told, dict):
        return told
    return {name: clean(value, MESSAGE_LIMIT) if isinstance(value, str) else value for name, value in told.items()}


class Contract(Wire):
    """What `topgraft-adapter inspect` answers. Nobody vouches for the image it comes from: every length is bounded."""

    module: Annotated[str, Field(max_length=255)]
    class_name: Annotated[str, Field(max_length=255)]
    sdk_version: Annotated[str | None, Field(max_length=64)] = None
    requirements_digest: Annotated[str | None, Field(max_length=128)] = None
    commit: Annotated[str | None, BeforeValidator(lambda value: value and clean(str(value), 64))] = None
    """Informational, so an odd one is cut and not refused."""
    api: Api | None = None
    """Absent where it is too long for a termination message; `api_digest` stands in."""
    api_digest: Annotated[str | None, Field(max_length=128)] = None
    head_conversion: Annotated[HeadConversionStatus | None, BeforeValidator(_one_line)] = None
    """Only where the version asks for it."""
    requirements: tuple[str, ...] | None = None
    """`name==version` of every package; absent where even the packed list is too long."""


@dataclass(frozen=True)
class Report:
    """What the preflight pod has said so far; a field is None until known."""

    image_digest: str = ""
    artifact: dict[str, Any] | None = None
    contract: Contract | None = None
    peft: tuple[Found, ...] | None = None
    """What the files of the version's PEFT adapters say, in their order."""
    error: tuple[str, str] | None = None
    lost: bool = False
    exclusive: bool = False
    ended: bool = False
    """Whether the preflight pod has nothing more to say."""

    def inspected(self, version: ModelVersion) -> bool:
        """All but the artifacts is known, which only the candidate's own pods may read."""
        stock = version.spec.adapter.contract == "None"
        answered = self.contract is not None or (stock and (bool(self.image_digest) or self.ended))
        return self.exclusive and self.error is None and answered

    def complete(self, version: ModelVersion) -> bool:
        contract = self.contract is not None or version.spec.adapter.contract == "None"
        files = self.peft is not None or not needs_files(version)
        return self.error is None and self.artifact is not None and contract and files


def read_recheck(pod: Pod) -> Report:
    """What the recheck has said so far: the artifact, or why it cannot be read."""
    status = next(iter(pod.status.container_statuses), None)
    artifact, wrong, killed = _artifact(status)
    lost = killed or (pod.status.phase == "Failed" and (wrong is None or _taken(pod)))
    return Report(artifact=artifact, error=None if lost else wrong, lost=lost)


def _taken(pod: Pod) -> bool:
    """Whether the cluster ended it: what its containers said with that is not theirs."""
    return pod.disrupted or pod.status.reason in GONE


def read_report(pod: Pod, version: ModelVersion) -> Report:
    """Read the containers' statuses. A pod that ended without a word (evicted, node lost) is `lost`: try again."""
    statuses = {status.name: status for status in pod.status.container_statuses}
    digest, inspect = statuses.get("digest"), statuses.get("inspect")
    image_digest = Image.parse(version.spec.adapter.image).digest
    if not image_digest and inspect is not None:
        image_digest = digest_of(inspect.image_id)
    stock = version.spec.adapter.contract == "None"
    artifact, wrong_artifact, killed = _artifact(digest)
    if all(volume.image for volume in version.spec.artifact.volumes):
        # Given by digest, pulled by digest: there is nothing left to read.
        artifact = {}
    answer, wrong_contract = (None, None) if stock else _said(inspect, "ContractMissing")
    contract, malformed = _contract(answer)
    peft, unread = read_files(statuses.get(PEFT), version)
    killed = killed or unread
    error = wrong_artifact or wrong_contract or malformed
    lost = killed or (pod.status.phase == "Failed" and (error is None or _taken(pod)))
    alone = pod.metadata.annotations.get(EXCLUSIVE) == "true"
    if lost and stock and (artifact is not None or alone) and not _taken(pod):
        lost = False
    ended = pod.status.phase in ("Succeeded", "Failed")
    return Report(image_digest, artifact, contract, peft, None if lost else error, lost, alone, ended)


def with_artifact(report: Report, pods: Iterable[Pod], version: ModelVersion) -> Report:
    """The report with what init containers of the version's own pods read: the newest word of any of them."""
    pods = tuple(pods)
    read = (read_files(s, version)[0] for pod in pods for s in pod.status.init_container_statuses if s.name == PEFT)
    report = replace(report, peft=next((found for found in read if found is not None), report.peft))
    statuses = (s for pod in pods for s in pod.status.init_container_statuses if s.name == "digest")
    for status in statuses:
        artifact, wrong, _ = _artifact(status)
        if artifact is not None or wrong is not None:
            return replace(report, artifact=artifact, error=report.error or wrong)
    return report


def _contract(answer: dict[str, Any] | None) -> tuple[Contract | None, tuple[str, str] | None]:
    if answer is None:
        return None, None
    try:
        return Contract.model_validate({**answer, "requirements": packages_in(answer)}), None
    except ValidationError as wrong:
        first = wrong.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        return None, (
            "ContractMissing",
            clean(f"topgraft-adapter inspect answers {field!r} wrongly: {first['msg']}", MESSAGE_LIMIT),
        )


def _said(status: ContainerStatus | None, silent: str) -> tuple[dict[str, Any] | None, tuple[str, str] | None]:
    """(what the container found, why it failed): both None while it has not ended."""
    ended = _end(status)
    if ended is None:
        return None, None
    said = parse(ended.message)
    if error := error_in(said, MESSAGE_LIMIT):
        return None, error
    if ended.exit_code == 0 and said is not None:
        return said, None
    text = clean(ended.message, 300) or "no output"
    return None, (silent, f"exit code {ended.exit_code} ({clean(ended.reason, 64)}): {text}")


def _end(status: ContainerStatus | None) -> Terminated | None:
    """How the container ended; one that was started again and again: how it ended last."""
    if status is None or status.state.running is not None:
        return None
    return status.state.terminated or status.last_state.terminated


def _artifact(
    status: ContainerStatus | None,
) -> tuple[dict[str, Any] | None, tuple[str, str] | None, bool]:
    """(tree digest, why it failed, whether the container was killed from outside: out of memory, node gone)."""
    ended = _end(status)
    if ended is not None and ended.exit_code != 0 and not ended.message.strip():
        return None, None, True
    said, wrong = _said(status, "ArtifactUnreadable")
    if said is not None and not re.fullmatch("sha256:[0-9a-f]{64}", str(said.get("digest"))):
        return None, ("ArtifactUnreadable", "the digest container answered without a digest"), False
    if said is not None and not re.fullmatch("sha256:[0-9a-f]{64}", str(said.get("statDigest"))):
        said = {name: value for name, value in said.items() if name != "statDigest"}
    return said, wrong, False
