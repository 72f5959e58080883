"""A canary's share through a real Gateway: Traefik, as a process of this machine, with the Gateway API's own CRDs.

For make test-full, which builds Traefik from its Go module first.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import cluster
import pytest
from localcluster import tools
from localcluster.settings import settings
from support import gateway
from support.gateway import Route
from support.live import Body, wait_until
from support.once import once
from support.ports import free_port
from support.stage import Stage, condition, model, open_stage, upgrade, version
from support.traffic import Traffic

pytestmark = [
    pytest.mark.alone,
    pytest.mark.full,
    pytest.mark.skipif(cluster.choose().name != "local", reason="the Gateway runs beside the pods, on this machine"),
]
NAME = "shared"
WEIGHTS = (10, 50)
PAUSE_SECONDS = 12
RATE = 40.0
BEHIND_SECONDS = 5
"""Traefik gathers changes for 2 s before its data plane follows what it has accepted."""
HEADER = "x-try"


@pytest.fixture(scope="module")
def port(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where Traefik takes requests. It talks to the API server and to pods, and to nobody else."""
    once(tmp_path_factory, "gateway-api", gateway.install)
    at, folder = settings(), tmp_path_factory.mktemp("traefik")
    tools.build(at, ["traefik"])
    entry = free_port()
    command = [str(at.bin / "traefik"), "--providers.kubernetesgateway=true", "--log.level=INFO"]
    command += ["--global.checknewversion=false", "--global.sendanonymoususage=false"]
    command += [f"--entrypoints.web.address=127.0.0.1:{entry}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, "KUBECONFIG": str(at.kubeconfig)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield entry
    finally:
        process.kill()
        process.wait()
        print((folder / "log").read_text()[-3000:])


@pytest.fixture(scope="module")
def stage(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("gateway"), "--gateway-api", prefix="gateway") as made:
        api = "gateway.networking.k8s.io/v1"
        cls = f"traefik-{made.namespace}"
        try:
            made.kubectl.apply(
                {
                    "apiVersion": api,
                    "kind": "GatewayClass",
                    "metadata": {"name": cls},
                    "spec": {"controllerName": "traefik.io/gateway-controller"},
                },
                {
                    "apiVersion": api,
                    "kind": "Gateway",
                    "metadata": {"name": "public"},
                    "spec": {
                        "gatewayClassName": cls,
                        "listeners": [{"name": "web", "port": port, "protocol": "HTTP"}],
                    },
                },
            )
            yield made
        finally:
            made.kubectl("delete", "gatewayclass", cls, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="module")
def served(stage: Stage) -> str:
    """The Model behind the Gateway, with a branch that a header chooses."""
    route = {
        "parentRefs": [{"name": "public"}],
        "headerMatches": [{"header": HEADER, "value": "1", "branch": "next"}],
    }
    steps = [{"weight": weight, "pauseSeconds": PAUSE_SECONDS} for weight in WEIGHTS]
    strategy = {"type": "Canary", "canary": {"steps": steps}, "progressDeadlineSeconds": 300, "failFastSeconds": 20}
    body = model(
        NAME,
        serving={"replicas": 2, "httpRoute": route},
        strategy=strategy,
        rollback={"bakeSeconds": 3},
        branches=[{"name": "next", "version": f"{NAME}-beta"}],
    )
    beside = version(NAME, "v2", number=1, channel="PreRelease")
    beside["metadata"]["name"] = f"{NAME}-beta"
    stage.kubectl.apply(body, version(NAME, "v1", number=2), beside)
    serving = stage.until_serves(NAME)
    stage.until(NAME, _accepted(stage), 60, "the Gateway takes the route")
    return serving


def _accepted(stage: Stage) -> Any:
    return lambda _: condition(stage.watched.live("Model", NAME), "RouteReady") == ("True", "RouteAccepted")


def _asked(port: int, headers: dict[str, str]) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", f"/v2/models/{NAME}", headers={"Connection": "close", **headers})
        answer: Body = json.loads(connection.getresponse().read())
        return str(answer["versions"][0])
    except (OSError, ValueError, KeyError):
        return ""
    finally:
        connection.close()


def test_a_header_chooses_the_branch_and_nothing_else_does(stage: Stage, served: str, port: int) -> None:
    wait_until(lambda: _asked(port, {HEADER: "1"}) == f"{NAME}-beta", 60, "the branch answers who asks for it")
    found = Counter(_asked(port, headers) for headers in ({}, {HEADER: "2"}) for _ in range(20))
    assert found == {served: 40}


def test_each_step_has_its_share_and_no_request_is_lost(stage: Stage, served: str, port: int) -> None:
    route, traffic = Route(stage.kubectl, NAME), Traffic(NAME, "127.0.0.1", RATE, port=port)
    try:
        wait_until(lambda: traffic.answers[served] > RATE, 30, "requests are answered")
        stage.kubectl.apply(upgrade(NAME, "v2"))
        shares: dict[int, float] = {}
        for weight in WEIGHTS:
            stage.until(NAME, lambda _, w=weight: _weight(route) == w, 120, f"the route gives {weight} %")
            stage.until(NAME, _accepted(stage), 30, "the Gateway takes the step")
            time.sleep(2)  # the Gateway follows so much later than it accepts
            new = traffic.during(PAUSE_SECONDS - 5)
            shares[weight] = 100 * (1 - new[served] / new.total())
        body = stage.until_ready("AdapterUpgrade", NAME, "True", "UpgradeSucceeded")
        time.sleep(2)
        after = traffic.during(2)
    finally:
        traffic.stop()
    print(f"shares {shares}, answers {dict(traffic.answers)}")
    assert traffic.answers["failed"] == 0
    assert set(after) == {body["status"]["toVersion"]}
    # By pods alone the first step would be a third.
    assert 3 <= shares[10] <= 20
    assert 38 <= shares[50] <= 62


def _weight(route: Route) -> int:
    return route.weights().get(f"{NAME}-candidate", 0)


def test_a_candidate_that_dies_loses_its_share(stage: Stage, served: str, port: int) -> None:
    stable, traffic = str(stage.serving(NAME)), Traffic(NAME, "127.0.0.1", RATE, port=port)
    try:
        stage.kubectl.apply(upgrade(NAME, "v3"))
        body = stage.until_ready("AdapterUpgrade", NAME, "False", "NoReadyPods")
        stage.until(NAME, _accepted(stage), 30, "the Gateway takes the way back")
        time.sleep(BEHIND_SECONDS)
        after = traffic.during(5)
    finally:
        traffic.stop()
    print(f"answers {dict(traffic.answers)}, afterwards {dict(after)}")
    assert condition(body, "RolledBack")[0] == "True"
    assert set(traffic.answers) - {stable, "failed"}, "the candidate had a share"
    assert set(after) == {stable}
    assert stage.serving(NAME) == stable
