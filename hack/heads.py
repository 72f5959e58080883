"""The environment of sdk/transformers' tests, outside of the work tree: `python hack/heads.py` prints its Python.

The package with the weights of examples/embeddings is in it, too, without what it requires: only its files are used.

Torch and transformers take 1.5 GB, so one environment serves all work trees whose pinned packages are the same; it is
made when they change. The packages of this repository are not installed in it: its users set PYTHONPATH.
"""

import fcntl
import hashlib
import os
import shutil
import sys
from pathlib import Path

from localcluster.processes import run
from localcluster.settings import ClusterError, settings
from localcluster.steps import step

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "sdk" / "transformers"
_WEIGHTS = ROOT / "examples" / "embeddings" / "weights.txt"
_INPUTS = (HERE / "dev.txt", HERE / "cpu_torch.py", _WEIGHTS)
SOURCES = (HERE / "topgraft_transformers", HERE / "cpu_torch.py")
PYTHONPATH = f"{HERE}:{ROOT / 'sdk'}"


def python() -> Path:
    """The Python of the environment, which is made if it is not there. Raises ClusterError."""
    inputs = hashlib.sha256(f"{sys.version_info[:2]}".encode())
    for file in _INPUTS:
        inputs.update(file.read_bytes())
    folder = settings().home / "heads"
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / inputs.hexdigest()[:16]
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "complete").exists():
            with step("environment of sdk/transformers"):
                _make(made)
    return made / "bin" / "python"


def _make(environment: Path) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    run([sys.executable, "-m", "venv", environment], seconds=120)
    options = ("--quiet", "--disable-pip-version-check", "--no-compile", "--no-deps")
    for file in (HERE / "dev.txt", _WEIGHTS):
        run([environment / "bin" / "pip", "install", *options, "--require-hashes", "-r", file], seconds=1200)
    packages = next((environment / "lib").glob("python*/site-packages"))
    run([environment / "bin" / "python", HERE / "cpu_torch.py", packages], seconds=300)
    (environment / "complete").touch()


def environment() -> dict[str, str]:
    """Variables for what runs in it, besides those that are set already."""
    return {"PYTHONPATH": PYTHONPATH, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]}


if __name__ == "__main__":
    try:
        print(python())
    except ClusterError as error:
        sys.exit(f"heads: {error}")
