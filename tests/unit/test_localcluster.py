"""What must hold whatever state an aborted run of the local cluster left behind."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from localcluster import node
from localcluster.processes import Process, kill, marked
from localcluster.settings import ClusterError, Settings
from support.live import wait_until


@pytest.fixture
def at(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path)
    settings.run.mkdir()
    return settings


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_process_is_stopped_by_its_identity(at: Settings):
    process = Process(at, "sleeper")
    process.start(["sleep", "60"])
    pid = process.pid()
    assert pid
    process.start(["sleep", "60"])
    assert process.pid() == pid, "it ran already"
    assert marked(at) == [pid]
    assert process.stop()
    assert process.pid() is None
    assert not process.stop(), "stopping twice does no harm"


@pytest.mark.parametrize("change", [{"started": "1"}, {"boot": "another"}, {"pid": None}])
def test_a_recycled_process_id_is_left_alone(
    at: Settings, stranger: subprocess.Popen[bytes], change: dict[str, object]
):
    process = Process(at, "sleeper")
    process.start(["sleep", "60"])
    file = at.run / "sleeper.pid"
    identity = json.loads(file.read_text())
    process.stop()
    file.write_text(json.dumps({**identity, "pid": stranger.pid, **change}))
    assert process.pid() is None
    assert not process.stop()
    assert stranger.poll() is None


@pytest.mark.parametrize("text", ["", "garbage", "[]", "{}"])
def test_a_broken_identity_means_that_nothing_runs(at: Settings, text: str):
    (at.run / "sleeper.pid").write_text(text)
    assert Process(at, "sleeper").pid() is None


def test_a_process_whose_starter_died_is_found_by_its_mark(at: Settings):
    process = Process(at, "sleeper")
    process.start(["sleep", "60"])
    (at.run / "sleeper.pid").unlink()
    # The kernel shows a program's environment some moments after it has begun.
    (lost,) = wait_until(lambda: marked(at), 5, "the process is found")
    assert kill([lost], 5)
    assert marked(at) == []


def test_another_home_is_not_ours(at: Settings, tmp_path: Path):
    process = Process(at, "sleeper")
    process.start(["sleep", "60"])
    assert marked(Settings(home=tmp_path / "other")) == []
    process.stop()


def test_mounts_are_found_the_innermost_first(tmp_path: Path):
    found = node.mounts_below(Path("/"))
    assert found[-1] == Path("/")
    assert node.mounts_below(tmp_path) == []


def test_what_cannot_be_started_says_so(at: Settings):
    with pytest.raises((ClusterError, FileNotFoundError), match="no-such-program"):
        Process(at, "broken").start(["no-such-program"])
