"""The environment of tests/mlflow, outside of the work tree: `python hack/mlflowenv.py` prints its Python.

An MLflow server and its client beside the operator's own packages; like that of sdk/transformers (heads.py) one for all
work trees with the same pinned packages.
"""

import fcntl
import hashlib
import shutil
import sys
from pathlib import Path

from localcluster.processes import run
from localcluster.settings import ClusterError, settings
from localcluster.steps import step

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "constraints" / "mlflow.txt"
TESTS = ROOT / "tests" / "mlflow"
PYTHONPATH = f"{ROOT / 'operator'}:{ROOT / 'tests'}:{ROOT}"


def python() -> Path:
    """The Python of the environment, which is made if it is not there. Raises ClusterError."""
    inputs = hashlib.sha256(f"{sys.version_info[:2]}".encode() + PACKAGES.read_bytes())
    folder = settings().home / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / inputs.hexdigest()[:16]
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "complete").exists():
            with step("environment of tests/mlflow"):
                shutil.rmtree(made, ignore_errors=True)
                run([sys.executable, "-m", "venv", made], seconds=120)
                pip: list[str | Path] = [
                    made / "bin" / "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-compile",
                ]
                run([*pip, "--no-deps", "--require-hashes", "--requirement", PACKAGES], seconds=1200)
                (made / "complete").touch()
    return made / "bin" / "python"


if __name__ == "__main__":
    try:
        print(python())
    except ClusterError as error:
        sys.exit(f"mlflow: {error}")
