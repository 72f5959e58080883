"""Limits on live traffic by a real Prometheus that scrapes real pods; a query that it refuses moves nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import prometheus
from support.live import Body
from support.prometheus import Prometheus
from support.stage import Stage, condition, message, model, open_stage, upgrade, version
from support.traffic import Traffic

ONE = '{model="{{model}}",version="{{version}}",namespace="{{namespace}}"}[{{window}}]'
REQUESTS = "topgraft_adapter_requests_total"
WRONG = ONE.replace('"}[', '",code=~"5.."}[')
QUERIES = {
    "requests": f"sum(increase({REQUESTS}{ONE}))",
    "errorRate": f"(sum(rate({REQUESTS}{WRONG})) or vector(0)) / sum(rate({REQUESTS}{ONE}))",
}
LIMITS = {"windowSeconds": 8, "consecutiveBreaches": 2, "minSamples": 10}
BAD_QUERY = {**QUERIES, "errorRate": "sum(rate(nonsense[5s])"}
ENOUGH = 100
"""Answers of the old version: what a baseline is made of."""
SECONDS = 150


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    path = prometheus.program()
    if path is None:
        pytest.skip("Prometheus is taken from Debian's package, and there is no apt-get here")
    made = Prometheus(tmp_path_factory.mktemp("prometheus"))
    made.start(path)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def stage(crds: None, server: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("stage")
    with open_stage(folder, f"--prometheus={server.url}", prefix="prom") as made:
        stop = threading.Event()
        finder = threading.Thread(target=_discover, args=(made, server, stop), daemon=True)
        finder.start()
        yield made
        stop.set()
        finder.join(10)


def _discover(stage: Stage, server: Prometheus, stop: threading.Event) -> None:
    """What Prometheus' own service discovery does in a cluster: name the pods."""
    while not stop.wait(0.5):
        pods = [states[-1] for states in stage.watched.all("Pod", role="serving")]
        addresses = [seen.body.get("status", {}).get("podIP") for seen in pods if not seen.gone]
        server.scrape({f"{address}:8080": stage.namespace for address in addresses if address})


def watched(name: str, queries: Body) -> Body:
    metrics = {"source": "Prometheus", "queries": queries}
    times = {"bakeSeconds": 60, "standbySeconds": 600, "onInconclusive": "Finish"}
    return model(name, verification={"metrics": metrics, "limits": LIMITS}, rollback=times)


def to_v6(name: str, flaw: str) -> Body:
    body = upgrade(name, "v6")
    body["spec"]["adapter"]["env"] = [{"name": "FLAW", "value": flaw}]
    return body


def test_errors_that_prometheus_counts_go_back_and_a_query_that_it_refuses_is_told(stage: Stage) -> None:
    queries = {"counted": QUERIES, "refused": BAD_QUERY}
    for name, given in queries.items():
        stage.kubectl.apply(watched(name, given), version(name, "v2"))
    old = {name: stage.until_serves(name, SECONDS) for name in queries}
    stage.probe(*queries)
    addresses = {name: stage.watched.live("Service", name)["spec"]["clusterIP"] for name in queries}
    traffics = {name: Traffic(name, address) for name, address in addresses.items()}
    try:
        for name in queries:
            stage.until(name, lambda each: traffics[each].answers[old[each]] >= ENOUGH, 90, "a baseline")
        stage.kubectl.apply(*(to_v6(name, "errors") for name in queries))
        body = stage.until_ready("AdapterUpgrade", "counted", "False", "ErrorsIncreased", SECONDS)
        assert stage.serving("counted") == old["counted"]
        print(message(body))
        stage.until("refused", lambda each: unavailable(stage, each) == ("True", "QueryFailed"), SECONDS, "it is told")
        told = message(stage.watched.live("Model", "refused"), "MetricsUnavailable")
        assert "queries.errorRate" in told
        assert "parse error" in told, "Prometheus' own words"
        assert stage.failures("refused") == {}, "nothing goes back because of it"
    finally:
        for traffic in traffics.values():
            traffic.stop()


def unavailable(stage: Stage, name: str) -> tuple[str, str]:
    return condition(stage.watched.live("Model", name), "MetricsUnavailable")
