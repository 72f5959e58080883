"""What the environment lacks is waited for, with its reason: nothing is marked as failed, nothing has to be edited."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from localcluster.settings import NETWORK_NAMESPACE, settings
from support.live import ROOT, Kubectl
from support.stage import (
    FAIL_FAST_SECONDS,
    QUICK,
    STEADY_SECONDS,
    Stage,
    condition,
    model,
    open_stage,
    upgrade,
    version,
    weights,
)
from support.watched import Body

LOCAL = os.environ.get("CLUSTER", "local") == "local"
REGISTRY_PORT = 20000 + secrets.randbelow(10000)
"""Another one in every run: the node keeps what it has pulled, by the registry's name."""
NODE_LABEL = "topgraft.dev/test-pool"


@dataclass(frozen=True)
class Case:
    """A Model that waits. `served` exists and serves before; `orders` is what then has to wait."""

    name: str
    reason: str
    orders: tuple[Body, ...]
    served: tuple[Body, ...] = ()
    status: str = "Unknown"
    tellers: tuple[str, ...] = ("Model",)


def _served(name: str) -> tuple[Body, ...]:
    return (model(name), version(name, "v1"))


def _with_env(body: Body) -> Body:
    reference = {"secretKeyRef": {"name": "later", "key": "token"}}
    body["spec"]["adapter"]["env"] = [{"name": "TOKEN", "valueFrom": reference}]
    return body


CASES = [
    Case(
        "node",
        "Unschedulable",
        (model("node", serving={"nodeSelector": {NODE_LABEL: "later"}}), version("node")),
    ),
    Case(
        "configmap",
        "ConfigMapNotFound",
        (model("configmap"), version("configmap", volume={"configMap": {"name": "later"}})),
    ),
    Case("secret", "SecretNotFound", (model("secret"), _with_env(version("secret")))),
    Case(
        "model",
        "ModelNotFound",
        (upgrade("model", "v2"), version("model", "v1")),
        status="False",
        tellers=("AdapterUpgrade",),
    ),
    Case(
        "pin",
        "VersionNotFound",
        (model("pin", serving={"version": "pin-2"}), version("pin", "v1")),
        status="False",
    ),
    Case("version", "NoVersion", (model("version"),), status="False"),
    Case(
        "from",
        "VersionNotFound",
        (upgrade("from", "v2", fromVersion="from-2"),),
        _served("from"),
        status="False",
        tellers=("Model", "AdapterUpgrade"),
    ),
    Case(
        "service",
        "ServiceNotOwned",
        (
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "service"}, "spec": {"ports": [{"port": 80}]}},
            model("service"),
            version("service"),
        ),
        status="False",
    ),
]
if LOCAL:
    CASES += [
        Case(
            "registry",
            "RegistryUnavailable",
            (upgrade("registry", f"127.0.0.1:{REGISTRY_PORT}/digits:v2", allowRepositoryChange=True),),
            _served("registry"),
            tellers=("Model", "AdapterUpgrade"),
        ),
        Case(
            "claim",
            "PersistentVolumeClaimNotFound",
            (model("claim"), version("claim", volume={"persistentVolumeClaim": {"claimName": "later"}})),
        ),
    ]
QUOTA = [
    Case("quota", "QuotaExceeded", (upgrade("quota", "v2"),), _served("quota"), tellers=("Model", "AdapterUpgrade")),
    Case(
        "deadline",
        "EnvironmentNotReady",
        (model("deadline", strategy={**QUICK["strategy"], "progressDeadlineSeconds": 30}), upgrade("deadline", "v2")),
        _served("deadline"),
        status="False",
        tellers=("Model", "AdapterUpgrade"),
    ),
]
EACH = pytest.mark.parametrize("case", [*CASES, *QUOTA], ids=lambda case: case.name)


class Stages:
    """A quota holds for a whole namespace: the cases that lack it have one of their own."""

    def __init__(self, open_world: Stage, limited: Stage) -> None:
        self.open_world, self.limited = open_world, limited

    def of(self, case: Case) -> Stage:
        return self.limited if case in QUOTA else self.open_world


@pytest.fixture(scope="module")
def stages(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    directory = tmp_path_factory.mktemp("waits")
    with open_stage(directory) as open_world, open_stage(directory) as limited:
        yield Stages(open_world, limited)


@pytest.fixture(scope="module")
def waiting(stages: Stages) -> None:
    """Every case waits, and has done so for longer than content would be given to fail."""
    cases = [*CASES, *QUOTA]
    for stage, mine in ((stages.open_world, CASES), (stages.limited, QUOTA)):
        stage.kubectl.apply(*(body for case in mine for body in case.served))
    for case in cases:
        if case.served:
            stages.of(case).until_serves(case.name)
    stages.limited.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "full"},
            "spec": {"hard": {"pods": len(QUOTA)}},
        }
    )
    stages.limited.watched.until(
        lambda: stages.limited.kubectl.get("resourcequota", "full").get("status", {}).get("used"),
        STEADY_SECONDS,
        "quota counts",
    )
    ordered = time.monotonic()
    for stage, mine in ((stages.open_world, CASES), (stages.limited, QUOTA)):
        stage.kubectl.apply(*(body for case in mine for body in case.orders))
    for case in cases:
        for kind in case.tellers:
            stages.of(case).until_ready(kind, case.name, case.status, case.reason)
    time.sleep(max(0.0, ordered + FAIL_FAST_SECONDS + 3 - time.monotonic()))


