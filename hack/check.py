"""Run tiers of checks on one cluster: `python hack/check.py lint unit heads api cluster`.

What only computes (lint, pure tests) runs beside all else and gives way to it; what counts or times requests has the
machine for itself.
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cluster
import heads
import images
import mlflowenv
from localcluster import tools
from localcluster.settings import ClusterError, settings

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
# pytest's exit statuses
_FAILED = 1
_NO_TESTS = 5
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
_PROGRAMS = {"lint": {"helm"}, "unit": {"helm", "kubectl"}, "api": {"kubectl"}, "cluster": {"kubectl"}}
"""What a tier runs that is no Python: to build it takes Go and minutes, so only who needs it waits."""


@dataclass(frozen=True)
class Suite:
    """pytest in one folder.

    `seconds`: the most that a test may take. `parallel`: how tests go side by side. `marks`: those that it selects.
    `twice`: it has real processes, sockets and timers, on a machine that others may share: what fails is run once more,
    one after the other with fresh fixtures, and named in the closing lines; what fails again fails. `niceness`: as of
    nice(1), for what does not mind to wait.
    """

    folder: str
    seconds: int
    parallel: tuple[str, ...] = ()
    options: tuple[str, ...] = ("-q",)
    marks: str = ""
    twice: bool = False
    niceness: int = 0

    @property
    def name(self) -> str:
        return f"{self.folder} ({self.marks})" if self.marks else self.folder

    def command(self, full: bool, again: bool = False) -> list[str]:
        pytest = [str(BIN / "python"), "-m", "pytest", self.folder, f"--timeout={self.seconds}", "--durations=5"]
        # A record of its own: pytest by hand, at the same time, must not change what failed here.
        pytest.append(f"--override-ini=cache_dir={ROOT / '.pytest_cache' / 'check' / self.name}")
        how = ("--last-failed", "--last-failed-no-failures=none", "--exitfirst") if again else self.parallel
        return [*pytest, *self.options, *how, *self._selection(full)]

    def _selection(self, full: bool) -> tuple[str, ...]:
        """None of ours where the folder's own settings are right: the SDK's do not even know our marks."""
        if not self.marks:
            return ("-m", "") if full else ()
        return ("-m", self.marks if full else f"{self.marks} and not full")


_STEAL = "--dist=worksteal"
# What only computes fills the time in which the tests with a cluster wait for it. Not with less weight than this: a
# pure test, too, may have a limit of seconds for a process of its own.
_NICENESS = 5
_UNIT = (Suite("tests/unit", 900, ("-n2", _STEAL), niceness=_NICENESS), Suite("examples", 120, niceness=_NICENESS))
_SDK = (Suite("sdk/tests", 120, ("-n3", _STEAL), ("-q", "-pno:asyncio"), twice=True),)
_API = (Suite("tests/api", 120, ("-n4", _STEAL), twice=True),)
# The tests of one file share an operator and mostly wait for pods: so the files go side by side. More than three at a
# time are not done sooner on two processors, and run into their limits.
_FILES = ("-n3", "--dist=loadfile", "--no-loadscope-reorder")
_CLUSTER = (Suite("tests/cluster", 600, _FILES, ("-v",), "not alone", twice=True),)
_ALONE = (Suite("tests/cluster", 600, (), ("-v",), "alone", twice=True),)


class Clock:
    """What a part costs: the time that passes from now on, and the processors'.

    `used`: CPU seconds of its programs and theirs, but not of a cluster that works for them. How busy all processors
    were meanwhile, with whatever, tells whether less waiting would make the part shorter, or only less work.
    """

    def __init__(self) -> None:
        self.used = 0.0
        self._began = time.monotonic()
        self._machine = _machine()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def __str__(self) -> str:
        busy, idle = (now - then for now, then in zip(_machine(), self._machine, strict=True))
        share = f"{100 * busy / (busy + idle):5.0f} %" if busy + idle else ""
        return f"{self.seconds:7.1f} s{self.used:7.1f} s{share}"


def _machine() -> tuple[float, float]:
    """(busy, idle) of all processors since the machine started; zeros where Linux does not tell."""
    try:
        times = [float(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return 0.0, 0.0
    idle = times[3] + times[4]
    return sum(times) - idle, idle


class Report:
    """What each part ended with, to be said again in the last lines."""

    def __init__(self) -> None:
        self.lines = [f"{'':30}{'time':>9}{'CPU':>9}{'busy':>7}"]
        self.failed = False

    def add(self, name: str, clock: Clock, ok: bool, what: str = "") -> None:
        self.failed |= not ok
        self.lines.append(f"{'ok  ' if ok else 'FAIL'} {name:25}{clock}  {what}".rstrip())

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A step that ends with a ClusterError when it fails."""
        clock = Clock()
        try:
            yield
        except ClusterError as error:
            self.add(name, clock, False, str(error))
            raise
        self.add(name, clock, True)


