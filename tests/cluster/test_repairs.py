"""Hands in the machinery: whatever is deleted or edited, the Service is soon back on the last verified version."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.stage import QUICK, STEADY_SECONDS, Stage, condition, model, open_stage, upgrade, version
from support.watched import Seen

GOAL_SECONDS = 2.0
LIMIT_SECONDS = 5.0
"""Two busy processors may miss the goal; the state may not be missed."""
LONG_BAKE = {"rollback": {"bakeSeconds": 600, "standbySeconds": 600}}
SHORT_BAKE = {"rollback": {**QUICK["rollback"], "standbySeconds": 600}}
BAKING = ("pods", "deployment", "service-baking")
BAKED = ("selector", "service", "standby", "scaled")


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("repairs")) as made:
        yield made


@pytest.fixture(scope="module")
def upgraded(stage: Stage) -> dict[str, str]:
    """Every Model went from v1 to v2; some are still watched, with v1 at full size. Model → version of v2."""
    names = {**dict.fromkeys(BAKING, LONG_BAKE), **dict.fromkeys(BAKED, SHORT_BAKE)}
    for name, spec in names.items():
        stage.kubectl.apply(model(name, **spec), version(name, "v1"))
    for name in names:
        stage.until_serves(name)
    stage.kubectl.apply(*(upgrade(name, "v2") for name in names))
    for name in BAKED:
        stage.until_ready("AdapterUpgrade", name, "True", "UpgradeSucceeded")
        stage.until_serves(name)
    for name in BAKING:
        stage.until_ready("AdapterUpgrade", name, "Unknown", "Baking")
    stage.probe(*names)
    return {name: str(stage.serving(name)) for name in names}


def _repaired(stage: Stage, name: str, to: str, cause: Seen) -> None:
    """The Service selects `to` soon after the cause was seen."""
    stage.until_selects(name, to, LIMIT_SECONDS + 30)
    after = stage.watched.states("Service", name, cause.at)
    done = next((s for s in after if not s.gone and s.body["spec"]["selector"].get("topgraft.dev/version") == to), None)
    assert done is not None, stage.story(name)
    took = done.at - cause.at
    print(f"{name}: Service on {to} after {took:.2f} s (goal {GOAL_SECONDS:g} s)")
    assert took < LIMIT_SECONDS, stage.story(name)


def _first(stage: Stage, kind: str, name: str, since: float, wanted: str = "") -> Seen:
    """The first state since then; with `wanted` the first that is gone, or selects something else."""

    def found() -> Seen | None:
        for seen in stage.watched.states(kind, name, since):
            meta = seen.body["metadata"]
            if kind == "Service" and wanted and not seen.gone:
                if seen.body["spec"]["selector"].get("topgraft.dev/version") != wanted:
                    return seen
            elif seen.gone or "deletionTimestamp" in meta:
                return seen
        return None

    cause = stage.watched.until(found, STEADY_SECONDS, f"{kind} {name} changed")
    assert cause is not None
    return cause


def _taken_and_back(stage: Stage, name: str, candidate: str) -> None:
    """Hands took the pods, the version is not to blame: it serves again as soon as it has pods."""
    stage.until(
        name,
        lambda each: stage.watched.live("Model", each)["status"].get("lastRollback") is not None,
        STEADY_SECONDS,
        "the rollback is told",
    )
    rollback = stage.watched.live("Model", name)["status"]["lastRollback"]
    assert (rollback["from"], rollback["to"], rollback["reason"]) == (candidate, f"{name}-1", "PodsDisrupted")
    stage.until_selects(name, candidate, STEADY_SECONDS)
    assert not stage.failures(name), stage.story(name)
    print(f"{name}: {rollback['reason']}, told {rollback['durationMilliseconds']} ms after the decision")


def _live_pods(stage: Stage, name: str, of: str) -> list[str]:
    found = stage.watched.all("Pod", model=name, version=of, role="serving")
    return [
        states[-1].body["metadata"]["name"]
        for states in found
        if not states[-1].gone and "deletionTimestamp" not in states[-1].body["metadata"]
    ]


def test_all_candidate_pods_gone_at_the_moment_of_the_rollback(stage: Stage, upgraded: dict[str, str]) -> None:
    name, since = "pods", time.monotonic()
    pods = _live_pods(stage, name, upgraded[name])
    stage.kubectl("delete", "pods", *pods, "--grace-period=0", "--force", "--wait=false")
    _repaired(stage, name, f"{name}-1", _first(stage, "Pod", pods[0], since))
    _taken_and_back(stage, name, upgraded[name])


def test_the_candidates_deployment_deleted_by_hand_in_the_bake(stage: Stage, upgraded: dict[str, str]) -> None:
    name, since = "deployment", time.monotonic()
    stage.kubectl("delete", "deployment", upgraded[name], "--wait=false")
    _repaired(stage, name, f"{name}-1", _first(stage, "Deployment", upgraded[name], since))
    _taken_and_back(stage, name, upgraded[name])


def test_the_standby_takes_over_after_the_bake_too(stage: Stage, upgraded: dict[str, str]) -> None:
    name, since = "standby", time.monotonic()
    stage.kubectl("delete", "deployment", upgraded[name], "--wait=false")
    _repaired(stage, name, f"{name}-1", _first(stage, "Deployment", upgraded[name], since))
    _taken_and_back(stage, name, upgraded[name])


def test_the_services_selector_edited_by_hand(stage: Stage, upgraded: dict[str, str]) -> None:
    name, since = "selector", time.monotonic()
    patch: dict[str, Any] = {"spec": {"selector": {"topgraft.dev/version": f"{name}-1"}}}
    stage.kubectl("patch", "service", name, "--type=merge", f"--patch={json.dumps(patch)}")
    _repaired(stage, name, upgraded[name], _first(stage, "Service", name, since, upgraded[name]))
    assert stage.ready("AdapterUpgrade", name) == ("True", "UpgradeSucceeded")


def test_a_foreign_selector_key_is_taken_out_again(stage: Stage, upgraded: dict[str, str]) -> None:
    """A merge that adds a key leaves ours as they are; the Service selects nothing all the same."""
    name = "selector"
    stage.until_selects(name, upgraded[name], STEADY_SECONDS)
    patch: dict[str, Any] = {"spec": {"selector": {"by": "hand"}}}
    stage.kubectl("patch", "service", name, "--type=merge", f"--patch={json.dumps(patch)}")
    stage.watched.until(
        lambda: "by" not in stage.watched.live("Service", name)["spec"]["selector"],
        LIMIT_SECONDS,
        lambda: f"the key is gone: {stage.watched.live('Service', name)['spec']['selector']}\n{stage.story(name)}",
    )


def test_the_service_deleted(stage: Stage, upgraded: dict[str, str]) -> None:
    name, since = "service", time.monotonic()
    stage.kubectl("delete", "service", name, "--wait=false")
    _repaired(stage, name, upgraded[name], _first(stage, "Service", name, since))
    time.sleep(3)
    assert stage.until_serves(name) == upgraded[name]
    assert not stage.watched.all("Pod", since=since, model=name, role="preflight"), "verified once is enough"
    assert condition(stage.watched.live("Model", name), "RollbackReady") == ("True", "StandbyReady")


def test_the_service_deleted_in_the_bake(stage: Stage, upgraded: dict[str, str]) -> None:
    """What baked goes on to be watched, and v1 stays ready to take over."""
    name, since = "service-baking", time.monotonic()
    stage.kubectl("delete", "service", name, "--wait=false")
    _repaired(stage, name, upgraded[name], _first(stage, "Service", name, since))
    stage.until_ready("AdapterUpgrade", name, "Unknown", "Baking")
    time.sleep(3)
    assert stage.selected(name)[-1] == upgraded[name]
    assert stage.ready("AdapterUpgrade", name) == ("Unknown", "Baking")
    assert condition(stage.watched.live("Model", name), "RollbackReady") == ("True", "StandbyReady")
    assert stage.failures(name) == {}
    assert _live_pods(stage, name, f"{name}-1")


def test_a_deployment_scaled_by_hand(stage: Stage, upgraded: dict[str, str]) -> None:
    name = "scaled"
    stage.kubectl("scale", "deployment", upgraded[name], "--replicas=2")
    stage.watched.until(
        lambda: (
            stage.watched.live("Deployment", upgraded[name])["metadata"]["generation"] >= 2
            and stage.watched.live("Deployment", upgraded[name])["spec"]["replicas"] == 1
        ),
        LIMIT_SECONDS,
        "the Deployment has the Model's size again",
    )


def test_a_standby_slice_deleted_by_hand(stage: Stage, upgraded: dict[str, str]) -> None:
    name = "scaled"
    slices = stage.watched.until(
        lambda: _standby_slices(stage, name), STEADY_SECONDS, lambda: f"armed\n{stage.story(name)}"
    )
    stage.kubectl("delete", "endpointslice", slices[0], "--wait=false")
    stage.watched.until(
        lambda: len(stage.watched.states("EndpointSlice", slices[0])) > 1 and _standby_slices(stage, name) == slices,
        LIMIT_SECONDS,
        lambda: f"armed again\n{stage.story(name)}",
    )


def _standby_slices(stage: Stage, name: str) -> list[str]:
    return [
        states[-1].body["metadata"]["name"]
        for states in stage.watched.all("EndpointSlice", model=name)
        if not states[-1].gone and states[-1].body["metadata"]["name"].endswith("-standby")
    ]
