"""What golden replay finds and what it leaves alone, with the default limits: 20 of 20 each. For make test-full."""

from __future__ import annotations

import json
import os
import time
import urllib.request
import zlib
from collections import Counter
from collections.abc import Iterator
from struct import pack

import pytest
from support.live import ROOT
from support.stage import REPOSITORY, Stage, condition, model, open_stage, upgrade, version
from support.watched import Body

pytestmark = [pytest.mark.full, pytest.mark.alone]

ROUNDS = int(os.environ.get("MATRIX_ROUNDS", "20"))
GOLDEN = [json.loads(line) for line in (ROOT / "examples/digits/golden.jsonl").read_text().splitlines()]
CHAOS = f"{REPOSITORY}:chaos"
PUSH = os.environ.get("TOPGRAFT_PUSH_REGISTRY", "127.0.0.1:5000")
MANIFEST = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
QUICK: Body = {"rollback": {"bakeSeconds": 1, "standbySeconds": 0}}


def odd() -> int:
    """The checksum by which the adapter knows the one image that it gets wrong."""
    pixels = GOLDEN[250]["body"]["inputs"][0]["data"]
    return zlib.crc32(pack("<64f", *pixels))


FAULTS: dict[str, tuple[dict[str, str], Body, str]] = {
    "slow": ({"DIGITS_MILLISECONDS": "7.5"}, {"compare": "Exact"}, "LatencyIncreased"),
    "flipped": ({"DIGITS_FAULT": "flipped"}, {"compare": "None"}, "AccuracyDropped"),
    "odd": ({"DIGITS_FAULT": "odd", "DIGITS_ODD": str(odd())}, {"compare": "Exact"}, "GoldenMismatch"),
    "shifted": ({"DIGITS_FAULT": "shifted"}, {"compare": "None"}, "DistributionShifted"),
}
"""Model → the candidate's environment, how answers are compared, what must be found. +50 % of the 5 ms that an answer
takes in the adapter are about +40 % of its time at the client."""


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("matrix")) as made:
        labelled = "\n".join(json.dumps(request) for request in GOLDEN)
        bare = "\n".join(json.dumps({k: v for k, v in request.items() if k != "label"}) for request in GOLDEN)
        for name, text in (("labelled", labelled), ("bare", bare)):
            data = {"requests.jsonl": text}
            made.kubectl.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
        yield made


def start(stage: Stage, *names: str) -> None:
    stage.kubectl.apply(*(model(name, **QUICK) for name in names), *(version(name, "chaos") for name in names))
    for name in names:
        stage.until_serves(name)


def test_each_fault_is_found_every_time(stage: Stage) -> None:
    start(stage, *FAULTS)
    found: dict[str, Counter[str]] = {name: Counter() for name in FAULTS}
    for number in range(ROUNDS):
        asked: dict[str, str] = {}
        for name, (environment, compare, _) in FAULTS.items():
            given = [{"name": key, "value": value} for key, value in {**environment, "ROUND": str(number)}.items()]
            golden = {"configMap": {"name": "bare" if name == "shifted" else "labelled"}, **compare}
            body = upgrade(name, CHAOS, adapter={"image": CHAOS, "env": given}, verification={"golden": golden})
            before = stage.watched.live("AdapterUpgrade", name)
            asked[name] = before.get("status", {}).get("toVersion", "")
            stage.kubectl.apply(body)
        for name in FAULTS:
            told = until_ended(stage, name, asked[name])
            found[name][told] += 1
        print(number, {name: dict(counted) for name, counted in found.items()}, flush=True)
    assert found == {name: Counter({reason: ROUNDS}) for name, (_, _, reason) in FAULTS.items()}
    for name in FAULTS:
        assert stage.selected(name) == [f"{name}-1"], "no wrong version ever got a request"


def until_ended(stage: Stage, name: str, before: str) -> str:
    """The reason with which the upgrade to another version than `before` ended."""

    def ended(each: str) -> str:
        body = stage.watched.live("AdapterUpgrade", each)
        if body.get("status", {}).get("toVersion", before) == before:
            return ""
        status, reason = condition(body)
        return reason if status in ("True", "False") and reason != "EnvironmentNotReady" else ""

    return stage.until(name, ended, 400, f"another version than {before!r} is judged")


def test_the_same_image_under_another_tag_passes_every_time(stage: Stage) -> None:
    name = "same"
    start(stage, name)
    outcomes: Counter[str] = Counter()
    for number in range(ROUNDS):
        tag = f"same-{number}"
        retag("chaos", tag)
        golden = {"configMap": {"name": "labelled"}}
        before = stage.watched.live("AdapterUpgrade", name).get("status", {}).get("toVersion", "")
        stage.kubectl.apply(upgrade(name, tag, verification={"golden": golden}))
        began = time.monotonic()
        told = until_ended(stage, name, before)
        checks = stage.watched.live("AdapterUpgrade", name)["status"]["checks"]
        outcomes.update([told, *(check["verdict"] for check in checks)])
        p95 = next((c for c in checks if c["name"] == "golden/latency-p95"), {})
        print(number, told, f"{time.monotonic() - began:.0f} s", p95.get("old"), p95.get("new"), flush=True)
    assert outcomes["UpgradeSucceeded"] == ROUNDS, outcomes
    assert not outcomes.keys() & {"Failed", "Inconclusive"}, outcomes


def retag(old: str, new: str) -> None:
    """Give an image of the example a second tag, in the registry itself: the same manifest, byte by byte."""
    place = f"http://{PUSH}/v2/digits/manifests"
    with urllib.request.urlopen(urllib.request.Request(f"{place}/{old}", headers={"Accept": MANIFEST})) as answer:
        content, kind = answer.read(), answer.headers["Content-Type"]
    put = urllib.request.Request(f"{place}/{new}", content, {"Content-Type": kind}, method="PUT")
    with urllib.request.urlopen(put) as answer:
        assert answer.status == 201
