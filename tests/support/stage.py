"""A namespace with an operator, watches and probes, on which many Models run at the same time."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from support.live import REGISTRY, ROOT, Kubectl, Operator
from support.probes import Answer, Probes
from support.watched import Body, Watched

REPOSITORY = f"{REGISTRY}/digits"
T = TypeVar("T")
API = "topgraft.dev/v1alpha1"
RETRY_AT = "topgraft.dev/retry-at"
FAIL_FAST_SECONDS = 8
QUICK: Body = {
    "strategy": {"progressDeadlineSeconds": 300, "failFastSeconds": FAIL_FAST_SECONDS},
    "rollback": {"bakeSeconds": 5, "standbySeconds": 60},
}
RESOURCES: Body = {"requests": {"cpu": "10m", "memory": "48Mi"}}
"""Enough weight not to be starved by pods that just start."""
STEADY_SECONDS = 120
"""A limit for many pods that start at once on two processors, not an expectation."""


def weights(name: str = "digits-weights-1") -> Body:
    """The example's weights as a ConfigMap."""
    body: Body = yaml.safe_load((ROOT / "examples/digits/artifact.yaml").read_text())
    return {**body, "metadata": {"name": name}}


def model(name: str, **spec: Any) -> Body:
    """A Model with one pod and short times; `spec` replaces whole fields, but `serving` adds to its own."""
    serving = {"replicas": 1, "resources": RESOURCES, **spec.pop("serving", {})}
    given = {"modelTypeId": "digits", "serving": serving, **QUICK, **spec}
    return {"apiVersion": API, "kind": "Model", "metadata": {"name": name}, "spec": given}


def version(of: str, tag: str = "v2", number: int = 1, *, volume: Body | None = None, **spec: Any) -> Body:
    """`<model>-<number>`, a version of the example with the number as its revision."""
    source = volume or {"configMap": {"name": "digits-weights-1"}}
    adapter = {"image": f"{REPOSITORY}:{tag}", "module": "digits_adapter", "className": "DigitsAdapter"}
    given = {
        "modelRef": {"name": of},
        "revision": number,
        "artifact": {"volumes": [{"name": "weights", "mountPath": "/artifacts", **source}]},
        "adapter": {**adapter, **spec.pop("adapter", {})},
        **spec,
    }
    return {"apiVersion": API, "kind": "ModelVersion", "metadata": {"name": f"{of}-{number}"}, "spec": given}


def upgrade(of: str, tag: str, **spec: Any) -> Body:
    """An AdapterUpgrade of the Model's name to a tag of the example, or to an image given in full."""
    image = tag if "/" in tag else f"{REPOSITORY}:{tag}"
    given = {"modelRef": {"name": of}, "adapter": {"image": image}, "reason": "BugFix", **spec}
    return {"apiVersion": API, "kind": "AdapterUpgrade", "metadata": {"name": of}, "spec": given}


def targeted(of: str, **target: Any) -> Body:
    """An AdapterUpgrade of the Model's name to what its registry has: a tag, a commit, the latest."""
    body = upgrade(of, "v2", target=target)
    del body["spec"]["adapter"]
    return body


def _condition(body: Body, kind: str) -> dict[str, str]:
    return next((c for c in body.get("status", {}).get("conditions", []) if c["type"] == kind), {})


def condition(body: Body, kind: str = "Ready") -> tuple[str, str]:
    """(status, reason) of a condition; two empty strings when it is not there."""
    found = _condition(body, kind)
    return found.get("status", ""), found.get("reason", "")


def message(body: Body, kind: str = "Ready") -> str:
    return _condition(body, kind).get("message", "")


