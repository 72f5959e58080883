"""Real pods: old and new version are asked before traffic moves, and what is wrong never gets a request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.live import ROOT
from support.stage import REPOSITORY, Stage, condition, message, model, open_stage, upgrade, version
from support.watched import Body

GOLDEN = (ROOT / "examples/digits/golden.jsonl").read_text().splitlines()
FEW = 60
"""Requests of the short tests."""
CHAOS = f"{REPOSITORY}:chaos"
ANY_LATENCY: Body = {"latencyIncreasePercent": 10000, "minSamples": 20}
"""The short tests run beside others, and are not about time."""
SMOKE: list[Body] = [
    {"name": "alive", "path": "/v2/health/ready"},
    {
        "name": "reads-a-two",
        "protocol": "V2",
        "body": json.dumps(json.loads(GOLDEN[0])["body"]),
        "expect": {"jsonPath": [{"path": "$.outputs[?@.name == 'digit'].data[0]", "equals": "2"}]},
    },
]
SUITE = "import os; assert os.listdir(os.environ['TOPGRAFT_ARTIFACT_DIR']); print('1 passed')"


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("verification")) as made:
        yield made


def requests(name: str, lines: list[str]) -> Body:
    content = {"requests.jsonl": "\n".join(lines) + "\n"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": content}


def golden(name: str = "golden", **more: Any) -> Body:
    return {"configMap": {"name": name}, "timeoutSeconds": 30, **more}


def adapter(**environment: str) -> Body:
    return {"image": CHAOS, "env": [{"name": name, "value": value} for name, value in environment.items()]}


def checks(stage: Stage, kind: str, name: str) -> dict[str, str]:
    told = stage.watched.live(kind, name).get("status", {}).get("checks", [])
    return {check["name"]: check["verdict"] for check in told}


def until_refused(stage: Stage, name: str, reason: str, seconds: float = 90) -> Body:
    told = stage.until_ready("AdapterUpgrade", name, "False", reason, seconds)
    assert stage.selected(name) == [f"{name}-1"], "the refused version never got a request"
    return told


@pytest.fixture(scope="module")
def started(stage: Stage) -> Stage:
    """Four Models, each served by the first version."""
    suite = {"command": ["python", "-c", SUITE]}
    asked = {"smoke": SMOKE, "golden": golden(), "testSuite": suite, "limits": ANY_LATENCY}
    stage.kubectl.apply(requests("golden", GOLDEN[:FEW]), requests("broken", [*GOLDEN[:2], '{"id": 3, body}']))
    stage.kubectl.apply(model("good", verification=asked), *(model(name) for name in ("wrong", "mended", "tested")))
    stage.kubectl.apply(*(version(name, "chaos") for name in ("good", "wrong", "mended", "tested")))
    for name in ("good", "wrong", "mended", "tested"):
        stage.until_serves(name)
    failing = {"command": ["python", "-c", "import sys; print('2 failed, 1 passed'); sys.exit(1)"]}
    mended = {"golden": golden("broken"), "limits": ANY_LATENCY}
    wrong = {"golden": golden(compare="None"), "limits": ANY_LATENCY}
    stage.kubectl.apply(
        upgrade("wrong", CHAOS, adapter=adapter(DIGITS_FAULT="flipped"), verification=wrong),
        upgrade("mended", "v2", verification=mended),
        upgrade("tested", "v2", verification={"testSuite": failing}),
    )
    return stage


def test_a_golden_file_that_is_no_json_waits_and_goes_on_when_it_is_mended(started: Stage) -> None:
    told = started.until_ready("AdapterUpgrade", "mended", "Unknown", "GoldenFileInvalid", 90)
    assert "requests.jsonl" in message(told)
    assert "line 3" in message(told)
    assert started.serving("mended") == "mended-1"
    started.kubectl.apply(requests("broken", GOLDEN[:FEW]))
    told = started.until_ready("AdapterUpgrade", "mended", "True", "UpgradeSucceeded", 150)
    assert checks(started, "AdapterUpgrade", "mended")["golden/output"] == "Passed"
    assert started.failures("mended") == {}


def test_a_wrong_version_is_refused_and_its_report_stays(started: Stage) -> None:
    told = until_refused(started, "wrong", "AccuracyDropped")
    assert condition(told, "Verified") == ("False", "AccuracyDropped")
    found = {check["name"]: check for check in told["status"]["checks"]}
    assert found["golden/accuracy"]["new"] != found["golden/accuracy"]["old"]
    pod = f"{told['status']['toVersion']}-verify"
    assert f"kubectl logs {pod}" in message(told)
    assert "golden/accuracy" in started.kubectl("logs", pod)
    assert "golden/accuracy" in started.kubectl("describe", "adapterupgrade", "wrong")


def test_tests_in_the_new_image_decide(started: Stage) -> None:
    told = until_refused(started, "tested", "TestsFailed")
    assert "2 failed, 1 passed" in message(told)
    pod = started.kubectl.get("pod", f"{told['status']['toVersion']}-test")
    assert pod["metadata"]["labels"]["validation"] == "Vv2_validation"
    assert pod["spec"]["containers"][0]["image"].startswith(f"{REPOSITORY}:v2@sha256:")


def test_a_good_version_passes_all_checks_and_the_tests_run_again_after_a_return(started: Stage) -> None:
    started.until("good", lambda each: len(checks(started, "Model", each)) > 3, 90, "the first version is checked")
    first = checks(started, "Model", "good")
    assert first.keys() >= {"smoke/alive", "smoke/reads-a-two", "golden/errors", "tests"}
    assert set(first.values()) == {"Passed"}
    policy = started.watched.live("Model", "good")["spec"]["verification"]
    started.kubectl.apply(upgrade("good", "v2"))
    told = started.until_ready("AdapterUpgrade", "good", "True", "UpgradeSucceeded", 150)
    assert condition(told, "Verified") == ("True", "ChecksPassed")
    found = checks(started, "AdapterUpgrade", "good")
    assert found.keys() >= {"smoke/alive", "golden/output", "golden/accuracy", "golden/latency-p95", "tests"}
    assert not started.kubectl.get("service", "good-candidate")
    started.kubectl.apply(model("good", serving={"version": "good-1"}, verification=policy))
    started.until_selects("good", "good-1", 60)
    validated = ("True", "TestsPassed")
    told_of = started.watched.live
    started.until("good", lambda each: condition(told_of("Model", each), "Validated") == validated, 60, "Validated")
