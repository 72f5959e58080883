"""Objectives and branches with real pods: what is tried beside production, submitted again, and released."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from support.stage import API, STEADY_SECONDS, Stage, condition, model, open_stage, upgrade, version

NAME = "aside"
SUBMITTED: dict[str, Any] = {"objectives": [{"name": "quality"}]}


def given(*releases: tuple[int, str, str], branch: bool = True) -> dict[str, Any]:
    made = [{"number": n, "version": v, "environment": e} for n, v, e in releases]
    branches = [{"name": "next", "objective": "quality"}] if branch else []
    return model(NAME, objectives=[{"name": "quality", "releases": made}], branches=branches)


FIRST = (1, "aside-1", "Production")
TRIED = (2, "aside-2", "Staging")


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Release 1 serves; release 2 is in Staging and runs on the branch."""
    with open_stage(tmp_path_factory.mktemp("objectives")) as made:
        tried = version(NAME, "v2", 2, channel="PreRelease", **SUBMITTED)
        made.kubectl.apply(given(FIRST, TRIED), version(NAME, "v1", **SUBMITTED), tried)
        made.until_serves(NAME)
        yield made


def answered_by(stage: Stage, service: str) -> str:
    """The version that answers at a Service, "" where nothing does."""
    address = stage.watched.live("Service", service).get("spec", {}).get("clusterIP")
    try:
        with urllib.request.urlopen(f"http://{address}:8080/v2/models/{NAME}", timeout=2) as answer:
            return str(json.load(answer)["versions"][0])
    except OSError:
        return ""


def says(stage: Stage, kind: str, name: str, what: str) -> tuple[str, str]:
    return condition(stage.watched.live(kind, name), what)


def test_a_staging_release_answers_on_its_branch_and_nowhere_else(stage: Stage) -> None:
    stage.until(NAME, lambda _: answered_by(stage, "aside-next") == "aside-2", STEADY_SECONDS, "the branch answers")

    def told(_: str) -> bool:
        one = stage.watched.live("Model", NAME)["status"]["branches"][0]
        return (one["version"], one["state"], one["readyReplicas"]) == ("aside-2", "ACTIVE", 1)

    stage.until(NAME, told, 20, "the branch is told")
    answers = {answered_by(stage, NAME) for _ in range(20)}
    assert "aside-1" in answers
    assert "aside-2" not in answers
    assert stage.serving(NAME) == "aside-1"
    slices = stage.kubectl.list("endpointslices", f"kubernetes.io/service-name={NAME}")
    pods = {e["targetRef"]["name"] for one in slices for e in one["endpoints"] or []}
    assert len(pods) == 1
    assert all(pod.startswith("aside-1-") for pod in pods), pods


def test_the_version_of_an_upgrade_is_submitted_again_before_it_is_released(stage: Stage) -> None:
    stage.kubectl.apply(upgrade(NAME, "v2"))
    stage.until_ready("AdapterUpgrade", NAME, "True", "UpgradeSucceeded")
    upgraded = stage.until_serves(NAME)
    assert upgraded not in ("aside-1", "aside-2")
    wanted = ("True", "ParentWasSubmitted")
    for kind, name in (("ModelVersion", upgraded), ("AdapterUpgrade", NAME)):
        stage.until(NAME, lambda _, k=kind, n=name: says(stage, k, n, "ResubmissionRequired") == wanted, 20, kind)
    assert says(stage, "ModelVersion", "aside-1", "ResubmissionRequired") == ("", "")
    mine = f"topgraft.dev/version={upgraded},topgraft.dev/role=serving"
    pods = {p["metadata"]["name"] for p in stage.kubectl.list("pods", mine)}
    # As a person would do it: the one field, by a manager of their own.
    partial = {"apiVersion": API, "kind": "ModelVersion", "metadata": {"name": upgraded}, "spec": SUBMITTED}
    stage.kubectl("apply", "--server-side", "--field-manager=ana", "--filename=-", body=partial)
    for kind, name in (("ModelVersion", upgraded), ("AdapterUpgrade", NAME)):
        stage.until(NAME, lambda _, k=kind, n=name: says(stage, k, n, "ResubmissionRequired") == ("", ""), 20, kind)
    stage.kubectl.apply(given(FIRST, TRIED, (3, upgraded, "Production")))

    def released(_: str) -> bool:
        told = stage.watched.live("Model", NAME)["status"]
        return (told["objectives"][0].get("production"), told["baseVersion"]) == (3, upgraded)

    stage.until(NAME, released, 20, "release 3 is the base")
    assert stage.serving(NAME) == upgraded
    assert pods
    assert {p["metadata"]["name"] for p in stage.kubectl.list("pods", mine)} >= pods
    history = stage.watched.live("Model", NAME)["status"]["objectives"][0]["history"]
    production = [(e["number"], "endTime" in e) for e in history if e["environment"] == "Production"]
    assert production == [(3, False), (1, True)]


def test_a_branch_that_is_taken_away_goes(stage: Stage) -> None:
    stage.kubectl.apply(given(FIRST, TRIED, branch=False))
    stage.until(NAME, lambda _: not stage.watched.live("Service", "aside-next"), 30, "the branch's Service is gone")
    stage.until(NAME, lambda _: not stage.kubectl.list("pods", "topgraft.dev/branch=next"), 60, "its pods are gone")
    assert answered_by(stage, NAME)
