"""The programs the cluster is made of: Go modules built once into the cache, and Debian packages."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster.processes import run
from localcluster.settings import SOURCE, ClusterError, Settings
from localcluster.steps import step

_VERSION = "k8s.io/component-base/version.git"
_KUBERNETES = f"-X {_VERSION}Version=v1.36.3 -X {_VERSION}Major=1 -X {_VERSION}Minor=36"


@dataclass(frozen=True)
class Component:
    """Programs of one Go module. `packages`: what to build of it; `folder`: where its go.mod and go.sum are."""

    name: str
    programs: tuple[str, ...]
    minutes: str
    packages: str = "tool"
    folder: str = ""
    flags: tuple[str, ...] = ()
    linker: str = ""


COMPONENTS = {
    component.name: component
    for component in (
        Component(
            "kubernetes",
            ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"),
            "7 min",
            linker=_KUBERNETES,
        ),
        Component(
            "kubectl",
            ("kubectl",),
            "2 min",
            packages="k8s.io/kubernetes/cmd/kubectl",
            folder="kubernetes",
            linker=_KUBERNETES,
        ),
        Component("etcd", ("etcd",), "half a minute"),
        Component(
            "containerd",
            ("containerd", "containerd-shim-runc-v2"),
            "1 min",
            flags=("-tags", "no_btrfs no_devmapper no_zfs"),
        ),
        Component("helm", ("helm",), "2 min"),
        Component("kwok", ("kwok",), "2 min"),
        Component("traefik", ("traefik",), "8 min", flags=("-gcflags=all=-l",)),
    )
}
CONTROL_PLANE = ("kubernetes", "etcd")
NODE = ("containerd",)

# program -> Debian package; looked for on PATH and in the directories of the network plugins
_PACKAGES = {
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "conntrack": "conntrack",
    "bridge": "containernetworking-plugins",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "docker-registry": "docker-registry",
    "nsenter": "util-linux",
    "openssl": "openssl",
}
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/lib/cni:/opt/cni/bin"


def build(at: Settings, names: Sequence[str]) -> None:
    """Build what is missing or was built from another go.mod; seconds when the Go build cache is warm."""
    at.bin.mkdir(parents=True, exist_ok=True)
    with (at.home / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = [COMPONENTS[name] for name in names if not _is_current(at, COMPONENTS[name])]
        for component in wanted:
            with step(f"build {component.name} from its Go module (about {component.minutes} on 2 cores when cold)"):
                _build(at, component)


def _build(at: Settings, component: Component) -> None:
    if shutil.which("go") is None:
        raise ClusterError(
            "go is not installed. Remedy: install Go 1.26 or newer from https://go.dev/dl/ and put it on PATH"
        )
    # `go build -o FILE` for one program, `-o DIRECTORY/` for several: a module's path may end in v3 or v4.
    target = at.bin / component.name if len(component.programs) == 1 else f"{at.bin}/"
    linker = f"-ldflags=-s -w {component.linker}".strip()
    command = ["go", "build", "-trimpath", *component.flags, linker, "-o", str(target), component.packages]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
    done = subprocess.run(
        command,
        cwd=SOURCE / (component.folder or component.name),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if not line.startswith("go: downloading")]
        raise ClusterError(f"building {component.name} failed:\n" + "\n".join(errors[-20:]))
    _stamp(at, component).write_text(_inputs(component))


def _is_current(at: Settings, component: Component) -> bool:
    stamp = _stamp(at, component)
    present = all((at.bin / program).exists() for program in component.programs)
    return present and stamp.exists() and stamp.read_text() == _inputs(component)


def _stamp(at: Settings, component: Component) -> Path:
    return at.bin / f".{component.name}"


def _inputs(component: Component) -> str:
    inputs = hashlib.sha256(repr((component.packages, component.flags, component.linker)).encode())
    for file in ("go.mod", "go.sum"):
        inputs.update((SOURCE / (component.folder or component.name) / file).read_bytes())
    return inputs.hexdigest()


def ensure_packages(programs: Sequence[str] = tuple(_PACKAGES)) -> None:
    """Install the Debian packages of missing programs when root with apt; name the remedy otherwise."""
    missing = sorted({_PACKAGES[name] for name in programs if shutil.which(name, path=_PATH) is None})
    if not missing:
        return
    install = f"apt-get install -y --no-install-recommends {' '.join(missing)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ClusterError(f"missing: {', '.join(missing)}. Remedy (Debian): sudo {install}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"install {', '.join(missing)}"):
        run(["apt-get", "update", "-q"], seconds=300, check=False, env=environment)
        # A package's service must not start: nothing of ours listens before `up`, and then only where it should.
        run(
            ["sh", "-c", f"{_NO_SERVICES}; {install}; code=$?; {_SERVICES_AGAIN}; exit $code"],
            seconds=900,
            env=environment,
        )


_POLICY = "/usr/sbin/policy-rc.d"
_NO_SERVICES = f"[ -e {_POLICY} ] || {{ printf '#!/bin/sh\\nexit 101\\n' >{_POLICY}; chmod +x {_POLICY}; ours=1; }}"
_SERVICES_AGAIN = f'[ -z "$ours" ] || rm -f {_POLICY}'
