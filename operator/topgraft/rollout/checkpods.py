"""The pods that verify a version: one sends requests to it, one runs the tests in its image."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.api.verification import Golden, TestSuite, Verification
from topgraft.rollout.barepod import bare_pod
from topgraft.rollout.beside import put_beside
from topgraft.rollout.content import wire
from topgraft.rollout.image import Image
from topgraft.rollout.infofiles import has_infos, show_infos
from topgraft.rollout.podspec import (
    CONTAINER_SECURITY,
    artifact_mounts,
    environment,
    host_port,
    http_port,
    pod_spec,
    scratch_volumes,
)
from topgraft.rollout.views import Pod

GOLDEN = "/golden"
DEADLINE_MARGIN_SECONDS = 60
"""The program ends by itself at its deadline and says why; the kubelet ends only one that hangs."""
ARGUMENT_LIMIT = 100_000
"""Bytes of one argument: Linux allows 128 KiB each, and twenty smoke requests may be longer together."""
TEST_TAG_LABEL = "topgraft.dev/test-tag"
ADDRESS_LIMIT = 8
RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}


def verify_name(version: str) -> str:
    return f"{version}-verify"


def suite_name(version: str) -> str:
    return f"{version}-test"


def config(
    model: Model, policy: Verification, url: str, candidate: Iterable[Pod], serving: Iterable[Pod]
) -> dict[str, Any]:
    """What `topgraft verify` is told. Both versions are asked at as many pods: none may share its load wider."""
    new, old = _addresses(model, candidate), _addresses(model, serving)
    count = min(len(new), len(old), ADDRESS_LIMIT) if old else ADDRESS_LIMIT
    limits = policy.limits
    return {
        "candidate": {"url": url, "addresses": new[:count]},
        "serving": {"addresses": old[:count]} if old else None,
        "model": model.metadata.name,
        "smoke": [_plain(request) for request in policy.smoke],
        "golden": _golden(policy.golden) if policy.golden else None,
        "limits": {
            "latencyIncreasePercent": limits.latency_increase_percent,
            "accuracyDropPercent": limits.accuracy_drop_percent,
            "errorIncreasePercent": limits.error_increase_percent,
            "maxKLDivergence": limits.max_kl_divergence,
            "minSamples": limits.min_samples,
        },
        "deadlineSeconds": policy.deadline_seconds,
    }


def _plain(part: Any) -> dict[str, Any]:
    return dict(part.model_dump(mode="json", by_alias=True, exclude_none=True))


def _golden(golden: Golden) -> dict[str, Any]:
    asked = _plain(golden)
    asked.pop("configMap", None)
    asked.pop("persistentVolumeClaim", None)
    return {**asked, "file": f"{GOLDEN}/{_file(golden)}"}


def _file(golden: Golden) -> str:
    claim = golden.persistent_volume_claim
    return claim.path if claim is not None else "requests.jsonl"


def _addresses(model: Model, pods: Iterable[Pod]) -> list[str]:
    """host:port of ready pods, each by its own port: a change of ports may be on its way."""
    ready = (pod for pod in sorted(pods, key=lambda pod: pod.name) if pod.ready and pod.status.pod_ip)
    return [host_port(pod.status.pod_ip, pod.port("http") or http_port(model)) for pod in ready]


def arguments(told: dict[str, Any]) -> list[str]:
    """The command line. `$` is written as an escape: the kubelet replaces $(NAME) and $$ in arguments."""
    text = json.dumps(told, sort_keys=True, separators=(",", ":")).replace("$", "\\u0024")
    parts = [text[at : at + ARGUMENT_LIMIT] for at in range(0, len(text), ARGUMENT_LIMIT)]
    return ["verify", *(f"--config={part}" for part in parts)]


def verify_pod(
    model: Model,
    version: ModelVersion,
    attempt: str,
    policy: Verification,
    told: dict[str, Any],
    *,
    image: str,
    one_node: bool,
) -> dict[str, Any]:
    """Smoke requests and golden replay, by the operator's own `image`. It sees the golden file and no artifact.

    `one_node` keeps it beside the Model's pods where they share the golden file's ReadWriteOnce volume.
    """
    volumes, mounts = _golden_volume(policy.golden) if policy.golden else ([], [])
    container = {
        "name": "verify",
        "image": image,
        "args": arguments(told),
        "securityContext": CONTAINER_SECURITY,
        "resources": RESOURCES,
        "volumeMounts": mounts,
    }
    spec = pod_spec(model, version) | {
        "automountServiceAccountToken": False,
        "activeDeadlineSeconds": policy.deadline_seconds + DEADLINE_MARGIN_SECONDS,
        "volumes": volumes,
    }
    name, about = verify_name(version.metadata.name), version.metadata.name
    return bare_pod(model, name, attempt, spec | {"containers": [container]}, version=about, one_node=one_node)


def _golden_volume(golden: Golden) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The file's volume. A claim is mounted whole: with subPath the kubelet would make a file that is missing."""
    mount = {"name": "golden", "mountPath": GOLDEN, "readOnly": True}
    if golden.persistent_volume_claim is not None:
        claim = {"claimName": golden.persistent_volume_claim.claim_name}
        return [{"name": "golden", "persistentVolumeClaim": claim}], [mount]
    assert golden.config_map is not None
    items = [{"key": golden.config_map.key, "path": _file(golden)}]
    return [{"name": "golden", "configMap": {"name": golden.config_map.name, "items": items}}], [mount]


