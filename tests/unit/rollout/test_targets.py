"""A target by tag, commit or age: looked up once by a pod, frozen in the status, and never by the operator itself."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from .world import MODEL, REPOSITORY, Crash, World


def served(**model: Any) -> World:
    made = World()
    made.model(**model)
    made.base()
    made.run(120)
    assert made.serving == "digits-1"
    made.writes.clear()
    return made


def order(world: World, **target: Any) -> None:
    spec = {"modelRef": {"name": MODEL}, "target": target, "reason": "BugFix"}
    world.put("AdapterUpgrade", "digits", spec)


def status(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.objects["AdapterUpgrade", "digits"]["status"]
    return found


def at_rest(world: World) -> None:
    world.writes.clear()
    world.run(4000)
    assert world.writes == []


def image(world: World) -> str:
    """What serves."""
    found: str = world.objects["ModelVersion", world.serving or ""]["spec"]["adapter"]["image"]
    return found


def resolve_pod(world: World) -> dict[str, Any] | None:
    return world.objects.get(("Pod", f"{MODEL}-resolve"))


@pytest.mark.parametrize(
    ("target", "asked"),
    [({"tag": "v2"}, "--tag=v2"), ({"commit": "3f2a9c1"}, "--commit=3f2a9c1"), ({"latest": True}, "--latest")],
)
def test_a_target_is_looked_up_and_runs_by_digest(target: dict[str, Any], asked: str) -> None:
    world = served()
    world.registry[asked] = "v2"
    order(world, **target)
    world.run(900)
    digest = world.digest_of("v2")
    assert image(world) == f"{REPOSITORY}:v2@{digest}"
    assert world.objects["ModelVersion", world.serving or ""]["spec"]["source"] == {
        "type": "CodeRepository",
        "commit": "3f2a9c1",
        "tag": "v2",
    }
    found = status(world)["resolved"]
    assert (found["tag"], found["digest"], found["commit"]) == ("v2", digest, "3f2a9c1")
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")
    assert resolve_pod(world) is None
    at_rest(world)


def test_a_tag_that_comes_later_changes_nothing_until_it_is_asked_again() -> None:
    world = served()
    world.registry["--latest"] = "v2"
    order(world, latest=True)
    world.run(30)
    world.registry["--latest"] = "v3"
    world.run(900)
    assert ":v2@" in image(world)
    at_rest(world)
    world.annotations("AdapterUpgrade", "digits")["topgraft.dev/retry-at"] = "again"
    world.run(900)
    assert status(world)["resolved"]["tag"] == "v3"
    assert ":v3@" in image(world)
    at_rest(world)


def test_nothing_moves_while_it_is_looked_up() -> None:
    world = served()
    world.registry["--latest"] = "silent"
    order(world, latest=True)
    world.run(60)
    said = world.conditions("AdapterUpgrade", "digits")
    assert said["Ready"] == ("Unknown", "Resolving")
    assert said["Reconciling"] == ("True", "Resolving")
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")
    assert {kind for _, kind, _ in world.writes} == {"Model", "AdapterUpgrade", "Pod"}


@pytest.mark.parametrize("reason", ["TagNotFound", "CommitNotFound", "CommitNotTagged", "LatestAmbiguous"])
def test_what_is_not_there_is_told_and_remembered(reason: str) -> None:
    world = served()
    world.registry["--latest"] = f"error:{reason}"
    order(world, latest=True)
    world.run(300)
    said = world.conditions("AdapterUpgrade", "digits")
    assert said["Ready"] == ("False", reason)
    assert said["Accepted"] == ("False", reason)
    assert said["Stalled"] == ("True", reason)
    assert world.conditions("Model", MODEL)["Ready"] == ("False", reason)
    assert world.serving == "digits-1"
    assert resolve_pod(world) is None
    world.registry["--latest"] = "v2"
    at_rest(world)
    order(world, tag="v2")
    world.registry["--tag=v2"] = "v2"
    world.run(300)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")


def test_a_commit_without_a_tag_is_asked_for_again_when_the_policy_changes() -> None:
    world = served(publishPolicy="TagOnly")
    world.registry["--commit=3f2a9c1"] = "error:CommitNotTagged"
    order(world, commit="3f2a9c1")
    world.run(300)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "CommitNotTagged")
    world.registry["--commit=3f2a9c1"] = "3f2a9c1"
    world.model(publishPolicy="EveryCommit")
    world.run(300)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")
    serving = world.serving
    world.model(publishPolicy="TagOnly")
    world.run(300)
    assert world.serving == serving, "what was found stays"


@pytest.mark.parametrize("image", ["3f2a9c1", "sha-3f2a9c1d", f"{REPOSITORY}@sha256:{'1' * 64}"])
def test_an_untagged_commit_is_not_picked_under_tag_only(image: str) -> None:
    world = served(publishPolicy="TagOnly")
    world.upgrade(image)
    world.run(300)
    assert world.serving == "digits-1"
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "CommitNotTagged")
    world.model()
    world.run(300)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")


def test_a_tagged_image_is_picked_under_tag_only() -> None:
    world = served(publishPolicy="TagOnly")
    world.upgrade("v2")
    world.run(300)
    assert world.serving_tag == "v2"


@pytest.mark.parametrize("reason", ["RegistryUnavailable", "ImagePullDenied"])
def test_a_registry_that_does_not_answer_is_asked_again(reason: str) -> None:
    world = served()
    world.registry["--latest"] = f"error:{reason}"
    order(world, latest=True)
    world.run(60)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", reason)
    world.run(900)
    said = world.conditions("AdapterUpgrade", "digits")
    assert (said["Ready"], said["Stalled"]) == (("False", reason), ("True", reason))
    told = [c for c in status(world)["conditions"] if c["type"] == "Ready"]
    world.writes.clear()
    world.run(600)
    assert {kind for _, kind, _ in world.writes} == {"Pod"}, "told once, tried again"
    assert len(world.writes) <= 2 * 600 / 30 + 2
    assert [c for c in status(world)["conditions"] if c["type"] == "Ready"] == told
    world.registry["--latest"] = "v2"
    world.run(300)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")


def test_the_image_that_the_base_runs_already_is_the_base() -> None:
    world = served()
    assert world.objects["ModelVersion", "digits-1"]["status"]["adapter"]["imageDigest"] == world.digest_of("v1")
    world.registry["--tag=v1"] = "v1"
    order(world, tag="v1")
    world.run(300)
    assert world.serving == "digits-1"
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")
    assert not [name for kind, name in world.objects if kind == "ModelVersion" and name != "digits-1"]


def test_another_edit_forgets_the_answer_and_an_image_by_name_needs_none() -> None:
    world = served()
    world.registry["--latest"] = "v2"
    order(world, latest=True)
    world.run(300)
    world.upgrade("v3")
    world.run(300)
    assert world.serving_tag == "v3"
    assert "resolved" not in status(world)


def test_a_suspended_or_pinned_upgrade_asks_nobody() -> None:
    world = served()
    spec = {"modelRef": {"name": MODEL}, "target": {"latest": True}, "reason": "BugFix", "suspend": True}
    world.put("AdapterUpgrade", "digits", spec)
    world.run(60)
    assert resolve_pod(world) is None
    world.registry["--latest"] = "silent"
    order(world, latest=True)
    world.run(5)
    assert resolve_pod(world) is not None
    world.model(serving={"version": "digits-1"})
    world.run(60)
    assert resolve_pod(world) is None


def test_the_pod_has_the_pull_secrets_of_the_model_and_no_token() -> None:
    world = served(serving={"imagePullSecrets": [{"name": "team-registry"}, {"name": "other"}]})
    world.registry["--latest"] = "silent"
    order(world, latest=True)
    world.run(5)
    pod = resolve_pod(world)
    assert pod is not None
    spec = pod["spec"]
    assert [v["secret"] for v in spec["volumes"]] == [
        {"secretName": "team-registry", "optional": True},
        {"secretName": "other", "optional": True},
    ]
    assert all(mount["readOnly"] for mount in spec["containers"][0]["volumeMounts"])
    assert spec["automountServiceAccountToken"] is False
    assert spec["containers"][0]["args"][:4] == [
        "tags",
        f"--repository={REPOSITORY}",
        "--policy=EveryCommit",
        "--latest",
    ]


@pytest.mark.parametrize(
    "message",
    ["", "{}", '{"digest": "sha256:1", "tag": "v2"}', f'{{"digest": "sha256:{"1" * 64}", "tag": "v2; rm"}}', "[1]"],
)
def test_an_answer_that_makes_no_sense_is_none(message: str) -> None:
    world = served()
    world.registry["--latest"] = "silent"
    order(world, latest=True)
    world.run(5)
    pod = resolve_pod(world)
    assert pod is not None
    world._end(pod, "resolve", 0, message)
    world.run(10)
    assert "resolved" not in status(world)
    world.registry["--latest"] = "v2"
    world.run(120)
    assert status(world)["resolved"]["tag"] == "v2"


@pytest.mark.parametrize("crash_at", range(14))
def test_killed_after_any_write_it_comes_to_the_same_end(crash_at: int) -> None:
    world = served()
    world.registry["--latest"] = "v2"
    order(world, latest=True)
    world.crash_at = crash_at
    with suppress(Crash):
        world.run(300)
    world.crash_at = None
    world.run(900)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")
    assert status(world)["resolved"]["tag"] == "v2"
