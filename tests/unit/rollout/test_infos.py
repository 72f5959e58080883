"""The infos of a version: they reach its pods as files, also those that run, and cost nothing where there are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .world import World

INFO = {"data": {"concepts": [{"id": "zero"}]}, "params": {"threshold": "0.5"}, "outputConfig": {"maxConcepts": 3}}


def made(**spec: Any) -> World:
    world = World()
    world.model()
    world.base(**spec)
    world.run(120)
    return world


def edit(world: World, name: str = "digits-1", **fields: Any) -> None:
    spec = {**world.objects["ModelVersion", name]["spec"], **fields}
    world.put("ModelVersion", name, {key: value for key, value in spec.items() if value is not None})


def delivered(world: World, version: str = "digits-1") -> dict[str, Any]:
    data = world.objects["ConfigMap", f"{version}-info"]["data"]
    return {name: json.loads(text) for name, text in data.items()}


def template(world: World, version: str = "digits-1") -> dict[str, Any]:
    found: dict[str, Any] = world.objects["Deployment", version]["spec"]["template"]
    return found


def test_pods_of_a_version_with_infos_see_them_as_files() -> None:
    world = made(outputInfo=INFO, inputInfo={"params": {"scale": "16"}})
    assert delivered(world) == {"output-info.json": INFO, "input-info.json": {"params": {"scale": "16"}}}
    spec = template(world)["spec"]
    assert {"name": "topgraft-info", "configMap": {"name": "digits-1-info", "optional": True}} in spec["volumes"]
    container = spec["containers"][0]
    assert {"name": "TOPGRAFT_INFO_DIR", "value": "/etc/topgraft/info"} in container["env"]
    assert {"name": "topgraft-info", "mountPath": "/etc/topgraft/info", "readOnly": True} in container["volumeMounts"]
    kinds = [kind for _, kind, _ in world.writes]
    assert kinds.index("ConfigMap") < kinds.index("Deployment"), "a pod finds its infos when it starts"


def test_a_version_without_infos_is_rendered_as_before() -> None:
    world = made()
    assert ("ConfigMap", "digits-1-info") not in world.objects
    assert "topgraft-info" not in json.dumps(template(world))
    assert "topgraft.dev/informed" not in json.dumps(world.objects["Deployment", "digits-1"])


def test_changed_params_reach_the_running_pods_without_a_new_version_or_a_restart() -> None:
    world = made(outputInfo=INFO)
    before, pods = template(world), {name for kind, name in world.objects if kind == "Pod"}
    versions = [name for kind, name in world.objects if kind == "ModelVersion"]
    world.writes.clear()
    edit(world, outputInfo={**INFO, "params": {"threshold": "0.9"}})
    world.run(60)
    assert delivered(world)["output-info.json"]["params"] == {"threshold": "0.9"}
    assert template(world) == before
    assert {name for kind, name in world.objects if kind == "Pod"} == pods
    assert [name for kind, name in world.objects if kind == "ModelVersion"] == versions
    # One for the ConfigMap, one mark for each of the two pods, and the version's observedGeneration.
    assert sorted(kind for _, kind, _ in world.writes) == ["ConfigMap", "ModelVersion", "Pod", "Pod"]


def test_a_change_reaches_the_pods_of_a_branch_at_once_too() -> None:
    world = made(outputInfo=INFO)
    world.model(branches=[{"name": "try", "version": "digits-1"}])
    world.run(60)
    edit(world, outputInfo={**INFO, "params": {"threshold": "0.9"}})
    world.writes.clear()
    world.run(60)
    marked = {world.objects["Pod", name]["metadata"]["deployment"] for _, kind, name in world.writes if kind == "Pod"}
    assert marked == {"digits-1", "digits-try"}


def test_a_change_is_marked_once_and_only_on_pods_that_are_older_than_it() -> None:
    world = made(outputInfo=INFO)
    edit(world, outputInfo={"data": INFO["data"]})
    world.run(60)
    world.model(serving={"replicas": 3})
    world.writes.clear()
    world.run(60)
    assert not [write for write in world.writes if write[1] == "Pod"]


def test_infos_taken_away_leave_the_pods_as_they_are() -> None:
    world = made(outputInfo={"params": {"a": "1"}})
    before = template(world)
    edit(world, outputInfo=None)
    world.run(60)
    assert template(world) == before
    assert delivered(world) == {}


def test_an_upgrade_hands_the_infos_on_and_removes_them_with_the_pods() -> None:
    world = made(outputInfo=INFO)
    world.upgrade("v2")
    world.run(10)
    new = world.serving or ""
    assert delivered(world, new)["output-info.json"] == INFO
    world.run(3000)
    assert ("ConfigMap", f"{new}-info") in world.objects
    assert ("ConfigMap", "digits-1-info") not in world.objects


def test_a_refused_config_map_is_told_and_keeps_no_pod_from_serving() -> None:
    world = World(refusals={"ConfigMap/digits-1-info": "NotOwned: ConfigMap digits-1-info exists"})
    world.model()
    world.base(outputInfo=INFO)
    world.run(120)
    assert world.serving == "digits-1"
    assert world.conditions("ModelVersion", "digits-1")["InfosDelivered"] == ("False", "InfosRefused")
    world.refusals.clear()
    world.run(60)
    assert "InfosDelivered" not in world.conditions("ModelVersion", "digits-1")


def test_a_config_map_that_somebody_changed_or_deleted_comes_back() -> None:
    world = made(outputInfo=INFO)
    world.remove("ConfigMap", "digits-1-info")
    world.run(10)
    assert delivered(world)["output-info.json"] == INFO
    world.objects["ConfigMap", "digits-1-info"]["data"] = {"output-info.json": "{}"}
    world.run(10)
    assert delivered(world)["output-info.json"] == INFO


class TestDerivedVersions:
    FIELDS = pytest.mark.parametrize(
        ("field", "value"),
        [
            ("description", "New words"),
            ("notes", "Longer words"),
            ("license", "MIT"),
            ("visibility", "Public"),
            ("metadata", {"run": "43"}),
            ("outputInfo", {**INFO, "params": {"threshold": "0.1"}, "fieldsMap": {"a": "b"}}),
        ],
    )

    @FIELDS
    def test_follow_their_base_in_what_can_be_changed(self, field: str, value: object) -> None:
        world = made(outputInfo=INFO, metadata={"run": "42"})
        world.upgrade("v2")
        world.run(200)
        new, pods = world.serving or "", {name for kind, name in world.objects if kind == "Pod"}
        world.writes.clear()
        edit(world, **{field: value})
        world.run(60)
        assert world.objects["ModelVersion", new]["spec"][field] == value
        assert world.serving == new
        assert {name for kind, name in world.objects if kind == "Pod"} == pods
        assert world.writes.count(("apply", "ModelVersion", new)) == 1

    def test_lose_what_their_base_loses(self) -> None:
        world = made(outputInfo=INFO, license="MIT")
        world.upgrade("v2")
        world.run(200)
        edit(world, license=None)
        world.run(60)
        assert "license" not in world.objects["ModelVersion", world.serving or ""]["spec"]

    def test_keep_what_somebody_else_added_without_a_fight(self) -> None:
        world = made(metadata={"run": "42"})
        world.upgrade("v2")
        world.run(200)
        new = world.serving or ""
        # Of another field manager: an apply of ours does not take it away.
        world.objects["ModelVersion", new]["spec"]["metadata"] = {"run": "42", "by": "hand"}
        world.writes.clear()
        world.run(60)
        assert ("apply", "ModelVersion", new) not in world.writes

    def test_take_back_what_somebody_changed(self) -> None:
        world = made(metadata={"run": "42"})
        world.upgrade("v2")
        world.run(200)
        new = world.serving or ""
        edit(world, new, metadata={"run": "13"})
        world.run(60)
        assert world.objects["ModelVersion", new]["spec"]["metadata"] == {"run": "42"}

    def test_keep_their_concepts_when_the_base_is_made_anew_with_others(self) -> None:
        world = made(outputInfo=INFO)
        world.upgrade("v2")
        world.run(200)
        new = world.serving or ""
        world.remove("ModelVersion", "digits-1")
        world.run(10)
        world.base(outputInfo={"data": {"concepts": [{"id": "cat"}]}, "params": {"a": "1"}})
        world.run(60)
        info = world.objects["ModelVersion", new]["spec"]["outputInfo"]
        assert info == {"data": INFO["data"], "params": {"a": "1"}}

    def test_stay_as_they_are_without_their_base(self) -> None:
        world = made(license="MIT")
        world.upgrade("v2")
        world.run(200)
        world.remove("ModelVersion", "digits-1")
        world.run(60)
        assert world.objects["ModelVersion", world.serving or ""]["spec"]["license"] == "MIT"
