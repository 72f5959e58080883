"""Real server processes on loopback."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A shared machine may be slow for a moment; that is no finding.
settings.register_profile("shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-machine")

HERE = Path(__file__).parent
WAIT = 20.0


def environment(adapter: str, artifacts: Path, **more: str) -> dict[str, str]:
    """What the image and the operator set."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("TOPGRAFT_")}
    own = {
        "PYTHONPATH": str(HERE),
        "TOPGRAFT_ADAPTER": adapter,
        "TOPGRAFT_ARTIFACT_DIR": str(artifacts),
        "TOPGRAFT_MODEL": "scale",
        "TOPGRAFT_VERSION": "scale-1",
        "TOPGRAFT_TERMINATION_LOG": str(artifacts.parent / "termination-log"),
    }
    return {**given, **own, **more}


def command(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("topgraft-adapter")), *arguments]


class Server:
    """One `topgraft-adapter serve`."""

    def __init__(self, adapter: str, artifacts: Path, *, program: str | None = None, **more: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.log_path = artifacts.parent / f"log-{self.port}"
        self.termination_log = artifacts.parent / "termination-log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command("serve", "--host", "127.0.0.1") if program is None else [sys.executable, "-c", program],
                env=environment(adapter, artifacts, **{"TOPGRAFT_PORT": str(self.port), **more}),
                stdout=log,
                stderr=log,
            )

    def connect(self, timeout: float = 10) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method: str, path: str, body: object = None, timeout: float = 10) -> tuple[int, Any]:
        """Status and decoded answer of one request on its own connection; bytes go out as they are."""
        connection = self.connect(timeout)
        try:
            content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, content, {"Connection": "close"})
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text) if text else None
        finally:
            connection.close()

    def text(self, path: str) -> str:
        """What a GET answers, as text."""
        connection = self.connect()
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def infer(self, *rows: list[float], **more: Any) -> tuple[int, Any]:
        return self.ask("POST", "/v2/models/scale/infer", {"inputs": [tensor(*rows)], **more})

    def wait(self, path: str = "/v2/health/ready", status: int = 200) -> None:
        """Until the path answers with the status."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log_path.read_text()
            try:
                if self.ask("GET", path)[0] == status:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"{path} did not answer {status}: {self.log_path.read_text()}")

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        return self.process.wait(WAIT + 10)

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def result(self) -> dict[str, Any]:
        return json.loads(self.termination_log.read_text())


def tensor(*rows: list[float]) -> dict[str, Any]:
    return {"name": "x", "shape": [len(rows), 4], "datatype": "FP32", "data": list(rows)}


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_artifacts(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    return make_artifacts(tmp_path)


def make_artifacts(directory: Path) -> Path:
    path = directory / "artifacts"
    path.mkdir()
    (path / "factor").write_text("2")
    return path


@pytest.fixture
def start(artifacts: Path) -> Iterator[Callable[..., Server]]:
    """Start a server that ends with the test."""
    started: list[Server] = []

    def start_one(adapter: str, **more: Any) -> Server:
        started.append(Server(f"adapters:{adapter}", artifacts, **more))
        return started[-1]

    yield start_one
    for server in started:
        server.process.kill()
        server.process.wait(WAIT)


@pytest.fixture(scope="session")
def scale(shared: Path) -> Iterator[Server]:
    """One server of Scale for all tests that leave it as it was."""
    server = Server("adapters:Scale", shared)
    server.wait()
    yield server
    server.process.kill()
    server.process.wait(WAIT)
