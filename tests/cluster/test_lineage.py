"""Real pods: a sandbox with its tests, the way back to a commit, and what lineage keeps out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from support.stage import REPOSITORY, Stage, condition, message, model, open_stage, upgrade, version
from topgraft import cli
from topgraft.api.model import Model
from topgraft.rollout.sandboxpods import network_policy

COMMIT = "9f2c1d3e4b5a69788796a5b4c3d2e1f00f1e2d3c"
HASH = "sha256:" + "0123456789abcdef" * 4
ASK = (
    "import os, urllib.request as u; url = os.environ['TOPGRAFT_SANDBOX_URL'] + '/v2/health/ready'; "
    "assert u.urlopen(url, timeout=10).status == 200; assert os.environ['TOPGRAFT_TEST_TAG'] == 'v1_testenv'; "
    "assert os.environ['DATASET_VERSION'] == 'v1', os.environ['DATASET_VERSION']; print('1 passed')"
)
SUITE: dict[str, Any] = {"command": ["python", "-c", "import os; print(os.environ['DATASET_VERSION'])"]}
"""What runs after a rollback."""


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("lineage")) as made:
        box = {"version": "box-1", "ttlSeconds": 90, "testSuite": {"command": ["python", "-c", ASK]}}
        commit = {"env": [{"name": "TOPGRAFT_COMMIT", "value": COMMIT}]}
        made.kubectl.apply(
            model("denied", lineagePolicy="Enforce"),
            model("box", sandbox=box),
            model("back", verification={"testSuite": SUITE}),
        )
        made.kubectl.apply(
            version("denied", lineage={"trainingDataHash": HASH}),
            version("box", "v1", 1, channel="Experimental", testTag="v1_testenv"),
            version("box", "v2", 2),
            version("back", "v1", 1, adapter=commit),
        )
        made.until_serves("back")
        other = {"env": [{"name": "TOPGRAFT_COMMIT", "value": COMMIT[::-1]}]}
        made.kubectl.apply(upgrade("back", "v2", adapter={"image": f"{REPOSITORY}:v2", **other}))
        yield made


def test_missing_lineage_is_denied_with_its_keys(stage: Stage) -> None:
    told = stage.until_ready("ModelVersion", "denied-1", "False", "LineageMissing", 60)
    assert "lacks spec.lineage.featureParameters, spec.lineage.hyperparameters" in message(told)
    assert stage.ready("Model", "denied") == ("False", "NoVersion")
    complete = {"trainingDataHash": HASH, "featureParameters": {}, "hyperparameters": {"rate": "0.1"}}
    stage.kubectl.apply(version("denied", number=2, lineage=complete))
    assert stage.until_serves("denied") == "denied-2"


def test_an_old_version_runs_aside_is_tested_and_goes(stage: Stage) -> None:
    stage.until("box", lambda name: is_tested(stage, name), 120, "SandboxTested")
    told = stage.watched.live("Model", "box")
    assert condition(told, "SandboxTested") == ("True", "TestsPassed"), message(told, "SandboxTested")
    assert condition(told, "SandboxReady") == ("True", "SandboxRunning")
    assert stage.until_serves("box") == "box-2"
    assert stage.selected("box") == ["box-2"], "it never got a request"
    pod = stage.kubectl.get("pod", "box-1-sandbox")
    slices = stage.kubectl.list("endpointslices", "kubernetes.io/service-name=box")
    assert pod["status"]["podIP"] not in [a for one in slices for e in one["endpoints"] for a in e["addresses"]]
    tests = stage.kubectl.get("pod", "box-1-sandbox-test")
    assert tests["metadata"]["labels"]["validation"] == "Vv1_validation"
    assert tests["metadata"]["labels"]["topgraft.dev/test-tag"] == "v1_testenv"
    policy = stage.kubectl.get("networkpolicy", "box-sandbox")
    assert sorted(policy["spec"]["policyTypes"]) == ["Egress", "Ingress"]
    assert policy["metadata"]["creationTimestamp"] <= pod["metadata"]["creationTimestamp"]
    asked = network_policy(Model.model_validate(told))
    assert policy["spec"] == asked["spec"], "what is kept is what was asked for, else each look writes it"
    stage.until("box", lambda name: sandbox(stage, name) == ("False", "SandboxExpired"), 120, "SandboxExpired")
    stage.until("box", lambda _: not stage.kubectl.get("pod", "box-1-sandbox"), 60, "the pod is gone")
    assert stage.watched.live("Model", "box")["status"]["sandbox"]["tests"]["verdict"] == "Passed"


def test_the_way_back_to_a_commit_is_data_deployment_tests(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.until_ready("AdapterUpgrade", "back", "True", "UpgradeSucceeded", 150)
    where = ["--namespace", stage.namespace, "--kubeconfig", os.environ["KUBECONFIG"]]
    assert cli.main(["diff", "back", "previous", *where]) == 0
    told = capsys.readouterr().out
    assert "artifact: the same bytes" in told
    assert f"commit: {COMMIT} → {COMMIT[::-1]}" in told
    assert cli.main(["rollback", "back", "--commit", COMMIT[:8], "--timeout", "150", *where]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"1/3 dataset: DATASET_VERSION={COMMIT[:8]}: artifacts sha256:")
    assert lines[1].startswith("2/3 deploy: back-1 serves")
    assert lines[2] == f"3/3 tests: V{COMMIT}_validation: passed"
    assert stage.serving("back") == "back-1"
    assert cli.main(["report-defect", "back", "--id", "BUG-7", "--severity", "P3", *where]) == 0
    stage.until("back", lambda name: defects(stage, name) == [("BUG-7", "back-1")], 30, "the defect is on record")


def is_tested(stage: Stage, name: str) -> bool:
    return condition(stage.watched.live("Model", name), "SandboxTested")[0] in ("True", "False")


def sandbox(stage: Stage, name: str) -> tuple[str, str]:
    return condition(stage.watched.live("Model", name), "SandboxReady")


def defects(stage: Stage, name: str) -> list[tuple[str, str]]:
    found = stage.watched.live("Model", name).get("status", {}).get("defects", [])
    return [(one["id"], one["version"]) for one in found]
