"""pytest runs in the environment of hack/mlflowenv.py."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from support.mlflowserver import Server
from topgraft.cluster.mlflowsync import Mlflow


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("mlflow"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def mlflow(server: Server) -> Mlflow:
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "30"
    return Mlflow(server.url)
