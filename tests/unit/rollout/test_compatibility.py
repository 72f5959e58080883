"""Interface and packages of the new image against the old one's and against what the artifacts were made for."""

from __future__ import annotations

from typing import Any

import pytest

from .world import World

API: dict[str, Any] = {
    "inputs": [{"name": "image", "type": "array", "dataType": "float", "shape": [-1, 64]}],
    "outputs": [{"name": "digit", "type": "array", "dataType": "integer", "shape": [-1]}],
}
ADDED = {**API, "outputs": [*API["outputs"], {"name": "scores", "type": "array", "dataType": "float", "shape": [-1]}]}
BROKEN = {**ADDED, "inputs": []}
OLD, NEW = ["numpy==1.26.4", "six==1.17.0"], ["numpy==2.3.1", "wheel==0.45"]


def volume() -> list[dict[str, Any]]:
    return [{"name": "weights", "mountPath": "/weights", "configMap": {"name": "weights"}}]


def world(*compatibility: str) -> World:
    made = World(apis={"v1": API, "v2": ADDED, "v3": BROKEN}, packages={"v1": OLD, "v2": NEW, "v3": NEW})
    made.model()
    made.base(artifact={"volumes": volume(), "compatibility": list(compatibility)})
    made.run(120)
    assert made.serving == "digits-1"
    return made


def upgraded(made: World, tag: str, **spec: Any) -> dict[str, Any]:
    made.upgrade(tag, **spec)
    made.run(900)
    status: dict[str, Any] = made.objects["AdapterUpgrade", "digits"]["status"]
    made.writes.clear()
    made.run(3600)
    assert made.writes == []
    return status


def test_the_version_records_its_packages() -> None:
    assert world().objects["ModelVersion", "digits-1"]["status"]["requirements"] == OLD


def test_a_good_upgrade_tells_what_changed() -> None:
    made = world("numpy>=1.26")
    status = upgraded(made, "v2")
    assert made.serving_tag == "v2"
    assert status["apiChanges"] == [{"name": "output 'scores'", "new": "array float [-1], required", "breaking": False}]
    assert status["requirementChanges"] == [
        {"name": "numpy", "old": "1.26.4", "new": "2.3.1"},
        {"name": "six", "old": "1.17.0"},
        {"name": "wheel", "new": "0.45"},
    ]


def test_a_broken_interface_is_refused_and_told_item_by_item() -> None:
    made = world()
    status = upgraded(made, "v3")
    assert made.serving_tag == "v1"
    assert made.conditions("AdapterUpgrade", "digits")["ContractCompatible"] == ("False", "ApiIncompatible")
    assert status["apiChanges"][0] == {
        "name": "input 'image'",
        "old": "array float [-1, 64], required",
        "breaking": True,
    }
    assert [change["name"] for change in status["requirementChanges"]] == ["numpy", "six", "wheel"]
    status = upgraded(made, "v3", allowApiBreak=True)
    assert made.serving_tag == "v3"
    assert status["apiChanges"][0]["breaking"] is True


def test_packages_that_the_artifacts_were_not_made_for_are_refused() -> None:
    made = world("numpy>=1.26,<2", "six")
    upgraded(made, "v2")
    assert made.serving_tag == "v1"
    said = made.conditions("AdapterUpgrade", "digits")
    assert said["Ready"] == ("False", "DependencyConflict")
    assert said["ContractCompatible"] == ("False", "DependencyConflict")
    assert said["RolledBack"] == ("True", "DependencyConflict")
    conditions = made.objects["AdapterUpgrade", "digits"]["status"]["conditions"]
    text = next(c["message"] for c in conditions if c["type"] == "Ready")
    assert "numpy<2,>=1.26 is asked for, 2.3.1 is installed; six is asked for, six is not installed" in text


def test_an_image_that_tells_no_packages_cannot_be_checked() -> None:
    made = world("numpy>=1.26")
    upgraded(made, "v9")
    assert made.serving_tag == "v1"
    assert made.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "RequirementsUnknown")


def test_the_next_attempt_tells_its_own_changes() -> None:
    made = world()
    upgraded(made, "v3")
    status = upgraded(made, "v4")
    assert [change["name"] for change in status["apiChanges"]] == ["input 'image'", "output 'digit'"]
    assert "requirementChanges" not in status


@pytest.mark.parametrize("tag", ["v1", "v2"])
def test_a_first_version_is_held_to_it_too(tag: str) -> None:
    made = World(packages={"v1": OLD, "v2": NEW})
    made.model()
    made.base(tag=tag, artifact={"volumes": volume(), "compatibility": ["numpy<2"]})
    made.run(120)
    assert made.serving == ("digits-1" if tag == "v1" else None)