class Programs:
    """The programs that run for us. Leaving ends them, so that a stop from outside leaves nothing behind."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self.over = False

    def run(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        line: Callable[[str], None],
        clock: Clock,
        niceness: int = 0,
    ) -> int:
        """Its exit status; `line` is given what it prints, as it comes, and `clock` what it used."""
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
        if niceness:
            _give_way(process.pid, niceness)
        assert process.stdout is not None
        for text in process.stdout:
            line(text)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except ChildProcessError:
            return process.wait()  # ended by `__exit__`
        process.returncode = os.waitstatus_to_exitcode(status)
        clock.used += usage.ru_utime + usage.ru_stime
        self._running.discard(process)
        return process.returncode

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


def _give_way(session: int, niceness: int) -> None:
    """Linux weighs a process among those of its session alone, and the session by a niceness of its own."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, session, niceness)
        Path(f"/proc/{session}/autogroup").write_text(str(niceness))


def lint(report: Report, programs: Programs, commands: Mapping[str, Sequence[str]]) -> None:
    """Style, types, layers and generated files; all of them, so that one run names everything to mend."""
    environment = {**os.environ, "MYPYPATH": "hack"}
    for name, command in commands.items():
        clock, said = Clock(), list[str]()
        status = programs.run([BIN / command[0], *command[1:]], environment, said.append, clock)
        if programs.over:
            return
        if status:
            print(f"\n== {name}\n{''.join(said)}", flush=True)
        report.add(name, clock, status == 0)


def tests(report: Report, programs: Programs, suites: Iterable[Suite], full: bool) -> None:
    """pytest in each folder, its output as it comes."""
    environment = {**({"PROPERTY_EXAMPLES": "500"} if full else {}), **os.environ}
    for suite in suites:
        print(f"\n== {suite.name}", flush=True)
        clock = Clock()
        status, told = _show(programs, suite.command(full), environment, clock, suite.niceness)
        ok = status in {0, _NO_TESTS}
        if status == _FAILED and suite.twice:
            print(f"\n== {suite.name}: what failed, once more", flush=True)
            status, again = _show(programs, suite.command(full, again=True), environment, clock)
            ok, told = status == 0, f"{told}; once more: {again}"
        if programs.over:
            return
        report.add(suite.name, clock, ok, told)


def transformers(report: Report, programs: Programs) -> None:
    """The tests of sdk/transformers, in the environment that has torch."""
    with report.part("environment with torch"):
        python = heads.python()
    print("\n== sdk/transformers", flush=True)
    clock, options = Clock(), ("-q", "--timeout=120", "--durations=5", "-pno:cacheprovider")
    command = [str(python), "-m", "pytest", *options, f"--rootdir={heads.HERE}", str(heads.HERE / "tests")]
    status, told = _show(programs, command, {**os.environ, **heads.environment()}, clock, _NICENESS)
    report.add("sdk/transformers", clock, status == 0, told)
    clock, settings = Clock(), f"--config-file={heads.HERE / 'pyproject.toml'}"
    command = [str(python), "-m", "mypy", "--strict", settings, *map(str, heads.SOURCES)]
    status, told = _show(programs, command, {**os.environ, **heads.environment()}, clock, _NICENESS)
    report.add("mypy sdk/transformers", clock, status == 0, told)


