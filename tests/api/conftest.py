"""A real API server with our CRDs. KUBECONFIG names it; every test that stores objects gets a namespace of its own.

No operator may watch these namespaces meanwhile: the tests play its part.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from apiserver import CRDS, Kubectl, Objects, kind_of, messages_of, schema_of, served_by
from kubernetes import client, config
from support.once import once


@pytest.fixture(scope="session")
def api_client() -> client.ApiClient:
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG is not set: `make test-api` starts an API server and sets it")
    if shutil.which(os.environ.get("KUBECTL", "kubectl")) is None:
        pytest.fail("kubectl is not on PATH: set KUBECTL to its path")
    config.load_kube_config()  # type: ignore[no-untyped-call]
    return client.ApiClient()


@pytest.fixture(scope="session")
def crds(api_client: client.ApiClient, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The CRDs of this work tree, installed and served."""
    once(tmp_path_factory, "crds", _install)


def _install() -> None:
    kubectl = Kubectl()
    kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=topgraft-tests", f"--filename={CRDS}")
    kubectl("wait", "--for=condition=Established", "--timeout=30s", f"--filename={CRDS}")
    wanted = {kind: messages_of(schema_of(path)) for path in CRDS.glob("*.yaml") for kind in [kind_of(path)]}
    deadline = time.monotonic() + 30
    while served_by(kubectl) != wanted:
        assert time.monotonic() < deadline, "the API server does not serve the new schemas"
        time.sleep(0.2)


def make_namespace(api_client: client.ApiClient) -> Iterator[str]:
    core = client.CoreV1Api(api_client)
    made: Any = core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(generate_name="api-")))
    name: str = made.metadata.name
    yield name
    core.delete_namespace(name)


@pytest.fixture
def namespace(api_client: client.ApiClient, crds: None) -> Iterator[str]:
    yield from make_namespace(api_client)


@pytest.fixture(scope="module")
def shared_namespace(api_client: client.ApiClient, crds: None) -> Iterator[str]:
    """One namespace for tests that store nothing of their own."""
    yield from make_namespace(api_client)


@pytest.fixture
def kubectl(namespace: str) -> Kubectl:
    return Kubectl(namespace)


@pytest.fixture
def objects(api_client: client.ApiClient, namespace: str) -> Objects:
    return Objects(client.CustomObjectsApi(api_client), namespace)


@pytest.fixture(scope="module")
def shared_objects(api_client: client.ApiClient, shared_namespace: str) -> Objects:
    return Objects(client.CustomObjectsApi(api_client), shared_namespace)
