"""A real Prometheus from Debian's package: unpacked into the cache, never installed, and no service is started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml
from support.ports import free_port

PACKAGE = "prometheus"
SCRAPE_SECONDS = 1


def program() -> Path | None:
    """Path of the program; None where there is no apt to get it from."""
    if found := shutil.which("prometheus"):
        return Path(found)
    home = Path(os.environ.get("LOCALCLUSTER_HOME") or _cache() / "topgraft").absolute()
    unpacked = home / "debian" / PACKAGE
    if not (unpacked / "usr/bin/prometheus").exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            return None
        _unpack(unpacked)
    return unpacked / "usr/bin/prometheus"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _unpack(into: Path) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        said = _apt(folder, "download", PACKAGE)
        if not list(Path(folder).glob("*.deb")) and os.geteuid() == 0:
            # A fresh machine has no lists of packages yet.
            said = _apt(folder, "update", "-q") + _apt(folder, "download", PACKAGE)
        files = list(Path(folder).glob("*.deb"))
        assert files, f"apt-get download {PACKAGE} failed; run `apt-get update` first?\n{said}"
        made = Path(folder) / "unpacked"
        subprocess.run(["dpkg-deb", "--extract", str(files[0]), str(made)], check=True, timeout=120)
        if not into.exists():
            made.rename(into)


def _apt(folder: str, *arguments: str) -> str:
    """Run apt-get in a folder that apt's own user may not write to, which is no fault; returns what it complains of."""
    done = subprocess.run(["apt-get", *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    return done.stderr


class Prometheus:
    """One server on loopback. `scrape` names what it reads; it notices within a second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._targets = folder / "targets.json"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self, path: Path) -> None:
        self._targets.write_text("[]")
        files = [{"files": [str(self._targets)], "refresh_interval": "1s"}]
        job = {"job_name": "adapters", "file_sd_configs": files}
        times = {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"}
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump({"global": times, "scrape_configs": [job]}))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [str(path), "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, f"--web.listen-address=127.0.0.1:{port}"], cwd=self._folder, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while not self._ready():
            text = (self._folder / "prometheus.log").read_text()
            assert self._process.poll() is None, f"it ended: {text[-2000:]}"
            assert time.monotonic() < deadline, f"not ready: {text[-2000:]}"
            time.sleep(0.2)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def scrape(self, targets: dict[str, str]) -> None:
        """Read `address:port` → namespace from now on, at /metrics."""
        told = [{"targets": [target], "labels": {"namespace": name}} for target, name in sorted(targets.items())]
        draft = self._targets.with_suffix(".new")
        draft.write_text(json.dumps(told))
        draft.rename(self._targets)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)
