"""A canary by the weights of an HTTPRoute: real pods, the Gateway API's own CRDs; the test plays the Gateway."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator

import pytest
from support import gateway
from support.gateway import Route
from support.once import once
from support.stage import Stage, condition, message, model, open_stage, upgrade, version

NAME = "routed"
CANDIDATE = f"{NAME}-candidate"
STEPS = [{"weight": 5, "pauseSeconds": 2}, {"weight": 40, "pauseSeconds": 2}]
ROUTE = {"parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "http"}], "pathPrefix": "/v2"}


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    once(tmp_path_factory, "gateway-api", gateway.install)
    with open_stage(tmp_path_factory.mktemp("route"), "--gateway-api", prefix="route") as made:
        yield made


def route_ready(stage: Stage) -> tuple[str, str]:
    return condition(stage.watched.live("Model", NAME), "RouteReady")


def until_weights(stage: Stage, route: Route, wanted: dict[str, int], seconds: float = 60) -> None:
    stage.until(NAME, lambda _: route.weights() == wanted, seconds, f"weights {wanted}")


def test_a_step_counts_when_the_gateway_has_accepted_it(stage: Stage) -> None:
    strategy = {"type": "Canary", "canary": {"steps": STEPS}, "progressDeadlineSeconds": 300, "failFastSeconds": 20}
    stage.kubectl.apply(
        model(NAME, serving={"replicas": 2, "httpRoute": ROUTE}, strategy=strategy, rollback={"bakeSeconds": 3}),
        version(NAME, "v1"),
    )
    old, route = stage.until_serves(NAME), Route(stage.kubectl, NAME)
    until_weights(stage, route, {NAME: 100})
    assert route_ready(stage) == ("Unknown", "RoutePending")
    route.answer(accepted=False, reason="NotAllowedByListeners")
    stage.until(NAME, lambda _: route_ready(stage) == ("False", "RouteNotAccepted"), 20, "the Gateway's no is told")
    assert "NotAllowedByListeners" in message(stage.watched.live("Model", NAME), "RouteReady")
    route.answer()
    stage.until(NAME, lambda _: route_ready(stage) == ("True", "RouteAccepted"), 20, "the Gateway's yes is told")

    stage.kubectl.apply(upgrade(NAME, "v2"))
    until_weights(stage, route, {NAME: 95, CANDIDATE: 5})
    time.sleep(2 * STEPS[0]["pauseSeconds"])
    assert route.weights() == {NAME: 95, CANDIDATE: 5}, "nobody has accepted the first step yet"
    assert stage.serving(NAME) == old
    new = stage.watched.live("Model", NAME)["status"]["rollout"]["to"]
    assert answers(stage, CANDIDATE) == new
    route.answer()
    until_weights(stage, route, {NAME: 60, CANDIDATE: 40})
    assert stage.serving(NAME) == old
    route.answer()
    stage.until_selects(NAME, new, 30)
    until_weights(stage, route, {NAME: 100, CANDIDATE: 0}, 10)
    route.answer()
    until_weights(stage, route, {NAME: 100}, 30)
    route.answer()
    stage.until_ready("AdapterUpgrade", NAME, "True", "UpgradeSucceeded")
    gone = ("get", "service", CANDIDATE, "--ignore-not-found")
    stage.until(NAME, lambda _: not stage.kubectl(*gone), 30, "the candidate's Service is gone")
    assert stage.selected(NAME) == [old, new], "the Service never selected both"


def answers(stage: Stage, service: str) -> str:
    """The version that answers behind a Service."""
    address = stage.kubectl("get", "service", service, "--output=jsonpath={.spec.clusterIP}").strip()
    with urllib.request.urlopen(f"http://{address}:8080/v2/models/{NAME}", timeout=10) as response:
        return str(json.load(response)["versions"][0])
