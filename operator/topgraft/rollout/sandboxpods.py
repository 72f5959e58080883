"""The sandbox's objects: the version's pod, the pod of its tests, and the policy that keeps all others away."""

from __future__ import annotations

from typing import Any

from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.api.verification import TestSuite
from topgraft.rollout import checkpods
from topgraft.rollout.barepod import bare_pod
from topgraft.rollout.derive import owner_of
from topgraft.rollout.infofiles import has_infos
from topgraft.rollout.podspec import host_port, http_port
from topgraft.rollout.render import Kept, pod
from topgraft.rollout.views import MODEL_LABEL, ROLE_LABEL, Pod

ROLE = "sandbox"
"""The label that every Service lacks in its selector, and that the policy selects."""
CLUSTER_DNS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}
"""CoreDNS has kube-dns' label, too."""


def pod_name(version: str) -> str:
    return f"{version}-sandbox"


def suite_name(version: str) -> str:
    return f"{version}-sandbox-test"


def server_pod(model: Model, version: ModelVersion, mark: str, image: str, *, one_node: bool) -> dict[str, Any]:
    """The version as it serves: same image, artifacts, settings and probes; restarted where it crashes."""
    spec = pod(model, version, Kept(image, informed=has_infos(version)))
    about = version.metadata.name
    body = bare_pod(model, pod_name(about), mark, spec, version=about, role=ROLE, one_node=one_node)
    body["spec"]["restartPolicy"] = "Always"
    return body


def suite_pod(
    model: Model, version: ModelVersion, mark: str, suite: TestSuite, server: Pod, *, image: str, one_node: bool
) -> dict[str, Any]:
    """The tests in the version's image, with the address of its server."""
    body = checkpods.suite_pod(model, version, mark, suite, image=image, commit=None, one_node=one_node)
    body["metadata"]["name"] = suite_name(version.metadata.name)
    url = f"http://{host_port(server.status.pod_ip, http_port(model))}"
    body["spec"]["containers"][0]["env"].append({"name": "TOPGRAFT_SANDBOX_URL", "value": url})
    body["metadata"]["labels"][ROLE_LABEL] = ROLE
    return body


def network_policy(model: Model) -> dict[str, Any]:
    """The sandbox's pods reach each other and the cluster's DNS pods, nothing else, and nothing else reaches them.

    Policies add up: who wants more allows it by one of his own. All that the API server would fill in is given, so that
    a look tells what somebody changed.
    """
    name = model.metadata.name
    among = {"podSelector": {"matchLabels": {MODEL_LABEL: name, ROLE_LABEL: ROLE}}}
    # To those pods and no others: port 53 of any address would be a way out for whatever runs there.
    dns = {"to": [CLUSTER_DNS], "ports": [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": policy_name(name),
            "namespace": model.metadata.namespace,
            "labels": {MODEL_LABEL: name, "app.kubernetes.io/managed-by": "topgraft"},
            "ownerReferences": owner_of(model),
        },
        "spec": {
            **among,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [among]}],
            "egress": [{"to": [among]}, dns],
        },
    }


def policy_name(model: str) -> str:
    return f"{model}-sandbox"
