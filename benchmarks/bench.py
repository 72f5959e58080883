"""What the benchmarks on a cluster share: a namespace, an operator of their own, the digits example, simulated pods."""

import argparse
import contextlib
import json
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from kubeapi import Api, ApiError, Body

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "hack"), str(ROOT / "tests")]

import cluster  # noqa: E402
import images  # noqa: E402
from localcluster.processes import Process, run  # noqa: E402
from localcluster.settings import settings  # noqa: E402
from support.live import Operator, wait_until  # noqa: E402
from topgraft.cluster import kinds  # noqa: E402
from topgraft.cluster.kinds import Kind  # noqa: E402

__all__ = ["Operator", "kinds", "wait_until"]

DIGITS = ROOT / "examples" / "digits"
NAMESPACE = Kind("", "v1", "namespaces", "Namespace")
NODE = Kind("", "v1", "nodes", "Node")
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
CRD = Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")


SIMULATED = {
    "nodeSelector": {"kwok.x-k8s.io/node": "fake"},
    "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists", "effect": "NoSchedule"}],
}
"""Of a pod: only on the simulated nodes."""


@dataclass(frozen=True)
class Bench:
    """A namespace on a running cluster."""

    api: Api
    namespace: str
    registry: str
    folder: Path

    @contextlib.contextmanager
    def operator(self, *options: str) -> Iterator[Operator]:
        """The operator of this work tree, watching the namespace. No other operator may do so, too."""
        operator = Operator(self.namespace, self.folder / "operator.log", "--log-format", "json", *options)
        try:
            yield operator.start(60)
        finally:
            operator.stop()

    def digits(self, bake: int, standby: int, standby_replicas: int = 1) -> None:
        """Deploy the digits example: 2 replicas, version 1, ready."""
        model, version = yaml.safe_load_all((DIGITS / "model.yaml").read_text())
        model["spec"]["serving"]["replicas"] = 2
        model["spec"]["rollback"] = {
            "bakeSeconds": bake,
            "standbySeconds": standby,
            "standbyReplicas": standby_replicas,
        }
        version["spec"]["adapter"]["image"] = self.image("v1")
        weights = yaml.safe_load((DIGITS / "artifact.yaml").read_text())
        for kind, body in ((CONFIG_MAP, weights), (kinds.MODEL, model), (kinds.MODEL_VERSION, version)):
            body["metadata"]["namespace"] = self.namespace
            self.api.apply(kind, body)
        self.wait_ready(kinds.MODEL, "digits", 180)

    def upgrade(self, image: str, env: Body | None = None) -> None:
        """Say that digits runs this adapter image."""
        adapter: Body = {"image": image}
        if env:
            adapter["env"] = [{"name": name, "value": value} for name, value in env.items()]
        spec = {"modelRef": {"name": "digits"}, "adapter": adapter, "reason": "BugFix"}
        body = {
            "apiVersion": "topgraft.dev/v1alpha1",
            "kind": "AdapterUpgrade",
            "metadata": {"name": "digits", "namespace": self.namespace},
            "spec": spec,
        }
        try:
            self.api.merge(kinds.ADAPTER_UPGRADE, self.namespace, "digits", {"spec": spec})
        except ApiError as error:
            if ": 404: " not in str(error):
                raise
            self.api.create(kinds.ADAPTER_UPGRADE, body)

    def image(self, tag: str) -> str:
        return f"{self.registry}/digits:{tag}"

    def wait_ready(self, kind: Kind, name: str, seconds: float) -> Body:
        """The object, once its Ready condition is True for its newest generation."""

        def ready() -> Body | None:
            body = self.api.get(kind, self.namespace, name)
            return body if is_ready(body) else None

        return wait_until(ready, seconds, f"{kind.name} {name} is ready", every=0.05) or {}

    def url(self, service: str = "digits") -> str:
        """Where digits answers inference requests."""
        address = self.api.get(kinds.SERVICE, self.namespace, service)["spec"]["clusterIP"]
        return f"http://{address}:8080/v2/models/digits/infer"

    def request(self) -> Path:
        """A file with one inference request for digits."""
        pixels = json.loads((DIGITS / "samples.json").read_text())[0]["pixels"]
        file = self.folder / "request.json"
        body = {"inputs": [{"name": "image", "shape": [1, 64], "datatype": "FP32", "data": pixels}]}
        file.write_text(json.dumps(body))
        return file


