"""Rendering the chart and the kustomize folders, and judging what comes out."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

import manifests

Body = dict[str, Any]
Grant = tuple[str, str, str]
"""(API group, resource, verb)."""

CLUSTER_SCOPED = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "Namespace",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
IMAGE = f'image.repository="{manifests.PLACEHOLDER}"'
TIMEOUT = 60


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([manifests.helm(), *arguments], check=False, capture_output=True, text=True, timeout=TIMEOUT)


@functools.cache
def template(*settings: str, namespace: str = manifests.NAMESPACE, release: str = "topgraft") -> str:
    """What `helm template` prints; `settings` are --set-json expressions."""
    arguments = ["template", release, str(manifests.CHART), "--namespace", namespace, "--set-json", IMAGE]
    for setting in settings:
        arguments += ["--set-json", setting]
    done = helm(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(*settings: str, **options: str) -> list[Body]:
    return [body for body in yaml.load_all(template(*settings, **options), yaml.CSafeLoader) if body]


def refusal(*settings: str) -> str:
    """What helm says of bad values. Fails when it renders them."""
    arguments = ["template", "topgraft", str(manifests.CHART), "--set-json", IMAGE]
    for setting in settings:
        arguments += ["--set-json", setting]
    done = helm(*arguments)
    assert done.returncode != 0, f"helm rendered {settings}"
    return done.stderr


def kubectl() -> str:
    """Path of kubectl. Fails with the remedy when there is none."""
    cached = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "topgraft" / "bin" / "kubectl"
    found = shutil.which(os.environ.get("KUBECTL", cached)) or shutil.which("kubectl")
    assert found, "kubectl was not found: run `make tools`, or set KUBECTL to the path of a kubectl binary"
    return found


def kustomize(folder: Path) -> list[Body]:
    done = subprocess.run(
        [kubectl(), "kustomize", str(folder)], check=False, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.load_all(done.stdout, yaml.CSafeLoader))


def of_kind(bodies: Iterable[Body], *kinds: str) -> list[Body]:
    return [body for body in bodies if body["kind"] in kinds]


def one(bodies: Iterable[Body], kind: str, name: str = "topgraft") -> Body:
    (found,) = [body for body in bodies if body["kind"] == kind and body["metadata"]["name"] == name]
    return found


def grants(role: Body) -> set[Grant]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def pod_templates(bodies: Iterable[Body]) -> Iterator[Body]:
    for body in bodies:
        if "template" in body.get("spec", {}):
            yield body["spec"]["template"]["spec"]
        elif body["kind"] == "Pod":
            yield body["spec"]


RESTRICTED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def restricted_violations(pod: Body) -> list[str]:
    """What Pod Security `restricted` (Kubernetes 1.36) refuses in a pod spec; empty when it passes."""
    found = [field for field in ("hostNetwork", "hostPID", "hostIPC", "hostUsers") if pod.get(field)]
    for volume in pod.get("volumes", []):
        found += [f"volume {volume['name']}: {kind}" for kind in volume.keys() - {"name"} - RESTRICTED_VOLUMES]
    outer = pod.get("securityContext", {})
    if outer.get("sysctls") or outer.get("seLinuxOptions") or outer.get("appArmorProfile"):
        found.append("sysctls, seLinuxOptions or appArmorProfile")
    for container in (*pod.get("initContainers", []), *pod.get("containers", [])):
        found += [f"{container['name']}: {text}" for text in _container_violations(container, outer)]
    return found


def _container_violations(container: Body, outer: Body) -> Iterator[str]:
    inner = container.get("securityContext", {})
    if inner.get("privileged") or inner.get("procMount"):
        yield "privileged or procMount"
    if inner.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if "ALL" not in inner.get("capabilities", {}).get("drop", []):
        yield "capabilities.drop lacks ALL"
    if set(inner.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "capabilities.add"
    if inner.get("runAsNonRoot", outer.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not true"
    if 0 in (inner.get("runAsUser"), outer.get("runAsUser")):
        yield "runAsUser is 0"
    seccomp = inner.get("seccompProfile", outer.get("seccompProfile")) or {}
    if seccomp.get("type") not in ("RuntimeDefault", "Localhost"):
        yield "seccompProfile is not RuntimeDefault"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "hostPort"
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe, {}).get("httpGet", {}).get("host"):
            yield f"{probe}.host"
