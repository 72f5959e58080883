"""What somebody else puts into our Deployments is set right, and never becomes the record."""

from __future__ import annotations

from typing import Any

import pytest
from topgraft.rollout.conditions import rfc3339
from topgraft.rollout.instructions import Apply, Plan
from topgraft.rollout.views import VERSION_LABEL

from .world import MODEL, REPOSITORY, World

OTHER = "sha256:" + "e" * 64


@pytest.fixture
def world() -> World:
    """digits-1 serves; digits-2 is recorded, with its digest, and runs in a branch too."""
    made = World()
    made.model(branches=[{"name": "try", "version": "digits-2"}])
    made.base(revision=1)
    made.base("digits-2", "v2", channel="PreRelease")
    made.model(branches=[{"name": "try", "version": "digits-2"}], serving={"version": "digits-2"})
    made.run(900)
    made.remove("Deployment", "digits-try")
    made.model(branches=[{"name": "try", "version": "digits-2"}], serving={"version": "digits-1"})
    made.run(900)
    made.model(branches=[{"name": "try", "version": "digits-2"}])
    made.run(60)
    assert made.serving == "digits-1"
    return made


def container(world: World, deployment: str) -> dict[str, Any]:
    found: dict[str, Any] = world.objects["Deployment", deployment]["spec"]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize("image", [f"evil:v9@{OTHER}", f"evil:v9@{World.digest_of('v1')}", "{own}@" + OTHER])
@pytest.mark.parametrize(
    ("deployment", "version", "tag"), [("digits-1", "digits-1", "v1"), ("digits-try", "digits-2", "v2")]
)
def test_an_image_put_into_a_deployment_by_hand_is_set_back(
    world: World, deployment: str, version: str, tag: str, image: str
) -> None:
    own = f"{REPOSITORY}:{tag}"
    before = container(world, deployment)["image"]
    assert before.startswith(f"{own}@sha256:")
    digest = world.objects["ModelVersion", version]["status"]["adapter"]["imageDigest"]
    container(world, deployment)["image"] = image.format(own=own)
    world.objects["Deployment", deployment]["metadata"]["generation"] += 1
    world.run(60)
    assert container(world, deployment)["image"] == before
    assert world.objects["ModelVersion", version]["status"]["adapter"]["imageDigest"] == digest
    assert world.objects["Model", MODEL]["status"]["adapterImage"] == container(world, "digits-1")["image"]


def test_a_digest_in_the_deployment_is_kept_where_nothing_else_tells_one(world: World) -> None:
    del world.objects["ModelVersion", "digits-1"]["status"]
    world.run(60)
    assert container(world, "digits-1")["image"] == f"{REPOSITORY}:v1@{world.digest_of('v1')}"


def ending(world: World, kind: str, name: str) -> None:
    """Somebody deletes it, and a finalizer holds it."""
    world.objects[kind, name]["metadata"]["deletionTimestamp"] = rfc3339(world.now)


def test_a_serving_deployment_that_is_being_deleted_holds_up_nothing_else(world: World) -> None:
    ending(world, "Deployment", "digits-1")
    world.upgrade("v3")
    world.writes.clear()
    world.run(120)
    assert ("apply", "Deployment", "digits-1") not in world.writes
    assert world.serving_tag == "v3"


def test_a_deployment_that_is_being_deleted_is_told_and_made_anew_once_it_is_gone(world: World) -> None:
    ending(world, "Deployment", "digits-1")
    world.run(60)
    assert world.conditions("Model", MODEL)["Ready"] == ("Unknown", "ChildTerminating")
    world.writes.clear()
    world.run(600)
    assert world.writes == []
    world.remove("Deployment", "digits-1")
    world.run(60)
    assert "deletionTimestamp" not in world.objects["Deployment", "digits-1"]["metadata"]
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")


def test_a_service_that_is_being_deleted_is_told_and_comes_back(world: World) -> None:
    ending(world, "Service", MODEL)
    world.run(60)
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "ChildTerminating")
    world.upgrade("v3")
    world.run(60)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"][1] == "ChildTerminating"
    world.remove("Service", MODEL)
    world.run(120)
    assert world.serving_tag == "v3"


def test_a_branchs_children_that_are_being_deleted_are_told_and_made_anew(world: World) -> None:
    for kind in ("Deployment", "Service"):
        ending(world, kind, "digits-try")
        world.run(60)
        assert world.objects["Model", MODEL]["status"]["branches"][0]["reason"] == "ChildTerminating"
        world.writes.clear()
        world.run(600)
        assert world.writes == []
        world.remove(kind, "digits-try")
        world.run(60)
        assert (kind, "digits-try") in world.objects


def test_a_version_named_like_a_running_branch_gets_its_name(world: World) -> None:
    world.base("digits-try", "v3", revision=3)
    world.objects["ModelVersion", "digits-try"]["spec"]["adapter"]["image"] += f"@{OTHER}"
    world.writes.clear()
    world.run(120)
    assert world.serving == "digits-try"
    made = world.writes.index(("apply", "Deployment", "digits-try"))
    assert world.writes.index(("delete", "Deployment", "digits-try")) < made
    assert world.conditions("Model", MODEL)["BranchesReady"] == ("False", "BranchNameTaken")


@pytest.mark.parametrize("label", [None, "digits-2"])
def test_a_deployment_whose_version_label_was_changed_is_no_other_versions(world: World, label: str | None) -> None:
    labels = world.objects["Deployment", "digits-1"]["metadata"]["labels"]
    labels.pop(VERSION_LABEL)
    if label is not None:
        labels[VERSION_LABEL] = label
    world.writes.clear()
    world.run(60)
    assert world.objects["Deployment", "digits-1"]["metadata"]["labels"][VERSION_LABEL] == "digits-1"
    assert [w for w in world.writes if w[0] == "delete"] == []


def test_the_slices_of_a_standby_are_not_written_over_somebody_elses(world: World) -> None:
    made: list[Apply] = []

    def look() -> Plan:
        done = world.look()
        made.extend(w for w in done.writes if isinstance(w, Apply) and w.body["kind"] == "EndpointSlice")
        return done

    world.upgrade("v3")
    world.run(90, look)
    assert len(made) == 2
    assert all(write.new for write in made)
