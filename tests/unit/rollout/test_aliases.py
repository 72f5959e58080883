"""Aliases: each move is told once, and stays on record."""

from __future__ import annotations

from typing import Any

from .world import MODEL, World


def status(world: World) -> dict[str, Any]:
    return dict(world.objects["Model", MODEL]["status"])


def test_a_move_is_an_event_and_stands_in_the_history() -> None:
    world = World()
    world.model(aliases={"test_baseline": "digits-1"})
    world.base()
    world.base("digits-0", channel="PreRelease")
    world.run(100)
    assert status(world)["aliases"] == {"test_baseline": "digits-1"}
    world.events.clear()
    world.model(aliases={"test_baseline": "digits-0", "dev": "digits-1"})
    world.run(100)
    told = [(e.reason, e.message) for e in world.events]
    assert told == [
        ("AliasMoved", "alias dev: nothing → digits-1"),
        ("AliasMoved", "alias test_baseline: digits-1 → digits-0"),
    ]
    newest = status(world)["aliasHistory"][1]
    assert (newest["alias"], newest["from"], newest["to"]) == ("test_baseline", "digits-1", "digits-0")
    world.model()
    world.run(100)
    assert "aliases" not in status(world)
    assert [(m["alias"], m.get("to")) for m in status(world)["aliasHistory"]][:2] == [
        ("dev", None),
        ("test_baseline", None),
    ]
    assert world.serving == "digits-1", "an alias moves no traffic"
    world.writes.clear()
    world.run(1000)
    assert world.writes == []


def test_the_history_is_bounded_and_an_old_alias_is_no_new_one() -> None:
    world = World()
    world.model(aliases={"test_baseline": "digits-1"})
    world.base()
    world.run(100)
    for index in range(25):
        world.model(aliases={"test_baseline": "digits-1", "dev": f"digits-{index}"})
        world.run(1)
    history = status(world)["aliasHistory"]
    assert len(history) == 20
    assert {move["alias"] for move in history} == {"dev"}


def test_an_alias_of_nothing_is_told_until_there_is_something() -> None:
    world = World()
    world.model(aliases={"test_baseline": "digits-9"})
    world.base()
    world.run(100)
    assert world.conditions("Model", MODEL)["InvalidAlias"] == ("True", "AliasTargetMissing")
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")
    world.base("digits-9", channel="PreRelease")
    world.run(10)
    assert "InvalidAlias" not in world.conditions("Model", MODEL)


def test_a_version_with_an_alias_is_not_pruned() -> None:
    world = World()
    world.model(versionHistoryLimit=0)
    world.base()
    world.run(100)
    world.upgrade("v2")
    world.run(100)
    second = world.serving or ""
    world.model(versionHistoryLimit=0, aliases={"test_baseline": second})
    for tag in ("v3", "v5", "v6"):
        world.upgrade(tag)
        world.run(1000)
    assert ("ModelVersion", second) in world.objects
