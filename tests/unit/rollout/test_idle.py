"""What an idle look costs: nothing is serialised or worked out twice for what stands as it should."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from topgraft.api.branch import Branch
from topgraft.rollout import branches, following
from topgraft.rollout.plan import plan

from .world import World


@pytest.fixture
def world() -> World:
    """A derived version serves, the one before stands by, and a branch runs."""
    made = World()
    made.model(branches=[{"name": "try", "version": "digits-1"}])
    made.base(notes="ten digits", outputInfo={"params": {"threshold": "0.5"}})
    made.upgrade("v2")
    made.run(4000)
    assert made.serving_tag == "v2"
    made.writes.clear()
    return made


def test_a_version_that_follows_its_base_is_not_serialised(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: Any) -> dict[str, Any]:
        raise AssertionError("serialised")

    monkeypatch.setattr(following, "described", never)
    world.turn()
    assert world.writes == []


def test_branches_are_worked_out_once_a_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = branches._run

    def counted(at: Any, branch: Branch) -> branches.Run:
        asked.append(branch.name)
        return real(at, branch)

    monkeypatch.setattr(branches, "_run", counted)
    plan(world.observe(), world.now)
    assert asked == ["try"]


def test_any_module_of_the_core_can_be_imported_first() -> None:
    """All of them need the situation, so it needs none that asks for it in turn."""
    done = subprocess.run(
        [sys.executable, "-c", "import topgraft.rollout.situation"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
