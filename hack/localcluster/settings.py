"""Where the local cluster lives: addresses, directories and the names of its parts."""

import os
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent

# 198.18.0.0/15 is set aside for benchmarks (RFC 2544): no real network routes it.
HOST_ADDRESS = "198.18.0.1"
NODE_ADDRESS = "198.18.0.2"
PODS = "198.19.0.0/16"
NODE_PODS_MASK = 24
SERVICES = "198.18.128.0/20"
KUBERNETES_SERVICE = "198.18.128.1"

NODE = "node-1"
NETWORK_NAMESPACE = "localcluster"
HOST_LINK = "localcluster"
# The machine has one set of ports and links, so this directory is shared by all homes; unix sockets need short paths.
MACHINE = Path("/run/localcluster")

API_PORT = 6443
REGISTRY_PORT = 5000
ETCD_PORT = 2379
ETCD_PEER_PORT = 2380

NEEDS_ROOT = "pods need root. Remedy: run as root, or `up --control-plane-only`, or CLUSTER=kind with Docker"


@dataclass(frozen=True)
class Settings:
    """The directories of one home. Only `run` is thrown away by `down`; the rest is a cache."""

    home: Path

    @property
    def bin(self) -> Path:
        return self.home / "bin"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def logs(self) -> Path:
        return self.run / "log"

    @property
    def pki(self) -> Path:
        return self.run / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.run / "admin.conf"

    @property
    def registry(self) -> Path:
        return self.home / "registry"

    @property
    def api_address(self) -> str:
        """Root has the cluster's own link; without it the API server stays on loopback and there are no pods."""
        return HOST_ADDRESS if os.geteuid() == 0 else "127.0.0.1"

    @property
    def api_url(self) -> str:
        return f"https://{self.api_address}:{API_PORT}"


def settings() -> Settings:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Settings(home=Path(os.environ.get("LOCALCLUSTER_HOME") or cache / "topgraft").absolute())


class ClusterError(Exception):
    """Something the user can mend; the message says what and how."""
