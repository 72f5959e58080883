"""A namespace under Pod Security `restricted`, kubectl and an operator for each test, on the cluster of KUBECONFIG."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.live import ROOT, Kubectl, Operator
from support.once import once

StartOperator = Callable[..., Operator]
LONGEST = ("test_waits.py", "test_crash.py", "test_orders.py")
"""Files that begin first: the end is no wait for one of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def crds(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The CRDs of this work tree, installed."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG is not set: `make test-cluster` starts a cluster and sets it")
    once(tmp_path_factory, "crds", _install)


def _install() -> None:
    kubectl = Kubectl()
    folder = f"--filename={ROOT / 'crds'}"
    kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=topgraft-tests", folder)
    kubectl("wait", "--for=condition=Established", "--timeout=30s", folder)


@pytest.fixture
def namespace(crds: None) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "topgraft.dev/test": "true"}
    kubectl = Kubectl()
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield name
    kubectl.delete("namespace", name)


@pytest.fixture
def kubectl(namespace: str) -> Kubectl:
    return Kubectl(namespace)


@pytest.fixture
def start_operator(namespace: str, tmp_path: Path) -> Iterator[StartOperator]:
    """Start operators in the test's namespace: `start_operator("--workers", "1", name="second")`."""
    started: list[Operator] = []

    def start(*options: str, name: str = "operator", seconds: float = 30) -> Operator:
        operator = Operator(namespace, tmp_path / f"{name}.log", *options, name=name)
        started.append(operator)
        return operator.start(seconds)

    yield start
    for operator in started:
        operator.stop()


@pytest.fixture
def operator(start_operator: StartOperator) -> Operator:
    """One operator, ready."""
    return start_operator()


@pytest.fixture
def claim(kubectl: Kubectl, namespace: str, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Make a PersistentVolumeClaim over a directory of this machine: `claim("weights")`; returns the directory.

    Only where node and tests share a file system, as on the local cluster, which has no provisioner.
    """
    volumes: list[str] = []

    def make(name: str, mode: str = "ReadWriteMany", size: str = "1Gi") -> Path:
        directory = tmp_path / name
        directory.mkdir()
        for folder in (directory, *list(directory.parents)[:3]):
            folder.chmod(0o755)
        volume = f"{namespace}-{name}"
        volumes.append(volume)
        common: dict[str, Any] = {"accessModes": [mode], "storageClassName": "by-hand"}
        kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": volume},
                "spec": {**common, "capacity": {"storage": size}, "hostPath": {"path": str(directory)}},
            },
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name},
                "spec": {**common, "resources": {"requests": {"storage": size}}, "volumeName": volume},
            },
        )
        return directory

    yield make
    for volume in volumes:
        kubectl.delete("persistentvolume", volume)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    """With a failed test, what the cluster looked like: afterwards the namespace is gone."""
    report = yield
    namespace = getattr(item, "funcargs", {}).get("namespace")
    if report.when == "call" and report.failed and namespace:
        kubectl = Kubectl(namespace)
        kinds = "models,modelversions,adapterupgrades,deployments,pods,services,endpointslices"
        report.sections.append(("objects", kubectl("get", kinds, "--output=wide", check=False)))
        report.sections.append(("events", kubectl("get", "events", "--sort-by=.lastTimestamp", check=False)[-6000:]))
        for log in sorted(item.funcargs["tmp_path"].glob("*.log")) if "tmp_path" in item.funcargs else []:
            report.sections.append((log.name, log.read_text(errors="replace")[-6000:]))
    return report
