"""Certificates and kubeconfigs of the local cluster, made anew for every run."""

import base64
import json
from pathlib import Path

from localcluster.processes import run
from localcluster.settings import HOST_ADDRESS, KUBERNETES_SERVICE, NODE, NODE_ADDRESS, Settings

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
_CLIENT = "DNS:client"
_SUBJECTS = {
    "apiserver": (
        "/CN=kube-apiserver",
        f"IP:127.0.0.1,IP:{HOST_ADDRESS},IP:{KUBERNETES_SERVICE},DNS:localhost,DNS:kubernetes.default.svc",
    ),
    "kubelet-client": ("/O=system:masters/CN=apiserver-kubelet-client", _CLIENT),
    "admin": ("/O=system:masters/CN=admin", _CLIENT),
    "controller-manager": ("/CN=system:kube-controller-manager", _CLIENT),
    "scheduler": ("/CN=system:kube-scheduler", _CLIENT),
    "proxy": ("/CN=system:kube-proxy", _CLIENT),
    "kubelet": (f"/O=system:nodes/CN=system:node:{NODE}", f"DNS:{NODE},IP:{NODE_ADDRESS}"),
}


def make(at: Settings) -> None:
    """All keys, certificates and kubeconfigs under `at`, unless a former `up` of this run finished making them."""
    complete = at.pki / "complete"
    if complete.exists():
        return
    at.pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = ["-keyout", "ca.key", "-out", "ca.crt"]
    run(["openssl", "req", "-x509", *_KEY, "-days", "365", "-subj", "/CN=localcluster-ca", *authority], cwd=at.pki)
    for name, (subject, names) in _SUBJECTS.items():
        _sign(at.pki, name, subject, names)
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "service-account.key"], cwd=at.pki)
    for name in ("admin", "controller-manager", "scheduler", "proxy", "kubelet"):
        _kubeconfig(at, name)
    complete.touch()


def _sign(directory: Path, name: str, subject: str, names: str) -> None:
    request = ["-keyout", f"{name}.key", "-out", f"{name}.csr"]
    run(["openssl", "req", *_KEY, "-subj", subject, *request], cwd=directory)
    extensions = directory / f"{name}.ext"
    extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
    authority = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "365"]
    files = ["-in", f"{name}.csr", "-out", f"{name}.crt", "-extfile", extensions.name]
    run(["openssl", "x509", "-req", *authority, *files], cwd=directory)


def _kubeconfig(at: Settings, name: str) -> None:
    def encoded(file: str) -> str:
        return base64.b64encode((at.pki / file).read_bytes()).decode()

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "local", "cluster": {"server": at.api_url, "certificate-authority-data": encoded("ca.crt")}}
        ],
        "users": [
            {
                "name": "user",
                "user": {
                    "client-certificate-data": encoded(f"{name}.crt"),
                    "client-key-data": encoded(f"{name}.key"),
                },
            }
        ],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "user"}}],
        "current-context": "local",
    }
    file = at.run / f"{name}.conf"
    file.touch(mode=0o600)
    file.write_text(json.dumps(config, indent=1))