def suite_pod(
    model: Model,
    version: ModelVersion,
    attempt: str,
    suite: TestSuite,
    *,
    image: str,
    commit: str | None,
    one_node: bool,
) -> dict[str, Any]:
    """The tests in the adapter `image`, which runs as it does when it serves: same artifacts, settings, resources, with
    the version's containers beside it."""
    adapter, serving = version.spec.adapter, model.spec.serving
    told = commit_of(version, image, commit)
    security = wire(serving.security_context) if serving.security_context else {}
    container: dict[str, Any] = {
        "name": "test",
        "image": image,
        "command": list(suite.command),
        "env": [*environment(model, version), {"name": "DATASET_VERSION", "value": told[:8]}, *_test_tag(version)],
        "securityContext": {**CONTAINER_SECURITY, **security},
        "volumeMounts": [*artifact_mounts(version), *scratch_volumes(model)[1]],
        # What a failed suite printed last is what a reader wants to see first.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if resources := adapter.resources or serving.resources:
        container["resources"] = wire(resources)
    if adapter.pull_policy is not None:
        container["imagePullPolicy"] = adapter.pull_policy
    spec = pod_spec(model, version) | {"activeDeadlineSeconds": suite.timeout_seconds, "containers": [container]}
    if has_infos(version):
        show_infos(spec, version.metadata.name)
    put_beside(spec, version)
    name, about = suite_name(version.metadata.name), version.metadata.name
    body = bare_pod(model, name, attempt, spec, version=about, one_node=one_node)
    body["metadata"]["labels"]["validation"] = f"V{told}_validation"
    if tag := version.spec.test_tag:
        body["metadata"]["labels"][TEST_TAG_LABEL] = tag
    return body


def _test_tag(version: ModelVersion) -> list[dict[str, str]]:
    tag = version.spec.test_tag
    return [{"name": "TOPGRAFT_TEST_TAG", "value": tag}] if tag else []


def commit_of(version: ModelVersion, image: str, commit: str | None) -> str:
    """The adapter's commit as a label can hold it; where the image names none, its tag, else its digest."""
    recorded = version.status.adapter.commit if version.status.adapter else None
    found = Image.parse(image)
    text = commit or recorded or found.tag or found.digest.removeprefix("sha256:") or "unknown"
    return re.sub("[^A-Za-z0-9_.-]", "_", text)[: 63 - len("V_validation")]