class Stage:
    """What the tests of one file share."""

    def __init__(self, namespace: str, operator: Operator) -> None:
        self.namespace = namespace
        self.operator = operator
        self.kubectl = Kubectl(namespace)
        self.watched = Watched(namespace)
        self.probes = Probes()

    # -- what is ----------------------------------------------------------------------------------------------------
    def ready(self, kind: str, name: str) -> tuple[str, str]:
        return condition(self.watched.live(kind, name))

    def serving(self, name: str) -> str | None:
        """The version that the Model's Service selects."""
        selector: dict[str, str] = self.watched.live("Service", name).get("spec", {}).get("selector", {})
        return selector.get("topgraft.dev/version")

    def selected(self, name: str, since: float = 0.0) -> list[str]:
        """Every version that the Service selected, in order."""
        found: list[str] = []
        for seen in self.watched.states("Service", name, since):
            version = seen.body["spec"]["selector"].get("topgraft.dev/version", "")
            if found[-1:] != [version]:
                found.append(version)
        return found

    def failures(self, name: str) -> dict[str, str]:
        """Version → reason, for all versions of the Model that carry a failure."""
        bodies = [states[-1].body for states in self.watched.all("ModelVersion") if not states[-1].gone]
        mine = [body for body in bodies if body["spec"]["modelRef"]["name"] == name]
        return {
            body["metadata"]["name"]: body["status"]["failure"]["reason"]
            for body in mine
            if body.get("status", {}).get("failure")
        }

    def unanswered(self, name: str, version: str, since: float = 0.0) -> list[Answer]:
        """Probes that `version` did not answer, though the kubelet held its pods for ready.

        On an overloaded machine a readiness probe may find no time (limit: 1 s); such gaps are printed, not counted.
        """
        missed = [a for a in self.probes.answers(name, since) if a.version != version]
        gaps = self._unready(name, version)
        excused = [a for a in missed if not a.version and any(start - 1 <= a.at <= end + 3 for start, end in gaps)]
        if excused:
            print(f"{name}: {len(excused)} probes met no ready pod: the machine was too busy for the readiness probe")
        return [a for a in missed if a not in excused]

    def _unready(self, name: str, version: str) -> list[tuple[float, float]]:
        """When a pod of the version, up and not told to end, had lost its readiness."""
        gaps = []
        for states in self.watched.all("Pod", model=name, version=version, role="serving"):
            once_ready, since = False, 0.0
            for seen in states:
                ready = condition(seen.body)[0] == "True"
                if ready and since:
                    gaps.append((since, seen.at))
                    since = 0.0
                elif once_ready and not ready and not since and "deletionTimestamp" not in seen.body["metadata"]:
                    since = seen.at
                once_ready |= ready
            if since:
                gaps.append((since, time.monotonic()))
        return gaps

    def story(self, name: str) -> str:
        """The Model's conditions and pods, for a failed assertion."""
        lines = [f"Model {name}, Service selects {self.serving(name)}"]
        for kind in ("Model", "AdapterUpgrade"):
            told = self.watched.live(kind, name).get("status", {}).get("conditions", [])
            lines += [f"  {kind} {c['type']}={c['status']} {c['reason']}: {c.get('message', '')[:200]}" for c in told]
        for states in self.watched.all("Pod", model=name):
            if not states[-1].gone:
                status = states[-1].body["status"]
                waits = [s.get("state") for s in status.get("containerStatuses", [])]
                lines.append(f"  Pod {states[-1].body['metadata']['name']}: {status.get('phase')} {waits}"[:400])
        return "\n".join([*lines, "operator:", self.operator.tail(12)])

    # -- waiting ----------------------------------------------------------------------------------------------------
    def until(self, name: str, probe: Callable[[str], T], seconds: float, what: str) -> T:
        """The first true answer of `probe(name)`; fails with the Model's story."""
        return self.watched.until(lambda: probe(name), seconds, lambda: f"{name}: {what}\n{self.story(name)}")

    def until_ready(self, kind: str, name: str, status: str, reason: str, seconds: float = STEADY_SECONDS) -> Body:
        """Wait for the Ready condition of that status and reason; returns the object."""
        wanted = (status, reason)
        self.until(name, lambda each: self.ready(kind, each) == wanted, seconds, f"{kind} Ready={status} {reason}")
        return self.watched.live(kind, name)

    def until_serves(self, name: str, seconds: float = STEADY_SECONDS) -> str:
        """Wait until the Model is at rest and served; returns the version."""
        self.until_ready("Model", name, "True", "Serving", seconds)
        return str(self.serving(name))

    def until_selects(self, name: str, version: str, seconds: float) -> None:
        self.until(name, lambda each: self.serving(each) == version, seconds, f"{version} is selected")

    def probe(self, *names: str) -> float:
        """Ask these Models from now on; returns now, once each has answered: kube-proxy is behind the Service.

        Until it is, each question takes the client's whole limit, and a few are asked at a time.
        """
        for name in names:
            self.probes.add(name, self.watched.live("Service", name)["spec"]["clusterIP"])
        for name in names:
            self.until(name, lambda each: any(a.version for a in self.probes.answers(each)), 60, "an answer")
        return time.monotonic()


@contextmanager
def open_stage(
    directory: Path, *options: str, prefix: str = "ct", make: Callable[..., Operator] = Operator
) -> Iterator[Stage]:
    """A namespace of its own under Pod Security `restricted`, and an operator for it alone, made by `make`."""
    namespace = f"{prefix}-{secrets.token_hex(4)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "topgraft.dev/test": "true"}
    kubectl = Kubectl()
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    stage = Stage(namespace, make(namespace, directory / f"{namespace}.log", *options, name=namespace))
    try:
        stage.watched.start()
        stage.kubectl.apply(weights())
        stage.operator.start()
        yield stage
    finally:
        stage.probes.stop()
        stage.watched.stop()
        stage.operator.stop()
        kubectl.delete("namespace", namespace)
