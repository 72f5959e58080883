"""The verbs of the local cluster."""

import argparse
import contextlib
import fcntl
import os
import shutil
import socket
import sys
from collections.abc import Iterator

from localcluster import control_plane, kwok, network, node, pki, registry, tools
from localcluster.processes import Process, kill, marked
from localcluster.settings import (
    API_PORT,
    ETCD_PEER_PORT,
    ETCD_PORT,
    MACHINE,
    NEEDS_ROOT,
    REGISTRY_PORT,
    ClusterError,
    Settings,
    settings,
)
from localcluster.steps import step

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
REGISTRIES = ("registry", "registry-pull")
NODE = ("containerd", "kubelet", "kube-proxy")
ALL = (*NODE, "kwok", *REGISTRIES, *reversed(CONTROL_PLANE))


def up(at: Settings, control_plane_only: bool) -> None:
    """Start what does not run. What an aborted run left behind is cleared first."""
    if not control_plane_only and os.geteuid() != 0:
        raise ClusterError(NEEDS_ROOT)
    _refuse_another_home(at)
    if os.geteuid() == 0:
        tools.ensure_packages()
    tools.build(at, tools.CONTROL_PLANE if control_plane_only else (*tools.CONTROL_PLANE, *tools.NODE))
    with step("control plane"):
        if Process(at, "kube-apiserver").pid() is None or Process(at, "etcd").pid() is None:
            clear(at)
            _refuse_taken_ports(at)
        pki.make(at)
        if os.geteuid() == 0:
            MACHINE.mkdir(mode=0o711, exist_ok=True)
            (MACHINE / "home").write_text(at.home.as_posix())
            network.up()
        control_plane.start_api(at)
        if not control_plane_only:
            registry.start(at)
        control_plane.wait_until_ready(at)
        control_plane.start_controllers(at)
    if not control_plane_only:
        registry.ensure_base(at)
        with step("node"):
            node.start(at)


def down(at: Settings) -> None:
    with step("stop the cluster"):
        clear(at)


def clear(at: Settings) -> None:
    """End every process by its identity and throw the run's state away. Safe after any abort, and twice."""
    for name in ALL:
        Process(at, name).stop()
    kill(marked(at), 10)
    if os.geteuid() == 0 and _owner() in (None, at.home.as_posix()):
        node.clear(at)
        network.down()
        shutil.rmtree(MACHINE, ignore_errors=True)
    shutil.rmtree(at.run, ignore_errors=True)


def _owner() -> str | None:
    with contextlib.suppress(OSError):
        return (MACHINE / "home").read_text()
    return None


def _refuse_another_home(at: Settings) -> None:
    if (owner := _owner()) not in (None, at.home.as_posix()):
        remedy = f"LOCALCLUSTER_HOME={owner} {sys.argv[0]} down"
        raise ClusterError(f"the cluster of {owner} has this machine's link. Remedy: {remedy}")


def _refuse_taken_ports(at: Settings) -> None:
    for port in (ETCD_PORT, ETCD_PEER_PORT, API_PORT, REGISTRY_PORT):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            raise ClusterError(
                f"port {port} is taken by another program. Remedy: end it; `ss -ltnp sport = :{port}` names it"
            )


def status(at: Settings) -> int:
    """Print each component's process id; 0 when the control plane runs."""
    for name in sorted(ALL):
        print(f"{name:26}{Process(at, name).pid() or '-'}")
    return 0 if all(Process(at, name).pid() for name in CONTROL_PLANE) else 1


def restart(at: Settings, name: str) -> None:
    """Start one component that `stop` ended, for tests of faults."""
    if name in REGISTRIES:
        registry.start(at)
    elif name in CONTROL_PLANE:
        control_plane.start_api(at)
        control_plane.wait_until_ready(at)
        control_plane.start_controllers(at)
    else:
        node.start(at)


@contextlib.contextmanager
def _one_at_a_time(at: Settings) -> Iterator[None]:
    at.home.mkdir(parents=True, exist_ok=True)
    with (at.home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("  another localcluster command runs; waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(prog="localcluster", description="A whole Kubernetes on this machine.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    build = verbs.add_parser("build", help="build the programs into the cache (about 9 min on 2 cores when cold)")
    build.add_argument("component", nargs="*", choices=[*tools.COMPONENTS, []], help="default: all that `up` needs")
    start = verbs.add_parser("up", help="start what does not run: 5 s to the API server, 5 s more to a Ready node")
    start.add_argument("--control-plane-only", action="store_true", help="API server, controllers, scheduler; no pods")
    verbs.add_parser("down", help="stop everything and throw its state away")
    verbs.add_parser("status", help="the process id of every component; fails when there is no control plane")
    verbs.add_parser("kubeconfig", help="print the path of the administrator's kubeconfig")
    for verb in ("stop", "start"):
        one = verbs.add_parser(verb, help=f"{verb} one component, for tests of faults")
        one.add_argument("name", choices=ALL)
    simulated = verbs.add_parser("kwok", help="simulated nodes whose pods become ready without being run")
    simulated.add_argument("--nodes", type=int, default=20, help="how many, 100 pods each (default: %(default)s)")
    arguments = parser.parse_args()
    at = settings()
    try:
        if arguments.verb == "kubeconfig":
            print(at.kubeconfig)
        elif arguments.verb == "status":
            return status(at)
        else:
            with _one_at_a_time(at):
                _change(at, arguments)
    except ClusterError as error:
        print(f"localcluster {arguments.verb}: {error}", file=sys.stderr)
        return 1
    return 0


def _change(at: Settings, arguments: argparse.Namespace) -> None:
    match arguments.verb:
        case "build":
            tools.build(at, arguments.component or (*tools.CONTROL_PLANE, *tools.NODE))
        case "up":
            up(at, arguments.control_plane_only)
        case "down":
            down(at)
        case "stop":
            Process(at, arguments.name).stop()
        case "start":
            restart(at, arguments.name)
        case "kwok":
            kwok.start(at, arguments.nodes)