def mlflow(report: Report, programs: Programs) -> None:
    """The mirror against a real MLflow server, in the environment that has one."""
    with report.part("environment with MLflow"):
        python = mlflowenv.python()
    print("\n== tests/mlflow", flush=True)
    clock, options = Clock(), ("-q", "--timeout=900", "--durations=5", "-pno:cacheprovider")
    environment = {**os.environ, "PYTHONPATH": mlflowenv.PYTHONPATH}
    command = [str(python), "-m", "pytest", *options, str(mlflowenv.TESTS)]
    status, told = _show(programs, command, environment, clock)
    report.add("tests/mlflow", clock, status == 0, told)


def _show(
    programs: Programs, command: Sequence[str], environment: Mapping[str, str], clock: Clock, niceness: int = 0
) -> tuple[int, str]:
    """Run it, its output shown; returns the exit status and the last line."""
    last = ""

    def show(line: str) -> None:
        nonlocal last
        print(line, end="", flush=True)
        last = line.strip() or last

    return programs.run(command, environment, show, clock, niceness), last.strip("= ")


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


def find_programs(tiers: Iterable[str]) -> None:
    """Name the programs of these tiers in the environment; what the machine lacks is built."""
    needed = {program for tier in tiers for program in _PROGRAMS.get(tier, ())}
    if "helm" in needed:
        os.environ["HELM"] = cluster.helm()
    folders = [str(BIN)]
    if "kubectl" in needed:
        os.environ["KUBECTL"] = cluster.kubectl()
        folders.append(str(Path(os.environ["KUBECTL"]).parent))
    os.environ["PATH"] = os.pathsep.join([*folders, os.environ["PATH"]])


def check(tiers: list[str], full: bool, report: Report) -> None:
    with ThreadPoolExecutor() as threads, Programs() as programs:
        beside: list[Future[None]] = []
        if "lint" in tiers:
            beside.append(threads.submit(lint, report, programs, _SOURCE))
        needs_cluster = bool({"api", "cluster"} & set(tiers))
        with report.part("tools"):
            if needs_cluster:
                cluster.choose().build(control_plane_only="cluster" not in tiers)
            if full and "cluster" in tiers and cluster.choose().name == "local":
                tools.build(settings(), ["traefik"])  # minutes, which no test's limit should hold
            find_programs(tiers)
        if "lint" in tiers:
            beside.append(threads.submit(lint, report, programs, _GENERATED))
        if "unit" in tiers:
            beside.append(threads.submit(tests, report, programs, _UNIT, full))
        if "heads" in tiers:
            beside.append(threads.submit(transformers, report, programs))
        if "mlflow" in tiers:
            beside.append(threads.submit(mlflow, report, programs))
        if not needs_cluster:
            _timed(tiers, full, report, programs)
            _ended(beside)
            return
        with running(report, control_plane_only="cluster" not in tiers) as target:
            if "cluster" in tiers:
                with report.part("images"):
                    builder = images.Builder(target)
                    for image in images.IMAGES.values():
                        if full or not image.full:
                            builder.build(image)
            _timed(tiers, full, report, programs)
            _ended(beside)
            if "cluster" in tiers:
                tests(report, programs, _ALONE, full)


def _timed(tiers: list[str], full: bool, report: Report, programs: Programs) -> None:
    """What has time limits, one suite after the other."""
    for tier, suites in (("unit", _SDK), ("api", _API), ("cluster", _CLUSTER)):
        if tier in tiers:
            tests(report, programs, suites, full)


def _ended(beside: Iterable[Future[None]]) -> None:
    for work in beside:
        work.result()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tier", nargs="+", choices=["lint", "unit", "heads", "mlflow", "api", "cluster"])
    parser.add_argument("--full", action="store_true", help="the long matrices too")
    arguments = parser.parse_args()
    report, clock = Report(), Clock()
    # A stop from outside must still stop the cluster that was started here.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        check(arguments.tier, arguments.full, report)
    except ClusterError as error:
        print(f"check: {error}", file=sys.stderr)
        report.failed = True
    print("\n" + "\n".join(report.lines))
    print(f"{'FAILED' if report.failed else 'passed'} in {clock.seconds:.0f} s", flush=True)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
