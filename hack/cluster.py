"""One entry to the cluster that tests and demo run on: `python hack/cluster.py up|down|kubeconfig`.

CLUSTER says which:
  local     hack/localcluster: real Kubernetes without a container engine (the default without Docker)
  kind      Kubernetes in Docker (the default when a Docker daemon answers)
  existing  the one that KUBECONFIG names; TOPGRAFT_REGISTRY is where it pulls images from and we push them to
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from localcluster import registry, tools
from localcluster.processes import run
from localcluster.settings import NEEDS_ROOT, REGISTRY_PORT, ClusterError, settings
from localcluster.steps import step

HACK = Path(__file__).resolve().parent
_KIND_VERSION = "v0.33.0"
_KIND_NAME = "topgraft"


class Cluster(Protocol):
    """What tests, demo and image builder need to know about a cluster."""

    name: str
    registry: str  # the name that pods pull images by

    def is_up(self) -> bool: ...
    def build(self, control_plane_only: bool) -> None:
        """Build the programs that `up` starts, where they are missing: minutes of both processors."""

    def up(self, control_plane_only: bool) -> None: ...
    def down(self) -> None: ...
    def kubeconfig(self) -> Path: ...
    def deliver(self, image: str) -> None:
        """Bring `NAME:TAG`, which was built as `pushed_as(image)`, to where the pods pull it from."""

    def pushed_as(self, image: str) -> str: ...


class Local:
    """hack/localcluster, built and started on this machine."""

    name = "local"
    registry = "registry.local"

    def __init__(self) -> None:
        self.at = settings()
        self.command = [str(HACK / "localcluster/localcluster")]

    def is_up(self) -> bool:
        return self._run("status", quiet=True) == 0

    def build(self, control_plane_only: bool) -> None:
        if not control_plane_only and os.geteuid() != 0:
            raise ClusterError(NEEDS_ROOT)  # not only after minutes of building
        if self._run("build", *(tools.CONTROL_PLANE if control_plane_only else ())):
            raise ClusterError("the local cluster's programs were not built: see above")

    def up(self, control_plane_only: bool) -> None:
        if self._run("up", *(["--control-plane-only"] if control_plane_only else [])):
            raise ClusterError("the local cluster did not start: see above")

    def down(self) -> None:
        self._run("down")

    def kubeconfig(self) -> Path:
        return self.at.kubeconfig

    def pushed_as(self, image: str) -> str:
        return f"127.0.0.1:{REGISTRY_PORT}/{image}"

    def deliver(self, image: str) -> None:
        target = self.pushed_as(image)
        buildah = registry.Buildah(self.at)
        buildah("push", "--quiet", "--tls-verify=false", target, f"docker://{target}", seconds=600)

    def _run(self, *arguments: str, quiet: bool = False) -> int:
        output = subprocess.DEVNULL if quiet else None
        # Building everything from nothing takes 10 minutes on 2 cores.
        return subprocess.run(
            [*self.command, *arguments], stdin=subprocess.DEVNULL, stdout=output, timeout=3600, check=False
        ).returncode


class Kind:
    """Kubernetes in Docker, as kind makes it."""

    name = "kind"
    registry = "registry.local"

    def __init__(self) -> None:
        self.at = settings()

    def is_up(self) -> bool:
        kind = shutil.which("kind") or self.at.bin / "kind"
        return Path(kind).exists() and _KIND_NAME in run([kind, "get", "clusters"], check=False).split()

    def build(self, control_plane_only: bool) -> None:
        self._kind()

    def up(self, control_plane_only: bool) -> None:
        if not docker_answers():
            raise ClusterError("CLUSTER=kind needs a Docker daemon. Remedy: start Docker, or CLUSTER=local as root")
        if self.is_up():
            return
        self._forget_images()
        with step("kind: create the cluster"):
            run([self._kind(), "create", "cluster", f"--name={_KIND_NAME}", "--wait=120s"], seconds=900)

    def down(self) -> None:
        run([self._kind(), "delete", "cluster", f"--name={_KIND_NAME}"], seconds=120)

    def kubeconfig(self) -> Path:
        file = self.at.home / "kind.conf"
        text = run([self._kind(), "get", "kubeconfig", f"--name={_KIND_NAME}"])
        file.touch(mode=0o600)
        file.write_text(text)
        return file

    def pushed_as(self, image: str) -> str:
        return f"{self.registry}/{image}"

    def deliver(self, image: str) -> None:
        run([self._kind(), "load", "docker-image", self.pushed_as(image), f"--name={_KIND_NAME}"], seconds=300)

    def _forget_images(self) -> None:
        """A new cluster has none of those that the former one was given."""
        shutil.rmtree(self.at.home / "images" / self.name, ignore_errors=True)

    def _kind(self) -> str:
        """The user's own kind, or the one that its Go module builds."""
        own = shutil.which("kind") or shutil.which(str(self.at.bin / "kind"))
        if own is None:
            module = f"sigs.k8s.io/kind@{_KIND_VERSION}"
            if shutil.which("go") is None:
                raise ClusterError(f"kind is not installed. Remedy: install Go and run `go install {module}`")
            with step(f"build kind {_KIND_VERSION}"):
                run(["go", "install", module], seconds=600, env={**os.environ, "GOBIN": str(self.at.bin)})
            own = str(self.at.bin / "kind")
        return own


