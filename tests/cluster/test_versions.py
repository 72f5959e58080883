"""Models and versions apart: what an edit of either does to real pods, and a version that its own Job trains."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.live import REGISTRY
from support.stage import STEADY_SECONDS, Stage, model, open_stage, version

IMAGE = f"{REGISTRY}/base:bookworm"
SERVER = {
    "image": IMAGE,
    "contract": "None",
    "module": None,
    "className": None,
    "command": ["python3", "-m", "http.server", "8080", "--directory", "/etc/topgraft/info"],
}
"""A stock server whose only content is what the operator shows it."""
USER = {"podSecurityContext": {"runAsUser": 65532}}
INFO = {"data": {"concepts": [{"id": "zero"}]}, "params": {"threshold": "0.5"}}
EDITS = {
    "description": "new words",
    "notes": "longer words",
    "metadata": {"run": "43"},
    "visibility": "Public",
    "task": "ocr",
    "trainable": True,
    "languages": ["de"],
    "toolkits": ["numpy"],
    "useCases": ["post"],
}
RETRAIN_SECONDS = 90


def stock(of: str, number: int = 1, **spec: Any) -> dict[str, Any]:
    body = version(of, number=number, adapter=SERVER, **spec)
    adapter = {name: value for name, value in body["spec"]["adapter"].items() if value is not None}
    return {**body, "spec": {**body["spec"], "adapter": adapter}}


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("versions")) as made:
        made.kubectl.apply(model("alone"), *(model(name, serving=USER) for name in ("live", "trained")))
        job = {"image": IMAGE, "command": ["sh", "-c", 'test "$DATASET_VERSION" = abc && sleep 3']}
        info = {"dataset": {"name": "digits", "version": "abc"}}
        waits = stock("trained", 3, trainInfo={"job": {**job, "suspend": True}})
        made.kubectl.apply(stock("live", outputInfo=INFO), stock("trained"), waits)
        for name in ("live", "trained"):
            made.until_serves(name)
        made.kubectl.apply(stock("trained", 2, trainInfo={**info, "job": job}))
        yield made


def pods(stage: Stage, name: str) -> dict[str, int]:
    """uid → restarts of the serving pods."""
    states = (states[-1] for states in stage.watched.all("Pod", model=name, role="serving"))
    bodies = [seen.body for seen in states if not seen.gone]
    return {b["metadata"]["uid"]: sum(c["restartCount"] for c in b["status"]["containerStatuses"]) for b in bodies}


def versions(stage: Stage, name: str) -> set[str]:
    bodies = stage.kubectl.list("modelversions")
    return {b["metadata"]["name"] for b in bodies if b["spec"]["modelRef"]["name"] == name}


def patch(stage: Stage, kind: str, name: str, spec: dict[str, Any]) -> None:
    stage.kubectl("patch", kind, name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")


def output_info(stage: Stage, name: str) -> dict[str, Any]:
    """What the pods of the Model see, asked of them through its Service."""
    address = stage.watched.live("Service", name)["spec"]["clusterIP"]
    connection = http.client.HTTPConnection(address, 8080, timeout=5)
    try:
        connection.request("GET", "/output-info.json")
        found: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, ValueError):
        return {}
    finally:
        connection.close()
    return found


def test_a_model_alone_has_no_version(stage: Stage) -> None:
    stage.until_ready("Model", "alone", "False", "NoVersion")
    assert versions(stage, "alone") == set()


def test_an_edit_of_a_model_rolls_nothing_and_makes_no_version(stage: Stage) -> None:
    before = stage.kubectl.get("deployment", "live-1")
    running = pods(stage, "live")
    patch(stage, "model", "live", EDITS)
    generation = stage.kubectl.get("model", "live")["metadata"]["generation"]
    told = lambda each: stage.watched.live("Model", each)["status"]["observedGeneration"] == generation  # noqa: E731
    stage.until("live", told, STEADY_SECONDS, "the edit is seen")
    assert stage.kubectl.get("deployment", "live-1")["metadata"]["generation"] == before["metadata"]["generation"]
    assert pods(stage, "live") == running
    assert versions(stage, "live") == {"live-1"}


def test_params_reach_running_pods_without_a_new_version_or_a_restart(stage: Stage) -> None:
    stage.until("live", lambda each: output_info(stage, each) == INFO, STEADY_SECONDS, "the first params are seen")
    running, status = pods(stage, "live"), stage.kubectl.get("modelversion", "live-1")["status"]
    began = time.monotonic()
    patch(stage, "modelversion", "live-1", {"outputInfo": {"params": {"threshold": "0.9"}}, "description": "new"})
    wanted = {**INFO, "params": {"threshold": "0.9"}}
    stage.until("live", lambda each: output_info(stage, each) == wanted, STEADY_SECONDS, "the new params are seen")
    print(f"the new params were seen in the pods after {time.monotonic() - began:.1f} s")
    assert pods(stage, "live") == running
    assert versions(stage, "live") == {"live-1"}
    now = stage.kubectl.get("modelversion", "live-1")["status"]
    assert (now["code"], now["name"]) == (status["code"], status["name"]) == (21100, "MODEL_TRAINED")


def test_concepts_of_a_version_cannot_be_patched(stage: Stage) -> None:
    body = json.dumps({"spec": {"outputInfo": {"data": {"concepts": [{"id": "one"}]}}}})
    said = stage.kubectl("patch", "modelversion", "live-1", "--type=merge", f"--patch={body}", check=False)
    assert "spec.outputInfo.data.concepts is immutable on a ModelVersion (21202 MODEL_INVALID_ARGUMENT)" in said


def test_a_version_serves_when_its_own_job_has_trained_it_and_no_other_is_trained(stage: Stage) -> None:
    def code(name: str) -> int | None:
        found: int | None = stage.watched.live("ModelVersion", name).get("status", {}).get("code")
        return found

    stage.until(
        "trained", lambda _: code("trained-2") == 21100, STEADY_SECONDS + RETRAIN_SECONDS, "trained-2 is trained"
    )
    stage.until_selects("trained", "trained-2", STEADY_SECONDS)
    codes = [seen.body.get("status", {}).get("code") for seen in stage.watched.states("ModelVersion", "trained-2")]
    told = [code for code in codes if code is not None]
    assert told == sorted(told, key=(21102, 21103, 21101, 21100).index)
    # The one whose Job waits is the newest, and stays what it is.
    assert code("trained-3") == 21102
    assert stage.selected("trained") == ["trained-1", "trained-2"]
