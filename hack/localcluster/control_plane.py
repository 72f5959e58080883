"""etcd, API server, controller manager and scheduler, as plain processes."""

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from localcluster.processes import Process
from localcluster.settings import (
    API_PORT,
    ETCD_PEER_PORT,
    ETCD_PORT,
    NODE_PODS_MASK,
    PODS,
    SERVICES,
    ClusterError,
    Settings,
)

_ETCD = f"http://127.0.0.1:{ETCD_PORT}"


def start_api(at: Settings) -> None:
    """etcd and the API server; neither needs the other to be there first."""
    pki = at.pki
    Process(at, "etcd").start(
        [
            at.bin / "etcd",
            f"--data-dir={at.run}/etcd",
            "--unsafe-no-fsync",
            "--log-level=warn",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            f"--listen-peer-urls=http://127.0.0.1:{ETCD_PEER_PORT}",
        ]
    )
    # Bound to the cluster's own link (or loopback), never to all addresses of the machine. Loopback cannot be the
    # address behind the `kubernetes` Service, hence no endpoint for it there: no pod could use it anyway.
    on_loopback = at.api_address.startswith("127.")
    Process(at, "kube-apiserver").start(
        [
            at.bin / "kube-apiserver",
            f"--etcd-servers={_ETCD}",
            f"--bind-address={at.api_address}",
            *(["--endpoint-reconciler-type=none"] if on_loopback else [f"--advertise-address={at.api_address}"]),
            f"--secure-port={API_PORT}",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--kubelet-client-certificate={pki}/kubelet-client.crt",
            f"--kubelet-client-key={pki}/kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-key-file={pki}/service-account.key",
            f"--service-account-signing-key-file={pki}/service-account.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=false",
        ]
    )


def start_controllers(at: Settings) -> None:
    """Only once the API server is ready: both end themselves when they cannot reach it."""
    for name, more in (("controller-manager", _controller_flags(at)), ("scheduler", [])):
        config = at.run / f"{name}.conf"
        Process(at, f"kube-{name}").start(
            [
                at.bin / f"kube-{name}",
                f"--kubeconfig={config}",
                f"--authentication-kubeconfig={config}",
                f"--authorization-kubeconfig={config}",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                # The defaults (20 and 50 requests a second) would be what a scale benchmark measures.
                "--kube-api-qps=300",
                "--kube-api-burst=600",
                *more,
            ]
        )


def _controller_flags(at: Settings) -> list[str]:
    return [
        f"--service-account-private-key-file={at.pki}/service-account.key",
        f"--root-ca-file={at.pki}/ca.crt",
        "--use-service-account-credentials",
        f"--cluster-cidr={PODS}",
        "--allocate-node-cidrs",
        f"--node-cidr-mask-size={NODE_PODS_MASK}",
        f"--cluster-signing-cert-file={at.pki}/ca.crt",
        f"--cluster-signing-key-file={at.pki}/ca.key",
    ]


def api_answers(at: Settings, path: str = "/readyz") -> bool:
    context = ssl.create_default_context(cafile=str(at.pki / "ca.crt"))
    context.load_cert_chain(at.pki / "admin.crt", at.pki / "admin.key")
    try:
        with urllib.request.urlopen(at.api_url + path, timeout=2, context=context) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_until_ready(at: Settings, seconds: float = 90) -> None:
    wait(
        lambda: api_answers(at),
        seconds,
        "the API server is not ready",
        [Process(at, "kube-apiserver"), Process(at, "etcd")],
    )


def wait(condition: Callable[[], bool], seconds: float, otherwise: str, needs: list[Process]) -> None:
    """Until `condition` holds. Ends early, with the log, when one of the processes that it depends on has died."""
    deadline = time.monotonic() + seconds
    while not condition():
        for process in needs:
            if process.pid() is None:
                raise ClusterError(f"{process.name} ended. The end of {process.log}:\n{process.tail()}")
        if time.monotonic() > deadline:
            logs = "\n".join(f"--- {process.log}\n{process.tail()}" for process in needs)
            raise ClusterError(f"{otherwise} after {seconds:g} s\n{logs}")
        time.sleep(0.1)