@pytest.fixture(scope="module")
def mended(stages: Stages, waiting: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """All causes are gone. Returns the generations of the Models and upgrades before."""
    generations = {f"{case.name} {kind}": _generation(stages, case, kind) for case in CASES + QUOTA for kind in KINDS}
    stage = stages.open_world
    with ExitStack() as until_end:
        until_end.enter_context(_labelled_node())
        stage.kubectl.apply(
            weights("later"),
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "later"}, "stringData": {"token": "t"}},
            model("model"),
            version("pin", "v2", 2),
            version("version", "v1"),
            version("from", "v1", 2),
        )
        stage.kubectl("delete", "service", "service")
        stages.limited.kubectl("delete", "resourcequota", "full")
        if LOCAL:
            directory = tmp_path_factory.mktemp("mended")
            until_end.enter_context(_registry(directory))
            until_end.enter_context(_claim(stage, directory))
        yield generations


KINDS = ("Model", "AdapterUpgrade")


def _generation(stages: Stages, case: Case, kind: str) -> int:
    body = stages.of(case).watched.live(kind, case.name)
    return int(body["metadata"]["generation"]) if body else 0


@contextmanager
def _labelled_node() -> Iterator[None]:
    kubectl = Kubectl()
    node = next(n["metadata"]["name"] for n in kubectl.list("nodes") if not n["spec"].get("taints"))
    kubectl("label", "node", node, f"{NODE_LABEL}=later")
    yield
    kubectl("label", "node", node, f"{NODE_LABEL}-")


@contextmanager
def _registry(directory: Path) -> Iterator[None]:
    """The local cluster's images at the address that refused connections until now, on the node's own loopback."""
    file = directory / "registry.yml"
    options = {
        "version": 0.1,
        "storage": {
            "filesystem": {"rootdirectory": str(settings().registry)},
            "maintenance": {"readonly": {"enabled": True}},
        },
        "http": {"addr": f"127.0.0.1:{REGISTRY_PORT}"},
    }
    file.write_text(yaml.safe_dump(options))
    command = ["nsenter", f"--net=/run/netns/{NETWORK_NAMESPACE}", shutil.which("docker-registry") or "", "serve", file]
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def _claim(stage: Stage, directory: Path) -> Iterator[None]:
    """The claim `later` over a directory with the weights."""
    shutil.copy(ROOT / "examples/digits/weights.npz", directory)
    for folder in (directory, *list(directory.parents)[:3]):
        folder.chmod(0o755)
    name = f"{stage.namespace}-later"
    common: Body = {"accessModes": ["ReadOnlyMany"], "storageClassName": "by-hand"}
    stage.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {**common, "capacity": {"storage": "1Gi"}, "hostPath": {"path": str(directory)}},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "later"},
            "spec": {**common, "resources": {"requests": {"storage": "1Gi"}}, "volumeName": name},
        },
    )
    yield
    stage.kubectl.delete("persistentvolume", name)


@EACH
def test_it_says_what_it_waits_for_and_marks_nothing(stages: Stages, waiting: None, case: Case) -> None:
    stage = stages.of(case)
    for kind in case.tellers:
        body = stage.watched.live(kind, case.name)
        assert condition(body) == (case.status, case.reason), stage.story(case.name)
        summary = "Stalled" if case.reason in ("EnvironmentNotReady", "ServiceNotOwned") else "Reconciling"
        assert condition(body, summary) == ("True", case.reason), stage.story(case.name)
    assert stage.failures(case.name) == {}
    if case.served:
        assert stage.serving(case.name) == f"{case.name}-1"
        assert condition(stage.watched.live("Model", case.name), "Available")[0] == "True"


@EACH
def test_it_goes_on_by_itself_when_the_cause_is_gone(stages: Stages, mended: dict[str, int], case: Case) -> None:
    stage = stages.of(case)
    serving = stage.until_serves(case.name, STEADY_SECONDS)
    image = stage.watched.live("ModelVersion", serving)["spec"]["adapter"]["image"]
    assert image.endswith(":v1" if case.name == "version" else ":v2")
    for kind in KINDS:
        if before := mended[f"{case.name} {kind}"]:
            assert _generation(stages, case, kind) == before, "nobody had to edit it"
    if "AdapterUpgrade" in case.tellers:
        stage.until_ready("AdapterUpgrade", case.name, "True", "UpgradeSucceeded")
    failed = [
        seen.body["status"]["failure"]
        for states in stage.watched.all("ModelVersion")
        for seen in states
        if seen.body["spec"]["modelRef"]["name"] == case.name and seen.body.get("status", {}).get("failure")
    ]
    assert failed == []
