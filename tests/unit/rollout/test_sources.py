"""Which versions take another adapter, by where they come from: told on the upgrade, and gone with its cause."""

from __future__ import annotations

from typing import get_args

import pytest
from topgraft.api.source import SourceType

from .world import MODEL, World

OTHERS = [kind for kind in get_args(SourceType) if kind != "CodeRepository"]


def source(kind: str) -> dict[str, object]:
    promoted = {"promoted": {"model": "lab", "version": "lab-1"}} if kind == "Promoted" else {}
    return {"type": kind, **promoted}


def served(**spec: object) -> World:
    world = World()
    world.model()
    world.base(**spec)
    world.run(120)
    assert world.serving == "digits-1"
    world.writes.clear()
    return world


@pytest.mark.parametrize("kind", OTHERS)
def test_only_code_repositories_are_upgraded(kind: str) -> None:
    world = served(source=source(kind))
    world.upgrade("v2")
    world.run(600)
    said = world.conditions("AdapterUpgrade", "digits")
    assert said["Ready"] == ("False", "SourceNotUpgradable")
    assert said["Accepted"] == ("False", "SourceNotUpgradable")
    assert said["Stalled"] == ("True", "SourceNotUpgradable")
    assert said["Succeeded"] == ("False", "SourceNotUpgradable")
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "SourceNotUpgradable")
    assert world.conditions("Model", MODEL)["Available"][0] == "True"
    assert {kind for _, kind, _ in world.writes} == {"Model", "AdapterUpgrade"}, "nothing is made, nothing moves"
    world.writes.clear()
    world.run(3600)
    assert world.writes == []


@pytest.mark.parametrize("given", [{}, {"source": source("CodeRepository")}], ids=["absent", "CodeRepository"])
def test_a_code_repository_is_upgraded(given: dict[str, object]) -> None:
    world = served(**given)
    world.upgrade("v2")
    world.run(120)
    assert world.serving_tag == "v2"
    assert "Accepted" not in world.conditions("AdapterUpgrade", "digits")


def test_the_override_puts_the_rule_out_of_force_and_back() -> None:
    world = served(source={**source("Sdk"), "repository": "git.example/a", "commit": "3f2a9c1", "tag": "v1"})
    world.upgrade("v2", allowSourceType=True)
    world.run(120)
    assert world.serving_tag == "v2"
    record = world.objects["ModelVersion", world.serving or ""]["spec"]["source"]
    assert record == {"type": "Sdk", "repository": "git.example/a"}, "the commit was the old adapter's"
    serving = world.serving
    world.upgrade("v3")
    world.run(600)
    assert world.serving == serving, "what serves stays when the override is taken back"
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "SourceNotUpgradable")


def test_a_stock_image_and_the_image_that_it_has_already_are_exempt() -> None:
    world = served(source=source("ContainerImage"), adapter={"image": "registry.local/digits:v1", "contract": "None"})
    world.upgrade("v2")
    world.run(120)
    assert world.serving_tag == "v2"
    world = served(source=source("ContainerImage"))
    world.upgrade("v1")
    world.run(120)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")


def test_the_rule_goes_away_when_the_base_changes() -> None:
    world = served(source=source("ExternalModel"), revision=1)
    world.upgrade("v2")
    world.run(60)
    world.base("digits-2", revision=2)
    world.run(120)
    assert world.serving_tag == "v2"
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")


def test_the_first_deployment_is_served_although_its_upgrade_is_refused() -> None:
    world = World()
    world.model()
    world.upgrade("v2")
    world.base(source=source("ModelStudio"))
    world.run(120)
    assert world.serving == "digits-1"
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "SourceNotUpgradable")


def test_a_refused_upgrade_from_an_old_version_moves_nothing_back() -> None:
    world = served(source=source("Sdk"), revision=1)
    world.base("digits-2", tag="v2", revision=2)
    world.run(120)
    assert world.serving == "digits-2"
    world.upgrade("v3", fromVersion="digits-1")
    world.run(120)
    assert world.serving == "digits-2"
