"""The image registry and the base image that every other image of the local cluster starts from."""

import os
import shutil
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

from localcluster.control_plane import wait
from localcluster.processes import Process, run
from localcluster.settings import HOST_ADDRESS, REGISTRY_PORT, Settings
from localcluster.steps import step

_CONFIGURATION = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {directory}}}, maintenance: {{readonly: {{enabled: {readonly}}}}}}}
http: {{addr: "{address}:{port}"}}
"""
BASE = "base:bookworm"
PAUSE = "pause:1"


def start(at: Settings) -> None:
    """One registry seen twice: loopback takes pushes, the cluster's own link only gives to the node."""
    for name, address, readonly in (("registry", "127.0.0.1", "false"), ("registry-pull", HOST_ADDRESS, "true")):
        file = at.run / f"{name}.yml"
        options = {"directory": at.registry, "address": address, "port": REGISTRY_PORT, "readonly": readonly}
        file.write_text(_CONFIGURATION.format(**options))
        process = Process(at, name)
        process.start(["docker-registry", "serve", file])
        wait(partial(_answers, f"http://{address}:{REGISTRY_PORT}/v2/"), 15, f"{name} does not answer", [process])


def ensure_base(at: Settings) -> None:
    """The base image in the registry, as `base:bookworm` and as the pods' pause image."""
    if has(BASE) and has(PAUSE):
        return
    root = at.home / "base"
    if not (root / "complete").exists():
        with step("base image: debootstrap (about 1 min)"):
            _debootstrap(root)
    with step("base image: into the registry"):
        buildah = Buildah(at)
        container = buildah("from", "scratch").strip()
        buildah("add", "--quiet", container, str(root / "tree"), "/")
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        buildah("config", "--env", path, "--cmd", '["/bin/sleep","infinity"]', container)
        buildah("commit", "--quiet", "--rm", container, BASE)
        for name in (BASE, PAUSE):
            buildah("push", "--quiet", "--tls-verify=false", BASE, f"docker://127.0.0.1:{REGISTRY_PORT}/{name}")


class Buildah:
    """buildah with a store of its own in the cache: never mixed with the user's, removed with the cache."""

    def __init__(self, at: Settings) -> None:
        store, state = at.home / "buildah", Path("/run/localcluster-buildah")
        self.command = ["buildah", f"--root={store}", f"--runroot={state}", "--storage-driver=overlay"]
        self.environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}

    def __call__(self, *arguments: str, seconds: float = 300) -> str:
        return run([*self.command, *arguments], seconds=seconds, env=self.environment)


def _debootstrap(root: Path) -> None:
    tree = root / "tree"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    packages = "ca-certificates,python3-minimal,python3-venv"
    run(["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", tree], seconds=900)
    for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        for entry in (tree / waste).iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    (root / "complete").touch()


def has(image: str) -> bool:
    return bool(digest(image))


def digest(image: str) -> str:
    """The digest of `NAME:TAG` as `sha256:…`; empty when the registry has none."""
    name, tag = image.split(":")
    return _get(f"http://127.0.0.1:{REGISTRY_PORT}/v2/{name}/manifests/{tag}").get("docker-content-digest", "")


def _answers(url: str) -> bool:
    return bool(_get(url))


def _get(url: str) -> dict[str, str]:
    """The headers of the answer, their names in small letters; none when there is no answer, or an error."""
    accept = {
        "Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    }
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=accept), timeout=2) as answer:
            return {name.lower(): value for name, value in answer.headers.items()}
    except (urllib.error.URLError, OSError):
        return {}
