"""What somebody else puts into our Deployments is set right, and never becomes the record."""

from __future__ import annotations

from typing import Any

import pytest

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
