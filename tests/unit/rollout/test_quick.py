"""`artifact.verify: Quick`, state in, state out: quick before the switch, every byte after it."""

from __future__ import annotations

from typing import Any

import pytest

from .world import MODEL, World

CLAIM = {"name": "weights", "mountPath": "/weights", "persistentVolumeClaim": {"claimName": "weights"}}
TOUCHED = "sha256:" + "7" * 64
CHANGED = "sha256:" + "b" * 64


def started(verify: str = "Quick", volume: dict[str, Any] | None = None) -> World:
    world = World(claims={"weights": "ReadWriteMany"})
    world.model()
    world.base(artifact={"volumes": [volume or CLAIM], "verify": verify})
    world.run(120)
    assert world.serving_tag == "v1"
    return world


def args(world: World, suffix: str) -> list[str]:
    found = [b for (k, n), b in world.objects.items() if k == "Pod" and n.endswith(suffix)]
    return [str(one) for one in found[0]["spec"]["containers"][0]["args"]] if found else []


def artifact(world: World) -> dict[str, Any]:
    return dict(world.objects["ModelVersion", world.serving or ""]["status"]["artifact"])


def verified(world: World) -> tuple[str, str]:
    return world.conditions("ModelVersion", world.serving or "")["ArtifactVerified"]


def test_the_first_version_is_read_and_its_stats_are_recorded() -> None:
    world = started()
    assert artifact(world)["statDigest"] == world.stat
    assert "verifiedTime" in artifact(world)
    assert verified(world) == ("True", "DigestComputed")


def test_an_upgrade_trusts_the_stats_and_reads_after_the_switch() -> None:
    world = started()
    world.upgrade("v2")
    for _ in range(20):
        world.look()
        if world.serving_tag == "v2":
            break
    options = args(world, "-preflight")
    assert options[options.index("--known-stat") + 1] == world.stat
    assert options[options.index("--known-digest") + 1] == world.artifact
    world.turn()
    assert verified(world) == ("True", "QuickDigest")
    assert "verifiedTime" not in artifact(world)
    assert args(world, "-recheck")[-2:] == ["--rate-mib", "64"], "the reading begins with the bake"
    world.run(5)
    assert verified(world) == ("True", "DigestComputed")
    assert "verifiedTime" in artifact(world)
    world.run(90)
    assert world.conditions("AdapterUpgrade", MODEL)["Ready"] == ("True", "UpgradeSucceeded")
    assert world.conditions("AdapterUpgrade", MODEL)["ArtifactsUnchanged"] == ("True", "DigestsEqual")
    world.run(1000)
    settled = len(world.writes)
    world.run(3600)
    assert len(world.writes) == settled
    assert verified(world) == ("True", "DigestComputed")


def test_bytes_that_changed_behind_equal_stats_go_back_while_it_is_warm() -> None:
    world = started()
    world.artifact = CHANGED
    world.upgrade("v2")
    world.run(20)
    assert world.serving_tag == "v1"
    assert world.conditions("AdapterUpgrade", MODEL)["Ready"] == ("False", "ArtifactsChanged")
    assert world.objects["Model", MODEL]["status"]["lastRollback"]["reason"] == "ArtifactsChanged"


def test_touched_files_are_read_before_the_switch() -> None:
    world = started()
    world.stat = TOUCHED
    world.upgrade("v2")
    world.run(5)
    assert world.serving_tag == "v2"
    assert verified(world) == ("True", "DigestComputed")
    assert not args(world, "-recheck"), "as ever: at the end of the bake"
    world.run(100)
    assert artifact(world)["statDigest"] == TOUCHED
    world.upgrade("v3")
    world.run(5)
    assert verified(world) == ("True", "DigestComputed"), "the newest reading counts, not the base's"
    world.run(100)
    assert world.conditions("AdapterUpgrade", MODEL)["Ready"] == ("True", "UpgradeSucceeded")


def test_changed_files_are_refused_before_the_switch() -> None:
    world = started()
    world.stat, world.artifact = TOUCHED, CHANGED
    world.upgrade("v2")
    world.run(30)
    assert world.serving_tag == "v1"
    assert world.conditions("AdapterUpgrade", MODEL)["Ready"] == ("False", "ArtifactsChanged")
    assert "lastRollback" not in world.objects["Model", MODEL]["status"]


@pytest.mark.parametrize("verify", ["Full", "Quick"])
def test_full_reads_everything_each_time(verify: str) -> None:
    world = started(verify)
    world.upgrade("v2")
    world.look()
    world.look()
    assert ("--known-stat" in args(world, "-preflight")) is (verify == "Quick")


def test_a_return_to_an_old_version_is_quick_too() -> None:
    world = started()
    world.upgrade("v2")
    world.run(1000)
    world.upgrade("v1")
    world.run(100)
    assert world.serving_tag == "v1"
    assert verified(world) == ("True", "DigestComputed")