class Existing:
    """The cluster of the current KUBECONFIG. It is never started or stopped, only used."""

    name = "existing"

    def __init__(self) -> None:
        self.registry = os.environ.get("TOPGRAFT_REGISTRY", "")
        self.push_to = os.environ.get("TOPGRAFT_PUSH_REGISTRY", self.registry)

    def is_up(self) -> bool:
        return True

    def build(self, control_plane_only: bool) -> None:
        pass

    def up(self, control_plane_only: bool) -> None:
        if not self.kubeconfig().exists():
            raise ClusterError(f"CLUSTER=existing: {self.kubeconfig()} is missing. Remedy: set KUBECONFIG")
        if not (control_plane_only or self.registry):
            raise ClusterError(
                "CLUSTER=existing: set TOPGRAFT_REGISTRY to a registry that you push to and it pulls from"
            )
        run([kubectl(), f"--kubeconfig={self.kubeconfig()}", "--request-timeout=10s", "get", "--raw=/readyz"])

    def down(self) -> None:
        pass

    def kubeconfig(self) -> Path:
        return Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube/config")

    def pushed_as(self, image: str) -> str:
        return f"{self.push_to}/{image}"

    def deliver(self, image: str) -> None:
        target = self.pushed_as(image)
        if docker_answers():
            run(["docker", "push", "--quiet", target], seconds=600)
        else:
            insecure = ["--tls-verify=false"] if self.push_to.startswith("127.0.0.1:") else []
            registry.Buildah(settings())("push", "--quiet", *insecure, target, f"docker://{target}", seconds=600)


def choose() -> Cluster:
    """The cluster that CLUSTER names, or the default for this machine."""
    name = os.environ.get("CLUSTER") or ("kind" if docker_answers() else "local")
    for kind in (Local, Kind, Existing):
        if kind.name == name:
            return kind()
    raise ClusterError(f"CLUSTER={name}: choose local, kind or existing")


def docker_answers() -> bool:
    """Whether there is a Docker client with a daemon behind it."""
    if shutil.which("docker") is None:
        return False
    try:
        command = ["docker", "version", "--format={{.Server.Version}}"]
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def kubectl() -> str:
    """kubectl: the local cluster's, the user's own, or one built now."""
    at = settings()
    found = shutil.which(str(at.bin / "kubectl")) or shutil.which("kubectl")
    if found is None:
        tools.build(at, ["kubectl"])
    return found or str(at.bin / "kubectl")


def helm() -> str:
    """helm 4: $HELM, the user's own, or one built now."""
    at = settings()
    if named := shutil.which(os.environ.get("HELM", "")):
        return named
    own = shutil.which("helm")
    if own and run([own, "version", "--template={{.Version}}"], check=False).startswith("v4."):
        return own
    tools.build(at, ["helm"])
    return str(at.bin / "helm")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "verb", choices=["up", "down", "kubeconfig", "tools"], help="tools: find or build kubectl and helm"
    )
    verb = parser.parse_args().verb
    try:
        if verb == "tools":
            kubectl()
            helm()
            return 0
        cluster = choose()
        match verb:
            case "up":
                cluster.up(control_plane_only=False)
                print(f"export KUBECONFIG={cluster.kubeconfig()}")
            case "down":
                cluster.down()
            case "kubeconfig":
                print(cluster.kubeconfig())
    except ClusterError as error:
        print(f"cluster {verb}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
