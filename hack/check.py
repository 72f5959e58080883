"""Run tiers of checks one after the other, on one cluster: `python hack/check.py lint unit api cluster`.

A cluster that did not run before is stopped at the end, whatever happened; one that ran is used and left alone.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cluster
import images
from localcluster.settings import ClusterError

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
_NO_TESTS = 5  # pytest's exit status when it collects none
_LINT = {
    "ruff check": ["ruff", "check", "--quiet", "."],
    "ruff format": ["ruff", "format", "--quiet", "--check", "."],
    "mypy operator": ["mypy", "--strict"],
    "mypy sdk": ["mypy", "--strict", "--config-file", "sdk/pyproject.toml", "sdk/topgraft_adapter"],
    "mypy hack": ["mypy", "--strict", "hack/check.py", "hack/demo.py"],
    "lint-imports": ["lint-imports"],
    "crds current": ["python", "hack/crds.py", "--check"],
    "manifests current": ["python", "hack/manifests.py", "--check"],
}
# folder, seconds that one test may take, further options
# Real processes, sockets and timers, on a machine that others may share: what fails is run once more and named as a
# rerun in the closing lines; what fails twice fails.
_TWICE = ["--reruns=1"]
_UNIT = (
    ("tests/unit", 600, ["-q", "-n2"]),
    ("sdk/tests", 120, ["-q", "-n2", "-pno:asyncio", *_TWICE]),
    ("examples", 120, ["-q"]),
)
_API = (("tests/api", 120, ["-q", *_TWICE]),)
_CLUSTER = (("tests/cluster", 600, ["-v", *_TWICE]),)


class Report:
    """What each part ended with, to be said again in the last lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.failed = False

    def add(self, name: str, seconds: float, ok: bool, what: str) -> None:
        self.failed |= not ok
        self.lines.append(f"{'ok  ' if ok else 'FAIL'} {name:18}{seconds:7.1f} s  {what}")

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


def lint(report: Report) -> None:
    """Style, types, layers and generated files; all of them, so that one run names everything to mend."""
    for name, command in _LINT.items():
        began = time.monotonic()
        done = subprocess.run(
            [BIN / command[0], *command[1:]],
            cwd=ROOT,
            env={**os.environ, "MYPYPATH": "hack"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if done.returncode:
            print(done.stdout + done.stderr, flush=True)
        report.add(name, time.monotonic() - began, done.returncode == 0, "")


def tests(report: Report, folders: Iterable[tuple[str, int, list[str]]], full: bool) -> None:
    """pytest in each folder, its output as it comes."""
    for folder, seconds, options in folders:
        print(f"\n== {folder}", flush=True)
        began = time.monotonic()
        command = [str(BIN / "python"), "-m", "pytest", folder, f"--timeout={seconds}", "--durations=5", *options]
        command += ["-m", ""] if full else []
        code, last = _show(command)
        report.add(folder, time.monotonic() - began, code in {0, _NO_TESTS}, last)


def _show(command: list[str]) -> tuple[int, str]:
    """Run it, its output shown; returns the exit status and the last line."""
    last = ""
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
        return process.wait(), last.strip("= ")
    finally:
        if process.poll() is None:  # we are told to stop: pytest takes down what its fixtures started only on SIGINT
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


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
    steps: dict[str, Callable[[], None]] = {
        "lint": lambda: lint(report),
        "unit": lambda: tests(report, _UNIT, full),
        "api": lambda: tests(report, _API, full),
    }
    with report.part("tools"):
        os.environ["KUBECTL"], os.environ["HELM"] = cluster.kubectl(), cluster.helm()
        os.environ["PATH"] = f"{BIN}:{Path(cluster.kubectl()).parent}:{os.environ['PATH']}"
    for tier in ("lint", "unit"):
        if tier in tiers:
            steps[tier]()
    if not {"api", "cluster"} & set(tiers):
        return
    with running(report, control_plane_only="cluster" not in tiers) as target:
        if "api" in tiers:
            steps["api"]()
        if "cluster" in tiers:
            with report.part("images"):
                builder = images.Builder(target)
                for image in images.IMAGES.values():
                    builder.build(image)
            tests(report, _CLUSTER, full)


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
