"""Run tiers of checks on one cluster: `python hack/check.py lint unit api cluster`.

Lint and unit tests run beside the build and start of the cluster; what times real processes has the machine for itself.
A cluster that did not run before is stopped at the end, whatever happened; one that ran is used and left alone.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cluster
import images
from localcluster.settings import ClusterError

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
_NO_TESTS = 5  # pytest's exit status when it collects none
_SOURCE = {
    "ruff check": ("ruff", "check", "--quiet", "."),
    "ruff format": ("ruff", "format", "--quiet", "--check", "."),
    "mypy operator": ("mypy", "--strict"),
    "mypy sdk": ("mypy", "--strict", "--config-file", "sdk/pyproject.toml", "sdk/topgraft_adapter"),
    "mypy hack": ("mypy", "--strict", "hack/check.py", "hack/demo.py"),
    "lint-imports": ("lint-imports",),
}
_GENERATED = {
    "crds current": ("python", "hack/crds.py", "--check"),
    "manifests current": ("python", "hack/manifests.py", "--check"),
}


@dataclass(frozen=True)
class Suite:
    """pytest in one folder: the seconds that one test may take, further options, and the marks that it selects."""

    folder: str
    seconds: int
    options: tuple[str, ...]
    marks: str = ""

    @property
    def name(self) -> str:
        return f"{self.folder} ({self.marks})" if self.marks else self.folder

    def command(self, full: bool) -> list[str]:
        marks = " and ".join(part for part in (self.marks, "" if full else "not full") if part)
        pytest = [str(BIN / "python"), "-m", "pytest", self.folder, f"--timeout={self.seconds}", "--durations=5"]
        return [*pytest, *self.options, "-m", marks]


_STEAL = "--dist=worksteal"
# Real processes, sockets and timers, on a machine that others may share: what fails is run once more and named as a
# rerun in the closing lines; what fails twice fails.
_TWICE = "--reruns=1"
_UNIT = (
    Suite("tests/unit", 600, ("-q", "-n2", _STEAL)),
    Suite("sdk/tests", 120, ("-q", "-n3", _STEAL, "-pno:asyncio", _TWICE)),
    Suite("examples", 120, ("-q",)),
)
_API = (Suite("tests/api", 120, ("-q", "-n4", _STEAL, _TWICE)),)
# The tests of one file share an operator and mostly wait for pods: so the files go side by side.
_CLUSTER = (
    Suite("tests/cluster", 600, ("-v", "-n4", "--dist=loadfile", "--no-loadscope-reorder", _TWICE), "not alone"),
    Suite("tests/cluster", 600, ("-v", _TWICE), "alone"),
)


class Report:
    """What each part ended with, to be said again in the last lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.failed = False

    def add(self, name: str, seconds: float, ok: bool, what: str) -> None:
        self.failed |= not ok
        self.lines.append(f"{'ok  ' if ok else 'FAIL'} {name:26}{seconds:7.1f} s  {what}")

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A step that ends with a ClusterError when it fails."""
        began = time.monotonic()
        try:
            yield
        except ClusterError as error:
            self.add(name, time.monotonic() - began, False, str(error))
            raise
        self.add(name, time.monotonic() - began, True, "")


class Programs:
    """The programs that run for us. Leaving ends them, so that a stop from outside leaves nothing behind."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self.over = False

    def run(self, command: Sequence[str | Path], environment: Mapping[str, str], line: Callable[[str], None]) -> int:
        """Its exit status; `line` is given what it prints, as it comes."""
        with self._lock:
            if self.over:
                return -signal.SIGINT
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            self._running.add(process)
        assert process.stdout is not None
        for text in process.stdout:
            line(text)
        status = process.wait()
        self._running.discard(process)
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.over = True
        left = list(self._running)
        for process in left:
            process.send_signal(signal.SIGINT)  # only then pytest takes down what its fixtures started
        for process in left:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def lint(report: Report, programs: Programs, commands: Mapping[str, Sequence[str]]) -> None:
    """Style, types, layers and generated files; all of them, so that one run names everything to mend."""
    environment = {**os.environ, "MYPYPATH": "hack"}
    for name, command in commands.items():
        began, said = time.monotonic(), list[str]()
        status = programs.run([BIN / command[0], *command[1:]], environment, said.append)
        if programs.over:
            return
        if status:
            print(f"\n== {name}\n{''.join(said)}", flush=True)
        report.add(name, time.monotonic() - began, status == 0, "")


def tests(report: Report, programs: Programs, suites: Iterable[Suite], full: bool) -> None:
    """pytest in each folder, its output as it comes."""
    environment = dict(os.environ)
    for suite in suites:
        print(f"\n== {suite.name}", flush=True)
        began, last = time.monotonic(), ""

        def show(line: str) -> None:
            nonlocal last
            print(line, end="", flush=True)
            last = line.strip() or last

        status = programs.run(suite.command(full), environment, show)
        if programs.over:
            return
        report.add(suite.name, time.monotonic() - began, status in {0, _NO_TESTS}, last.strip("= "))


@contextmanager
def running(report: Report, control_plane_only: bool) -> Iterator[cluster.Cluster]:
    """A cluster for the tests, with KUBECONFIG and PATH set for it."""
    target = cluster.choose()
    was_up = target.is_up()
    try:
        with report.part(f"cluster ({target.name})"):
            target.up(control_plane_only)
        os.environ["KUBECONFIG"] = str(target.kubeconfig())
        os.environ["CLUSTER"] = target.name
        yield target
    finally:
        if not was_up:
            target.down()


def check(tiers: list[str], full: bool, report: Report) -> None:
    with ThreadPoolExecutor() as threads, Programs() as programs:
        beside: list[Future[None]] = []
        if "lint" in tiers:
            beside.append(threads.submit(lint, report, programs, _SOURCE))
        needs_cluster = bool({"api", "cluster"} & set(tiers))
        with report.part("tools"):
            if needs_cluster:
                cluster.choose().build(control_plane_only="cluster" not in tiers)
            os.environ["KUBECTL"], os.environ["HELM"] = cluster.kubectl(), cluster.helm()
            os.environ["PATH"] = f"{BIN}:{Path(cluster.kubectl()).parent}:{os.environ['PATH']}"
        if "lint" in tiers:
            beside.append(threads.submit(lint, report, programs, _GENERATED))
        if "unit" in tiers:
            beside.append(threads.submit(tests, report, programs, _UNIT, full))
        if needs_cluster:
            with running(report, control_plane_only="cluster" not in tiers) as target:
                if "cluster" in tiers:
                    with report.part("images"):
                        builder = images.Builder(target)
                        for image in images.IMAGES.values():
                            builder.build(image)
                for work in beside:
                    work.result()
                if "api" in tiers:
                    tests(report, programs, _API, full)
                if "cluster" in tiers:
                    tests(report, programs, _CLUSTER, full)
        for work in beside:
            work.result()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tier", nargs="+", choices=["lint", "unit", "api", "cluster"])
    parser.add_argument("--full", action="store_true", help="the long matrices too")
    arguments = parser.parse_args()
    report = Report()
    began = time.monotonic()
    # A stop from outside must still stop the cluster that was started here.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        check(arguments.tier, arguments.full, report)
    except ClusterError as error:
        print(f"check: {error}", file=sys.stderr)
        report.failed = True
    print("\n" + "\n".join(report.lines))
    print(f"{'FAILED' if report.failed else 'passed'} in {time.monotonic() - began:.0f} s", flush=True)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
