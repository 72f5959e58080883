"""The artifacts stay, the runtime moves on: a flex head that an old runtime fails on, with its known text."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import heads
import pytest
from support.live import REGISTRY, ROOT, Body
from support.stage import STEADY_SECONDS, Stage, condition, message, model, open_stage, version
from support.stage import upgrade as upgrade_of

TEXT = "Cannot automatically convert prediction head of model class RobertaAdapterModel to flex head."
REASON = "HeadConversionUnsupported"
IMAGE = f"{REGISTRY}/text-classifier"
HEAD = {"mode": "Require", "headName": "sentiment"}
RESOURCES = {"requests": {"cpu": "10m", "memory": "300Mi"}, "limits": {"memory": "1Gi"}}
SECONDS = 300
"""Torch takes seconds to import, on a machine that runs other tests a minute."""


def reviews(name: str, tag: str) -> list[Body]:
    adapter = {"image": f"{IMAGE}:{tag}", "module": "text_classifier", "className": "TextClassifier"}
    serving = {"resources": RESOURCES, "probes": {"startupSeconds": SECONDS}}
    volume = {"configMap": {"name": "reviews"}}
    return [
        model(name, serving=serving),
        version(name, volume=volume, adapter=adapter, headConversion=HEAD),
    ]


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    artifacts = tmp_path_factory.mktemp("artifacts")
    command = [heads.python(), ROOT / "examples/heads/artifact.py", artifacts]
    subprocess.run(command, env={**os.environ, **heads.environment()}, check=True, timeout=120)
    with open_stage(tmp_path_factory.mktemp("heads")) as made:
        made.kubectl("create", "configmap", "reviews", f"--from-file={artifacts}")
        made.kubectl.apply(*reviews("old", "v1"), *reviews("new", "v2"))
        yield made


@pytest.fixture(scope="module")
def refused(stage: Stage) -> Body:
    """The first version of `old`, whose runtime fails on the artifacts."""
    return stage.until_ready("ModelVersion", "old-1", "False", REASON, SECONDS)


@pytest.fixture(scope="module")
def mended(stage: Stage, refused: Body) -> Body:
    """Its upgrade, done."""
    stage.kubectl.apply(upgrade_of("old", f"{IMAGE}:v2", reason="DependencyFix"))
    return stage.until_ready("AdapterUpgrade", "old", "True", "UpgradeSucceeded", SECONDS)


def _status(stage: Stage, version: str) -> Body:
    found: Body = stage.watched.live("ModelVersion", version).get("status", {})
    return found


def test_an_old_runtime_serves_nothing_and_says_why(stage: Stage, refused: Body) -> None:
    assert TEXT in message(refused)
    told = refused["status"]["headConversion"]
    assert (told["from"], told["to"], told["result"]) == ("RobertaAdapterModel", "RobertaModelWithHeads", "Unsupported")
    assert stage.serving("old") != "old-1"


def test_the_upgrade_serves_the_same_bytes(stage: Stage, mended: Body) -> None:
    name = mended["status"]["toVersion"]
    # There was nothing to watch against, so the upgrade ended with the switch; the version's status is the next write.
    told = stage.until("old", lambda _: _status(stage, name).get("headConversion"), STEADY_SECONDS, "the head is told")
    made = stage.watched.live("ModelVersion", name)
    assert (told["to"], told["headName"], told["result"]) == ("RobertaAdapterModel", "sentiment", "NotNeeded")
    assert made["spec"]["artifact"] == stage.watched.live("ModelVersion", "old-1")["spec"]["artifact"]
    new = stage.watched.live("ModelVersion", "new-1")
    assert made["status"]["artifact"]["digest"] == new["status"]["artifact"]["digest"]


def test_the_way_back_to_the_old_runtime_is_refused(stage: Stage) -> None:
    stage.until_serves("new", SECONDS)
    stage.kubectl.apply(upgrade_of("new", f"{IMAGE}:v1"))
    body = stage.until_ready("AdapterUpgrade", "new", "False", REASON, SECONDS)
    assert TEXT in message(body)
    assert condition(body, "RolledBack")[0] == "True"
    assert stage.selected("new") == ["new-1"]


def test_the_model_answers(stage: Stage, mended: Body) -> None:
    pod = stage.watched.all("Pod", model="old", role="serving")[-1][-1].body["metadata"]["name"]
    body = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["this movie was great"]}]}
    program = (
        "import sys,urllib.request as u; print(u.urlopen(u.Request('http://127.0.0.1:8080/v2/models/old/infer', "
        "sys.argv[1].encode())).read().decode())"
    )
    said: Any = json.loads(stage.kubectl("exec", pod, "--", "python", "-c", program, json.dumps(body)))
    label, scores = (output["data"] for output in said["outputs"])
    assert label[0] in ("negative", "neutral", "positive")
    assert abs(sum(scores) - 1) < 1e-3
