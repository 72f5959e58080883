"""A live cluster and an operator process of the test's own. Everything that waits has a limit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from support.objects import Objects
from support.ports import free_port

Body = dict[str, Any]
T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
REGISTRY = os.environ.get("TOPGRAFT_REGISTRY", "registry.local")
OPERATOR_IMAGE = os.environ.get("TOPGRAFT_IMAGE", f"{REGISTRY}/topgraft:dev")


def wait_until(probe: Callable[[], T], seconds: float, what: str, every: float = 0.1) -> T:
    """The first true answer of `probe`. Raises with `what` was missing and the last answer."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}; last seen: {answer!r}")
        time.sleep(every)
    return answer


class Kubectl:
    """kubectl in one namespace, each call with a time limit. `check=False` returns what it printed, error or not.

    What has a method here goes to the API server without it: to start a program for each try costs a fifth of a second.
    """

    def __init__(self, namespace: str = "") -> None:
        self.namespace = namespace
        self._objects = Objects(namespace)
        self.command = [os.environ.get("KUBECTL", "kubectl"), "--request-timeout=20s"]
        self.command += ["--namespace", namespace] if namespace else []

    def __call__(self, *arguments: str, body: object = None, check: bool = True, seconds: float = 60) -> str:
        text = None if body is None else json.dumps(body)
        done = subprocess.run(
            [*self.command, *arguments], input=text, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr.strip()}"
        return done.stdout if check else done.stdout + done.stderr

    def apply(self, *bodies: Body) -> None:
        """Server-side apply as the user who owns the objects."""
        for body in bodies:
            self._objects.apply(body)

    def get(self, kind: str, name: str) -> Body:
        """The live object; empty when there is none."""
        return self._objects.get(kind, name)

    def delete(self, kind: str, name: str) -> None:
        """Ask for its deletion, and do not wait."""
        self._objects.delete(kind, name)

    def list(self, kind: str, selector: str = "") -> list[Body]:
        return self._objects.list(kind, selector)

    def condition(self, kind: str, name: str, condition: str) -> Body:
        """The condition of that type; empty when the object or the condition is missing."""
        found = self.get(kind, name).get("status", {}).get("conditions", [])
        return next((item for item in found if item["type"] == condition), {})


class Operator:
    """The operator as a local process that watches one namespace, so that a test can kill, stop and start it."""

    def __init__(
        self, namespace: str, log: Path, *options: str, name: str = "operator", kubeconfig: Path | None = None
    ) -> None:
        self.log = log
        self.port = free_port()
        scope = ["--namespace", namespace, "--lease-namespace", namespace, "--image", OPERATOR_IMAGE]
        serve = ["--host", "127.0.0.1", "--port", str(self.port), "--log-format", "text"]
        self._command = [sys.executable, "-m", "topgraft.cli", "operator", *scope, *serve, *options]
        # The name stays over restarts, as a container's does: the same operator takes its own Lease at once.
        self._environment = {**os.environ, "POD_NAME": name, "POD_NAMESPACE": namespace}
        if kubeconfig is not None:
            self._environment["KUBECONFIG"] = str(kubeconfig)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = 90) -> Operator:
        """Start it and wait until it is ready; with seconds=0 do not wait."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        if seconds:
            try:
                wait_until(self._ready_or_dead, seconds, "the operator is ready")
            except AssertionError as error:
                # The caller has nothing yet that it could stop.
                self.stop()
                raise AssertionError(f"{error}\n{self.tail()}") from None
        return self

    def ready(self) -> bool:
        with contextlib.suppress(urllib.error.URLError, OSError):
            return bool(urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2).status == 200)
        return False

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, as a node that dies would."""
        self._signal(signal.SIGKILL)
        self.wait(10)

    def pause(self) -> None:
        """SIGSTOP: it does nothing, and does not know it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def wait(self, seconds: float) -> int:
        """The exit status, once it has ended."""
        assert self._process is not None
        return self._process.wait(seconds)

    def stop(self) -> None:
        """End it in peace; by force when it does not within 10 s."""
        if self.running():
            self.resume()
            self._signal(signal.SIGTERM)
            try:
                self.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def tail(self, lines: int = 30) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _ready_or_dead(self) -> bool:
        assert self.running(), f"the operator ended with {self.wait(1)}:\n{self.tail()}"
        return self.ready()

    def _signal(self, number: signal.Signals) -> None:
        if self.running():
            assert self._process is not None
            self._process.send_signal(number)
