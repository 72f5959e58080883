"""`topgraft-adapter test`: what a cluster will ask of this adapter, asked of a server process on loopback."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from topgraft_adapter.contract import find_contract
from topgraft_adapter.errors import FatalError, describe
from topgraft_adapter.preflight import preflight, read_sample, zeros

TEST_FAILED = 5
_START_SECONDS = 300
_END_SECONDS = 40
_MODEL = "test"


class Failure(Exception):
    """One check that did not hold."""


def run(sample: Path | None) -> int:
    """Print a line per check; 0 when all hold, else 5. Raises FatalError where nothing can be tested."""
    contract = find_contract()
    body = read_sample(sample) if sample else {"input": zeros(contract.api[0])}
    print(f"ok    {contract.module}:{contract.class_name} keeps the contract")
    found = preflight(sample)
    print(f"ok    load() and one answer: {found['loadSeconds']} s, {found['answerSeconds']} s")
    failed = 0
    with _serving() as ask:
        for name, check in _CHECKS.items():
            try:
                check(ask, body)
            except (Failure, OSError, ValueError, http.client.HTTPException) as error:
                failed += 1
                print(f"FAIL  {name}: {describe(error)}")
            else:
                print(f"ok    {name}")
    return TEST_FAILED if failed else 0


Ask = Callable[..., tuple[int, Any]]


@contextmanager
def _serving() -> Iterator[Ask]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        environment = {"TOPGRAFT_MODEL": _MODEL, "TOPGRAFT_VERSION": "test-1", **os.environ, "TOPGRAFT_PORT": str(port)}
        environment |= {"TOPGRAFT_MODEL": _MODEL, "TOPGRAFT_TERMINATION_LOG": str(Path(directory) / "reason")}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "topgraft_adapter", "serve", "--host", "127.0.0.1"],
                env=environment,
                stdout=output,
                stderr=output,
            )
        try:
            _wait(port, process, log)
            yield lambda method, path, value=None: _ask(port, method, path, value)
            _end(process)
        finally:
            process.kill()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            if _ask(port, "GET", "/v2/health/ready")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise FatalError("TestFailed", f"the server did not become ready: {log.read_text()[-800:]}", TEST_FAILED)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        code = -1
    if code:
        raise FatalError("TestFailed", f"after SIGTERM the server ended with {code}, not 0.", TEST_FAILED)
    print("ok    drains and ends after SIGTERM")


def _ask(port: int, method: str, path: str, value: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        body = value if value is None or isinstance(value, bytes) else json.dumps(value)
        connection.request(method, path, body, {"Connection": "close"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise Failure(what)


def _metadata(ask: Ask, _body: Any) -> None:
    code, said = ask("GET", f"/v2/models/{_MODEL}")
    _must(code == 200 and bool(said["inputs"]) and bool(said["outputs"]), f"{code} {said}")


def _transform(ask: Ask, body: Any) -> None:
    code, said = ask("POST", "/transformJson", body)
    _must(code == 200 and "output" in said, f"{code} {said}")


def _bad_request(ask: Ask, _body: Any) -> None:
    code, said = ask("POST", f"/v2/models/{_MODEL}/infer", b"{")
    _must(code == 400 and list(said) == ["error"], f"{code} {said}")
    code, said = ask("POST", "/transformJson", {"input": {"no_such_input": 1}})
    _must(code == 400 and said["errorName"] == "InferenceInvalidInput", f"{code} {said}")


def _lives_on(ask: Ask, body: Any) -> None:
    _transform(ask, body)
    _must(ask("GET", "/v2/health/ready")[0] == 200, "no longer ready after bad requests")


_CHECKS: dict[str, Callable[[Ask, Any], None]] = {
    "tells its inputs and outputs": _metadata,
    "answers the sample": _transform,
    "refuses bad requests": _bad_request,
    "lives on after them": _lives_on,
}
