"""Objectives and what serves: a release to Production selects the base; an upgrade has to be submitted again."""

from __future__ import annotations

from typing import Any

import pytest
from topgraft.rollout.instructions import Apply
from topgraft.rollout.plan import plan

from .world import MODEL, World

SUBMITTED: dict[str, Any] = {"objectives": [{"name": "quality"}]}


def objectives(*released: tuple[int, str], checks: tuple[Any, ...] = (), environment: str = "Production") -> Any:
    releases = [{"number": n, "version": v, "environment": environment} for n, v in released]
    return {"objectives": [{"name": "quality", "releases": releases, "checks": checks}]}


@pytest.fixture
def world() -> World:
    """Release 1 is digits-1, which serves."""
    made = World(images={"v4": "crash"})
    made.model(**objectives((1, "digits-1")))
    made.base(**SUBMITTED)
    made.run(120)
    assert made.serving == "digits-1"
    made.writes.clear()
    return made


def submissions(world: World, name: str) -> dict[str, str]:
    status = world.objects["ModelVersion", name]["status"]
    return {record["name"]: record["state"] for record in status.get("submissions", [])}


def resubmission(world: World, kind: str, name: str) -> str | None:
    said = world.objects[kind, name]["status"]["conditions"]
    return next((c["message"] for c in said if c["type"] == "ResubmissionRequired"), None)


def test_idle_it_writes_nothing(world: World) -> None:
    world.run(3600)
    assert world.writes == []


def test_a_newer_version_serves_when_it_is_released_and_not_before(world: World) -> None:
    world.base("digits-2", "v2")
    world.run(200)
    assert world.serving == "digits-1"
    world.model(**objectives((1, "digits-1"), (2, "digits-2")))
    world.run(200)
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["ReleaseWaiting"] == ("True", "NotSubmitted")
    world.base("digits-2", "v2", **SUBMITTED)
    world.run(200)
    assert world.serving == "digits-2"
    assert "ReleaseWaiting" not in world.conditions("Model", MODEL)
    told = world.objects["Model", MODEL]["status"]["objectives"]
    assert [(e["number"], "endTime" in e) for e in told[0]["history"]] == [(2, False), (1, True)]


def test_a_reverted_release_goes_back(world: World) -> None:
    world.base("digits-2", "v2", **SUBMITTED)
    world.model(**objectives((1, "digits-1"), (2, "digits-2")))
    world.run(200)
    assert world.serving == "digits-2"
    world.model(**objectives((1, "digits-1")))
    world.run(200)
    assert world.serving == "digits-1"


def test_a_release_of_an_older_version_goes_back_too(world: World) -> None:
    world.base("digits-2", "v2", **SUBMITTED)
    world.model(**objectives((1, "digits-1"), (2, "digits-2"), (3, "digits-1")))
    world.run(200)
    assert world.serving == "digits-1"
    assert world.objects["Model", MODEL]["status"]["objectives"][0]["production"] == 3


def test_a_staging_release_moves_no_production_traffic(world: World) -> None:
    world.base("digits-2", "v2", **SUBMITTED)
    staged = objectives((1, "digits-1"))
    staged["objectives"][0]["releases"].append({"number": 2, "version": "digits-2"})
    world.model(**staged)
    world.run(200)
    assert world.serving == "digits-1"
    assert world.objects["Model", MODEL]["status"]["objectives"][0]["staging"] == 2


def test_a_required_check_holds_a_release_until_it_has_passed(world: World) -> None:
    look = {"name": "look", "type": "Manual", "required": True}
    world.base("digits-2", "v2", **SUBMITTED)
    world.model(**objectives((1, "digits-1"), (2, "digits-2"), checks=(look,)))
    world.run(200)
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["ReleaseWaiting"] == ("True", "CheckNotPassed")
    approved = {"name": "quality", "reviews": [{"check": "look", "by": "ana", "decision": "Approve"}]}
    world.base("digits-2", "v2", objectives=[approved])
    world.run(200)
    assert world.serving == "digits-2"
    world.base("digits-2", "v2", **SUBMITTED)
    world.run(200)
    assert world.serving == "digits-2", "a review taken back moves no traffic"
    assert submissions(world, "digits-2") == {"quality": "Released"}


def test_nothing_released_yet_waits_and_says_so() -> None:
    world = World()
    world.model(**objectives((1, "digits-1")))
    world.base()
    world.run(60)
    assert world.serving is None
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "NotSubmitted")
    assert "Stalled" not in world.conditions("Model", MODEL)
    world.base(**SUBMITTED)
    world.run(120)
    assert world.serving == "digits-1"


def test_the_first_objective_of_a_model_that_serves_stops_nothing() -> None:
    world = World()
    world.model()
    world.base()
    world.run(120)
    look = {"name": "look", "type": "Manual", "required": True}
    world.model(**objectives((1, "digits-1"), checks=(look,)))
    world.base("digits-2", "v2")
    world.upgrade("v3")
    world.run(200)
    assert world.serving_tag == "v3"
    said = world.conditions("Model", MODEL)
    assert (said["Ready"], said["ReleaseWaiting"]) == (("True", "Serving"), ("True", "NotSubmitted"))