def is_ready(body: Body) -> bool:
    """Say whether Ready is True for the newest generation."""
    return any(
        condition["type"] == "Ready"
        and condition["status"] == "True"
        and condition.get("observedGeneration") == body["metadata"]["generation"]
        for condition in body.get("status", {}).get("conditions", [])
    )


@contextlib.contextmanager
def bench(name: str, adapters: Sequence[str] = ()) -> Iterator[Bench]:
    """Start what is missing of the cluster that CLUSTER names, build images, install the CRDs, make a namespace.

    The namespace is deleted at the end; the cluster is left running.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else operator and namespace would stay
    target = cluster.choose()
    if not target.is_up():
        target.up(control_plane_only=False)
    os.environ["KUBECONFIG"] = str(target.kubeconfig())
    if adapters:
        builder = images.Builder(target)
        for image in ("topgraft:dev", *(f"digits:{tag}" for tag in adapters)):
            builder.build(images.IMAGES[image])
    api = Api(target.kubeconfig())
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        api.apply(CRD, yaml.safe_load(file.read_text()))
    namespace = f"bench-{name}-{secrets.token_hex(3)}"
    api.create(NAMESPACE, {"metadata": {"name": namespace}})
    try:
        with tempfile.TemporaryDirectory(prefix="topgraft-bench-") as folder:
            yield Bench(api, namespace, target.registry, Path(folder))
    finally:
        api.call("DELETE", NAMESPACE.url(None, namespace))


def simulated(bench: Bench, number: int, replicas: int) -> list[tuple[Kind, Body]]:
    """A Model and its version whose pods run on simulated nodes; they share the ConfigMap `weights`."""
    name = f"model-{number:04}"
    common = {"apiVersion": "topgraft.dev/v1alpha1"}
    serving = {"replicas": replicas, **SIMULATED}
    spec = {"modelTypeId": "simulated", "serving": serving, "rollback": {"bakeSeconds": 0, "standbySeconds": 600}}
    volume = {"name": "weights", "mountPath": "/artifacts", "configMap": {"name": "weights"}}
    version = {
        "modelRef": {"name": name},
        "artifact": {"volumes": [volume]},
        "adapter": {"image": "registry.local/simulated:v1"},
    }
    return [
        (kinds.MODEL, {**common, "kind": "Model", "metadata": _meta(bench, name), "spec": spec}),
        (
            kinds.MODEL_VERSION,
            {**common, "kind": "ModelVersion", "metadata": _meta(bench, f"{name}-1"), "spec": version},
        ),
    ]


def simulated_deployment(bench: Bench, number: int, replicas: int) -> Body:
    """A Deployment whose pods run on simulated nodes, without a Model."""
    meta = _meta(bench, f"plain-{number:04}")
    labels = {"app": meta["name"]}
    containers = [{"name": "adapter", "image": "registry.local/simulated:v1"}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers, **SIMULATED}}
    return {"metadata": meta, "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}}


def simulated_upgrade(bench: Bench, number: int) -> tuple[Kind, Body]:
    name = f"model-{number:04}"
    spec = {
        "modelRef": {"name": name},
        "adapter": {"image": "registry.local/simulated:v2"},
        "reason": "BugFix",
    }
    body = {
        "apiVersion": "topgraft.dev/v1alpha1",
        "kind": "AdapterUpgrade",
        "metadata": _meta(bench, name),
        "spec": spec,
    }
    return kinds.ADAPTER_UPGRADE, body


def simulated_weights(bench: Bench) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "immutable": True, "metadata": _meta(bench, "weights")}
    bench.api.apply(CONFIG_MAP, {**body, "data": {"weights": "simulated"}})


def simulate_nodes(count: int) -> None:
    """Start kwok; only hack/localcluster has it."""
    command = [str(ROOT / "hack/localcluster/localcluster"), "kwok", "--nodes", str(count)]
    if cluster.choose().name != "local":
        raise SystemExit("simulated nodes need CLUSTER=local")
    run(command, seconds=300)


def _meta(bench: Bench, name: str) -> Body:
    return {"name": name, "namespace": bench.namespace}


def local_processes() -> dict[str, int]:
    """The process ids of the local cluster's components; empty on another cluster."""
    if cluster.choose().name != "local":
        return {}
    names = [file.stem for file in sorted(settings().run.glob("*.pid"))]
    return {name: pid for name in names if (pid := Process(settings(), name).pid())}


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def arguments(doc: str, **defaults: int) -> argparse.Namespace:
    """Options that are numbers, from their defaults."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value, help=f"default: {value}")
    return parser.parse_args()
