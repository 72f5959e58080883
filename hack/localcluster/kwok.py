"""Simulated nodes: their pods become ready without a process behind them. For benchmarks of many objects."""

import json
from pathlib import Path

from localcluster.processes import Process, run
from localcluster.settings import SOURCE, ClusterError, Settings
from localcluster.tools import build

_MARK = "kwok.x-k8s.io/node"


def start(at: Settings, nodes: int) -> None:
    """Needs a control plane. Only pods that tolerate the taint `kwok.x-k8s.io/node` come to these nodes."""
    if Process(at, "kube-apiserver").pid() is None:
        raise ClusterError("there is no control plane. Remedy: `localcluster up --control-plane-only`")
    build(at, ["kwok"])
    Process(at, "kwok").start(
        [
            at.bin / "kwok",
            f"--kubeconfig={at.kubeconfig}",
            f"--manage-nodes-with-annotation-selector={_MARK}=fake",
            f"--config={SOURCE}/kwok/stages.yaml",
            "-v=WARN",
        ]
    )
    objects = {"apiVersion": "v1", "kind": "List", "items": [_node(f"kwok-{number}") for number in range(nodes)]}
    command: list[str | Path] = [at.bin / "kubectl", f"--kubeconfig={at.kubeconfig}", "--request-timeout=30s"]
    run([*command, "apply", "--server-side", "-f", "-"], text=json.dumps(objects))
    run([*command, "wait", "node", f"--selector={_MARK}=fake", "--for=condition=Ready", "--timeout=60s"], seconds=90)


def _node(name: str) -> dict[str, object]:
    room = {"cpu": "1000", "memory": "1000Gi", "pods": "250"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {_MARK: "fake"},
            "labels": {_MARK: "fake", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
        },
        "spec": {"taints": [{"key": _MARK, "value": "fake", "effect": "NoSchedule"}]},
        "status": {"allocatable": room, "capacity": room},
    }