def test_the_version_of_an_upgrade_has_to_be_submitted_again(world: World) -> None:
    world.upgrade("v2")
    world.run(200)
    upgraded = world.serving or ""
    assert world.serving_tag == "v2"
    assert "objectives" not in world.objects["ModelVersion", upgraded]["spec"]
    assert resubmission(world, "ModelVersion", upgraded) == (
        "not submitted to 'quality' (ModelVersion 'digits-1' was): "
        "add it to spec.objectives of this ModelVersion, or go on without"
    )
    assert (resubmission(world, "AdapterUpgrade", "digits") or "").startswith(f"{upgraded}: not submitted")
    assert resubmission(world, "ModelVersion", "digits-1") is None
    spec = world.objects["ModelVersion", upgraded]["spec"]
    world.put("ModelVersion", upgraded, {**spec, **SUBMITTED})
    world.run(60)
    assert resubmission(world, "ModelVersion", upgraded) is None
    assert resubmission(world, "AdapterUpgrade", "digits") is None
    assert submissions(world, upgraded) == {"quality": "Submitted"}
    world.writes.clear()
    world.model(**objectives((1, "digits-1"), (2, upgraded)))
    world.run(60)
    assert world.serving == upgraded
    assert submissions(world, upgraded) == {"quality": "Released"}
    assert {kind for verb, kind, _ in world.writes} <= {"Model", "ModelVersion", "AdapterUpgrade"}
    world.upgrade("v3")
    world.run(200)
    assert world.serving_tag == "v3"
    assert "(ModelVersion " in (resubmission(world, "ModelVersion", world.serving or "") or "")


def test_from_version_follows_the_release_of_what_was_made_of_it(world: World) -> None:
    world.upgrade("v2", fromVersion="digits-1")
    world.run(200)
    upgraded = world.serving or ""
    spec = world.objects["ModelVersion", upgraded]["spec"]
    world.put("ModelVersion", upgraded, {**spec, **SUBMITTED})
    world.model(**objectives((1, "digits-1"), (2, upgraded)))
    world.run(100)
    assert world.serving == upgraded
    world.upgrade("v3", fromVersion="digits-1")
    world.run(200)
    assert world.serving_tag == "v3"


def test_a_check_that_changes_is_told_on_versions_at_rest(world: World) -> None:
    world.base("digits-2", "v2", metadata={"accuracy": "0.9"}, **SUBMITTED)
    world.run(60)
    metric = {"name": "good", "type": "Metric", "metric": {"name": "accuracy", "min": "0.95"}}
    world.model(**objectives((1, "digits-1"), checks=(metric,)))
    world.run(60)
    (record,) = world.objects["ModelVersion", "digits-2"]["status"]["submissions"]
    assert record["checks"] == [{"name": "good", "state": "Rejected", "message": "accuracy is 0.9, below 0.95"}]


def test_a_release_that_fails_on_its_pods_leaves_the_former_one(world: World) -> None:
    world.base("digits-4", "v4", **SUBMITTED)
    world.model(**objectives((1, "digits-1"), (2, "digits-4")))
    world.run(300)
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "CrashLoop")


def test_a_released_version_that_is_deleted_stays_what_serves(world: World) -> None:
    world.base("digits-2", "v2", **SUBMITTED)
    world.model(**objectives((1, "digits-1"), (2, "digits-2")))
    world.run(200)
    world.remove("ModelVersion", "digits-2")
    world.run(60)
    assert world.serving == "digits-2"
    assert world.conditions("Model", MODEL)["Ready"][1] == "BaseVersionMissing"


def test_released_versions_are_not_pruned(world: World) -> None:
    for tag in ("v2", "v3"):
        world.upgrade(tag)
        world.run(1000)
    kept = world.serving or ""
    spec = world.objects["ModelVersion", kept]["spec"]
    world.put("ModelVersion", kept, {**spec, **SUBMITTED})
    staged = objectives((1, "digits-1"))
    staged["objectives"][0]["releases"].append({"number": 2, "version": kept})
    world.model(versionHistoryLimit=0, **staged)
    for tag in ("v5", "v6"):
        world.upgrade(tag)
        world.run(1000)
    assert ("ModelVersion", kept) in world.objects


def test_what_follows_the_base_leaves_the_submissions_to_their_owner(world: World) -> None:
    world.upgrade("v2")
    world.run(200)
    upgraded = world.serving or ""
    world.put("ModelVersion", upgraded, {**world.objects["ModelVersion", upgraded]["spec"], **SUBMITTED})
    world.run(10)
    world.base(description="Better told", **SUBMITTED)
    writes = plan(world.observe(), world.now).writes
    (body,) = (w.body for w in writes if isinstance(w, Apply) and w.body["metadata"]["name"] == upgraded)
    assert body["spec"]["description"] == "Better told"
    assert "objectives" not in body["spec"]
