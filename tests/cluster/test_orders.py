"""The same manifests in random orders: what serves in the end does not depend on which came first."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator

import pytest
from support.stage import RESOURCES, Stage, model, open_stage, upgrade, version, weights
from support.watched import Body

ORDERS = 20
LONGEST_PAUSE_SECONDS = 2.0
LIMIT_SECONDS = 240


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("orders")) as made:
        yield made


def manifests(name: str) -> list[Body]:
    """What a team keeps in git: artifacts, the Model, two versions with revisions, an upgrade.

    A stock server instead of the adapter: forty of them start on two processors in the time of five adapters.
    """
    stock = {
        "contract": "None",
        "module": None,
        "className": None,
        "command": ["python3", "-m", "http.server", "8080", "--directory", "/tmp"],
        "resources": RESOURCES,
    }
    volume = {"configMap": {"name": f"{name}-weights"}}
    versions = [version(name, tag, number, volume=volume, adapter=stock) for number, tag in ((1, "v1"), (2, "v3"))]
    for number, body in enumerate(versions, 1):
        # Other content: derived from either version, an upgraded one would else be one and the same.
        body["spec"]["artifact"]["volumes"][0]["mountPath"] = f"/artifacts-{number}"
        body["spec"]["adapter"] = {key: value for key, value in body["spec"]["adapter"].items() if value is not None}
    quick = {"rollback": {"bakeSeconds": 1, "standbySeconds": 0}}
    return [weights(f"{name}-weights"), model(name, **quick), *versions, upgrade(name, "v2")]


def test_every_order_ends_with_the_same_version(stage: Stage) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    names = [f"order-{number}" for number in range(ORDERS)]
    orders = {name: dice.sample(bodies := manifests(name), len(bodies)) for name in names}
    began = time.monotonic()
    for position in range(len(orders[names[0]])):
        stage.kubectl.apply(*(orders[name][position] for name in names))
        time.sleep(dice.uniform(0, LONGEST_PAUSE_SECONDS))
    deadline = time.monotonic() + LIMIT_SECONDS
    for name in names:
        left = max(1.0, deadline - time.monotonic())
        stage.until_ready("AdapterUpgrade", name, "True", "UpgradeSucceeded", left)
        stage.until_serves(name, left)
    print(f"{ORDERS} orders served after {time.monotonic() - began:.0f} s")
    for name, bodies in orders.items():
        serving = stage.watched.live("ModelVersion", str(stage.serving(name)))
        told = f"seed {seed}: {[(body['kind'], body['metadata']['name']) for body in bodies]}"
        assert serving["spec"]["artifact"]["volumes"][0]["mountPath"] == "/artifacts-2", told
        assert serving["spec"]["parentVersion"] == f"{name}-2", told
        assert serving["spec"]["adapter"]["image"].endswith("/digits:v2"), told
        assert stage.watched.live("Model", name)["status"]["baseVersion"] == f"{name}-2", told
        assert stage.failures(name) == {}, told
