"""`python -m topgraft.checks.tree`, as it runs in a preflight pod."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from trees import naive_digest, write

COMMAND = [sys.executable, "-m", "topgraft.checks.tree"]


def run(log: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TOPGRAFT_TERMINATION_LOG": str(log)}
    return subprocess.run(
        [*COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_the_result_goes_to_stdout_and_to_the_termination_log(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1", {b"x": b"one"}), write(tmp_path / "2", {b"y": b""})
    (tmp_path / "log").write_text("from an earlier try, longer than what is to come" * 10)
    done = run(tmp_path / "log", "--volume", f"a={one}", "--volume", f"b={two}")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert json.loads((tmp_path / "log").read_text()) == result
    assert result.pop("seconds") < 30
    assert result == {"digest": naive_digest({"a": {b"x": b"one"}, "b": {b"y": b""}}), "files": 2, "bytes": 3}


def test_a_failure_goes_there_too(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    write(tmp_path / "v", {})
    os.symlink("/" + "x" * 250, tmp_path / "v" / ("link" * 60))
    done = run(tmp_path / "log", "--volume", f"weights={tmp_path}/v")
    assert done.returncode == 1
    written = (tmp_path / "log").read_bytes()
    assert len(written) < 4096
    error = json.loads(written)["error"]
    assert error == json.loads(done.stdout)["error"]
    assert error["reason"] == "ArtifactPathEscapes"
    assert "leads out of the volume" in error["message"]


def test_the_process_ends_at_its_deadline(tmp_path: Path) -> None:
    root = write(tmp_path / "v", {b"x": b""})
    os.truncate(root / "x", 2**40)
    started = time.monotonic()
    done = run(tmp_path / "log", "--volume", f"weights={root}", "--deadline-seconds", "0.5")
    assert time.monotonic() - started < 10
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["reason"] == "DigestDeadlineExceeded"


def test_outside_a_pod_no_termination_log_is_made(tmp_path: Path) -> None:
    assert run(tmp_path / "log", "--volume", f"weights={write(tmp_path / 'v', {})}").returncode == 0
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("text", ["weights", "=path", "weights="])
def test_a_volume_without_name_or_path_is_refused(tmp_path: Path, text: str) -> None:
    done = run(tmp_path / "log", "--volume", text)
    assert done.returncode == 2
    assert f"{text!r} is not NAME=PATH" in done.stderr


def test_it_starts_without_the_libraries_of_the_operator() -> None:
    """Each preflight waits for this start, so it must not pay for libraries that it does not use."""
    show = "import sys, topgraft.checks.tree; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, timeout=30, check=True).stdout
    assert not {"kopf", "kubernetes", "pydantic", "aiohttp", "asyncio", "logging", "inspect"} & set(loaded.split())
