"""Processes that outlive the command that started them, each stopped by an identity that cannot be recycled."""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from localcluster.settings import ClusterError, Settings

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MARK = "LOCALCLUSTER_RUN"


def _started_at(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot: with the process id and the boot id its identity."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    after_name = stat.rpartition(")")[2].split()
    return None if after_name[0] == "Z" else after_name[19]


class Process:
    """One named process of the cluster and the file that holds its identity."""

    def __init__(self, at: Settings, name: str) -> None:
        self.name = name
        self.log = at.logs / f"{name}.log"
        self._file = at.run / f"{name}.pid"

    def start(self, command: Sequence[str | Path], *, network_namespace: str | None = None, path: str = "") -> None:
        """Start it unless it runs already. `network_namespace` needs root."""
        if self.pid() is not None:
            return
        # Not `ip netns exec`: that mounts a new /sys, which hides the cgroups from kubelet and containerd.
        prefix = ["nsenter", f"--net=/run/netns/{network_namespace}"] if network_namespace else []
        environment = {**os.environ, _MARK: str(self._file.parent)}
        if path:
            environment["PATH"] = f"{path}:{os.environ['PATH']}"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*prefix, *map(str, command)],
                cwd=self._file.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        identity = {"pid": process.pid, "started": _started_at(process.pid), "boot": _BOOT_ID.read_text().strip()}
        self._file.write_text(json.dumps(identity))

    def pid(self) -> int | None:
        """Its process id, while that id still belongs to the process that was started."""
        try:
            identity = json.loads(self._file.read_text())
            pid = int(identity["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        same_boot = identity["boot"] == _BOOT_ID.read_text().strip()
        return pid if same_boot and _started_at(pid) == identity["started"] else None

    def stop(self, seconds: float = 5) -> bool:
        """End it now; True when it ran. Nothing here needs a farewell: the state of a local cluster is thrown away."""
        pid = self.pid()
        stopped = pid is not None and kill([pid], seconds, still_ours=lambda found: found == self.pid())
        self._file.unlink(missing_ok=True)
        return stopped

    def tail(self, lines: int = 15) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return "(no log)"


def kill(pids: Iterable[int], seconds: float, still_ours: Callable[[int], bool] = lambda _: True) -> bool:
    """SIGKILL through pidfds, so that an id recycled meanwhile is not hit, and wait until they are gone."""
    descriptors = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            descriptors.append(descriptor)
            if still_ours(pid):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    deadline = time.monotonic() + seconds
    try:
        for descriptor in descriptors:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise ClusterError(
                    f"a process did not end within {seconds:g} s of SIGKILL: look for state D in `ps axl`"
                )
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return bool(descriptors)


def marked(at: Settings) -> list[int]:
    """Processes started for this run, one whose starter was killed before it wrote the process id included."""
    mark = f"{_MARK}={at.run}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def in_network_namespaces(namespaces: Iterable[Path]) -> list[int]:
    """Every process inside one of these network namespaces: the node's daemons and all its containers."""
    wanted = set()
    for namespace in namespaces:
        with contextlib.suppress(OSError):
            wanted.add(namespace.stat().st_ino)
    wanted.discard(Path("/proc/self/ns/net").stat().st_ino)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "ns/net").stat().st_ino in wanted:
                    found.append(int(entry.name))
    return found


def run(
    command: Sequence[str | Path],
    *,
    seconds: float = 60,
    check: bool = True,
    text: str = "",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Output of a short command that reads `text`. Raises ClusterError with what it printed when it fails."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, input=text, capture_output=True, text=True, timeout=seconds, check=False, cwd=cwd, env=env
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{' '.join(words)}` did not end within {seconds:g} s") from error
    if check and done.returncode != 0:
        raise ClusterError(f"`{' '.join(words)}` failed ({done.returncode}): {(done.stderr or done.stdout).strip()}")
    return done.stdout
