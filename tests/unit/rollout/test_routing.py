"""Exact weights by the Model's HTTPRoute: a step counts once Gateways have taken it over, and goes back at once."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest
from topgraft.rollout import views
from topgraft.rollout.routeview import GatewayApi

from .world import MODEL, World

STEPS = [{"weight": 5, "pauseSeconds": 30}, {"weight": 50, "pauseSeconds": 60}]
CANARY: dict[str, Any] = {"type": "Canary", "canary": {"steps": STEPS}, "progressDeadlineSeconds": 300}
ROUTE: dict[str, Any] = {"parentRefs": [{"name": "public", "namespace": "gateways"}], "hostnames": ["digits.example"]}
CANDIDATE = f"{MODEL}-candidate"


def serving(route: dict[str, Any] | None = ROUTE, replicas: int = 4) -> dict[str, Any]:
    return {"replicas": replicas} | ({"httpRoute": route} if route else {})


def started(strategy: dict[str, Any] = CANARY, **fields: Any) -> World:
    world = World(images={"v4": "crash"}, **fields)
    world.model(serving=serving(), strategy=strategy)
    world.base()
    world.run(120)
    assert world.serving == "digits-1"
    world.writes.clear()
    world.events.clear()
    return world


def weights(world: World) -> dict[str, int] | None:
    """What the route gives each Service."""
    route = world.objects.get(("HTTPRoute", MODEL))
    if route is None:
        return None
    return {ref["name"]: ref["weight"] for ref in route["spec"]["rules"][-1]["backendRefs"]}


def sent_to(world: World) -> set[str]:
    """Tags that the Gateway sends requests to, by the weights that its controller has read last."""
    found = set()
    for service, weight in (weights(world) or {}).items():
        body = world.objects.get(("Service", service))
        tag = world.tag_of(body["spec"]["selector"].get(views.VERSION_LABEL)) if body else None
        if weight:
            found.add(tag or f"nothing behind {service}")
    return found


def ready_pods(world: World, tag: str) -> int:
    pods = [p for p in world._serving_pods() if world.tag_of(p["metadata"]["labels"][views.VERSION_LABEL]) == tag]
    return sum(
        any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions", [])) for p in pods
    )


def rollout(world: World) -> dict[str, Any]:
    return dict(world.objects["Model", MODEL]["status"]["rollout"])


def test_the_route_stands_from_the_first_version_on() -> None:
    world = started()
    route = world.objects["HTTPRoute", MODEL]
    assert route["spec"] == {
        "parentRefs": [
            {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "gateways"}
        ],
        "hostnames": ["digits.example"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [{"group": "", "kind": "Service", "name": MODEL, "port": 8080, "weight": 100}],
            }
        ],
    }
    assert route["metadata"]["ownerReferences"][0]["uid"] == world.objects["Model", MODEL]["metadata"]["uid"]
    assert world.conditions("Model", MODEL)["RouteReady"] == ("True", "RouteAccepted")
    world.run(4000)
    assert world.writes == []


def test_weights_are_exact_and_the_service_stays_with_the_stable_version() -> None:
    world = started()
    world.upgrade("v2")
    world.run(5)
    assert weights(world) == {MODEL: 95, CANDIDATE: 5}
    assert (ready_pods(world, "v1"), ready_pods(world, "v2")) == (4, 1)
    assert world.serving_tag == "v1", "callers inside of the cluster see the stable version alone"
    assert (rollout(world)["canaryStep"], rollout(world)["weight"]) == (0, 5)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "CanaryStep")
    world.run(32)
    assert weights(world) == {MODEL: 50, CANDIDATE: 50}
    assert (ready_pods(world, "v1"), ready_pods(world, "v2")) == (4, 2)
    world.run(62)
    assert world.serving_tag == "v2"
    assert sent_to(world) == {"v2"}
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "Baking")
    world.run(100)
    assert weights(world) == {MODEL: 100}
    assert ("Service", CANDIDATE) not in world.objects
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")
    world.writes.clear()
    world.run(10000)
    assert [w for w in world.writes if w[1] == "HTTPRoute"] == []


def test_no_step_counts_before_the_gateway_has_accepted_it() -> None:
    world = started()
    world.upgrade("v2")
    world.gateways["public"] = "dead"
    world.run(100)
    assert weights(world) == {MODEL: 95, CANDIDATE: 5}
    assert "stepTime" not in rollout(world)
    assert world.conditions("Model", MODEL)["RouteReady"] == ("Unknown", "RoutePending")
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "RoutePending")
    world.gateways.clear()
    world.run(25)
    assert weights(world) == {MODEL: 95, CANDIDATE: 5}, "the pause begins with the answer"
    world.run(10)
    assert weights(world) == {MODEL: 50, CANDIDATE: 50}


@pytest.mark.parametrize(
    ("play", "reason"),
    [("refuses", "RouteNotAccepted"), ("unresolved", "RouteRefsUnresolved"), ("dead", "RoutePending")],
)
def test_a_gateway_that_does_not_take_it_over_ends_the_attempt_and_marks_nothing(play: str, reason: str) -> None:
    world = started()
    world.upgrade("v2")
    world.run(1)
    world.gateways["public"] = play
    world.objects["HTTPRoute", MODEL]["metadata"]["generation"] += 1
    world.run(60)
    assert world.conditions("Model", MODEL)["RouteReady"][1] == reason
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", reason)
    world.run(500)
    assert world.serving_tag == "v1"
    assert sent_to(world) == {"v1"}
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "EnvironmentNotReady")
    failures = [b["status"].get("failure") for (k, _), b in world.objects.items() if k == "ModelVersion"]
    assert failures == [None] * len(failures)
    world.gateways.clear()
    world.run(1000)
    assert world.serving_tag == "v2"


def test_every_gateway_is_waited_for() -> None:
    world = started()
    two = {**ROUTE, "parentRefs": [*ROUTE["parentRefs"], {"name": "inner", "sectionName": "http", "port": 80}]}
    world.gateways["inner"] = "refuses"
    world.model(serving=serving(two), strategy=CANARY)
    world.upgrade("v2")
    world.run(100)
    assert weights(world) == {MODEL: 100}
    told = next(c for c in world.objects["Model", MODEL]["status"]["conditions"] if c["type"] == "RouteReady")
    assert told["reason"] == "RouteNotAccepted"
    assert "team/inner (http)" in told["message"]


@pytest.mark.parametrize("api", [GatewayApi.OFF, GatewayApi.MISSING, GatewayApi.FORBIDDEN])
def test_without_the_gateway_api_the_model_serves_and_a_canary_waits(api: GatewayApi) -> None:
    world = started(gateway_api=api)
    assert weights(world) is None
    assert world.conditions("Model", MODEL)["RouteReady"] == ("False", api.value)
    said = world.conditions("Model", MODEL)
    assert (said["Ready"], said["Available"]) == (("False", api.value), ("True", "PodsReady"))
    world.upgrade("v2")
    world.run(100)
    assert world.serving_tag == "v1"
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", api.value)
    world.gateway_api = GatewayApi.READY
    world.run(300)
    assert world.serving_tag == "v2"


def test_a_route_of_somebody_else_is_left_alone() -> None:
    world = World(refusals={f"HTTPRoute/{MODEL}": "NotOwned: HTTPRoute digits exists and is not Topgraft's"})
    world.model(serving=serving(), strategy=CANARY)
    world.base()
    world.run(60)
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["RouteReady"] == ("False", "RouteRefused")


def test_death_of_the_candidate_takes_its_share_at_once_and_its_service_later() -> None:
    world = started()
    world.upgrade("v2")
    world.run(10)
    candidate = world.decision.candidate if world.decision else ""
    world.dead.add(candidate or "")
    world.look()
    assert world.decision is not None
    assert (world.decision.direction, world.decision.routed) == ("Back", True)
    world.look()
    assert weights(world) == {MODEL: 100, CANDIDATE: 0}
    assert ("Deployment", candidate) in world.objects, "a Gateway's data plane may still send it requests"
    assert world.objects["Service", CANDIDATE]["spec"]["selector"][views.VERSION_LABEL] == candidate
    world.run(15)
    assert weights(world) == {MODEL: 100}
    assert ("Deployment", candidate) not in world.objects
    assert ("Service", CANDIDATE) not in world.objects
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "NoReadyPods")


def test_the_pods_stay_until_the_gateway_has_left_them() -> None:
    world = started()
    world.upgrade("v2")
    world.run(10)
    candidate = world.decision.candidate if world.decision else ""
    world.gateways["public"] = "dead"
    world.upgrade("v3")
    world.run(100)
    assert ("Deployment", candidate) in world.objects
    assert ready_pods(world, "v3") == 0
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "RouteSettling")
    world.gateways.clear()
    world.run(300)
    assert world.serving_tag == "v3"
    assert ("Deployment", candidate) not in world.objects


def test_a_dead_gateway_controller_does_not_hold_up_a_version_for_ever() -> None:
    world = started()
    world.upgrade("v2")
    world.run(10)
    world.gateways["public"] = "dead"
    world.model(serving=serving(), strategy={"progressDeadlineSeconds": 300})
    world.upgrade("v3")
    world.run(2000)
    assert world.serving_tag == "v3"


@pytest.mark.parametrize("after", [0, 2, 20, 45, 100, 130])
def test_an_edit_in_the_middle_starts_again_from_the_stable_version(after: int) -> None:
    world = started()
    world.upgrade("v2")
    world.run(after)
    stable = world.tag_of(world.objects["Model", MODEL]["status"]["stableVersion"])
    world.upgrade("v3")
    seen: set[frozenset[str]] = set()

    def look() -> Any:
        made = world.look()
        seen.add(frozenset(sent_to(world)))
        return made

    world.run(400, look)
    assert sent_to(world) == {"v3"}
    assert all(tags <= {"v3", stable} for tags in seen if "v3" in tags), seen


def test_removing_the_route_in_the_middle_takes_the_share_back() -> None:
    world = started()
    world.upgrade("v2")
    world.run(10)
    world.model(serving=serving(None), strategy=CANARY)
    world.run(5)
    assert weights(world) is None
    assert world.decision is not None
    assert world.decision.routed is None, "it began anew by the share of the pods"
    world.run(400)
    assert world.serving_tag == "v2"


def test_a_route_that_comes_in_the_middle_changes_nothing_of_the_step() -> None:
    world = started()
    world.model(serving=serving(None), strategy=CANARY)
    world.upgrade("v2")
    world.run(10)
    begun = world.decision
    world.model(serving=serving(), strategy=CANARY)
    world.run(10)
    assert world.decision == begun
    assert weights(world) == {MODEL: 100}
    world.run(400)
    assert world.serving_tag == "v2"


def test_weights_that_somebody_else_wrote_are_repaired() -> None:
    world = started()
    world.upgrade("v2")
    world.run(10)
    route = world.objects["HTTPRoute", MODEL]
    route["spec"]["rules"][0]["backendRefs"][1]["weight"] = 90
    world.run(1)
    assert weights(world) == {MODEL: 95, CANDIDATE: 5}


def test_who_sends_the_header_gets_the_branch_whatever_the_share_is() -> None:
    world = started()
    matches = [{"branch": "beta", "header": "X-Try", "value": "beta"}]
    tested = serving({**ROUTE, "headerMatches": matches})
    world.base("digits-8", "v8", channel="PreRelease")
    world.model(serving=tested, strategy=CANARY)
    world.run(5)
    rules = world.objects["HTTPRoute", MODEL]["spec"]["rules"]
    assert len(rules) == 1, "a rule without its Service would make the whole route unresolved"
    told = next(c for c in world.objects["Model", MODEL]["status"]["conditions"] if c["type"] == "RouteReady")
    assert (told["status"], "branch 'beta' has no Service yet" in told["message"]) == ("True", True)
    branches = [{"name": "beta", "version": "digits-8"}]
    world.model(serving=tested, strategy=CANARY, branches=branches)
    world.upgrade("v2")
    world.run(10)
    first, last = world.objects["HTTPRoute", MODEL]["spec"]["rules"]
    assert first["matches"] == [
        {
            "path": {"type": "PathPrefix", "value": "/"},
            "headers": [{"type": "Exact", "name": "X-Try", "value": "beta"}],
        }
    ]
    assert [(ref["name"], ref["weight"]) for ref in first["backendRefs"]] == [(f"{MODEL}-beta", 100)]
    assert [(ref["name"], ref["weight"]) for ref in last["backendRefs"]] == [(MODEL, 95), (CANDIDATE, 5)]
    world.model(serving=tested, strategy=CANARY)
    world.run(5)
    assert len(world.objects["HTTPRoute", MODEL]["spec"]["rules"]) == 1
    world.run(300)
    assert world.serving_tag == "v2"


def test_an_experimental_version_gets_no_request_from_outside() -> None:
    world = started()
    world.base("digits-9", "v9", channel="Experimental")
    world.base("digits-8", "v8", channel="PreRelease")
    names = {"wild": "digits-9", "beta": "digits-8"}
    matches = [{"branch": name, "header": "X-Try", "value": name} for name in names]
    branches = [{"name": name, "version": version} for name, version in names.items()]
    world.model(serving=serving({**ROUTE, "headerMatches": matches}), strategy=CANARY, branches=branches)
    world.run(5)
    rules = world.objects["HTTPRoute", MODEL]["spec"]["rules"]
    assert [rule["backendRefs"][0]["name"] for rule in rules] == [f"{MODEL}-beta", MODEL]
    told = next(c for c in world.objects["Model", MODEL]["status"]["conditions"] if c["type"] == "RouteReady")
    assert "branch 'wild' runs digits-9, whose channel is Experimental" in told["message"]


def test_a_deleted_route_is_made_again() -> None:
    world = started()
    world.remove("HTTPRoute", MODEL)
    world.run(1)
    assert weights(world) == {MODEL: 100}


def test_an_edited_weight_holds_at_once() -> None:
    world = started()
    world.upgrade("v2")
    world.run(10)
    steps = [{"weight": 20, "pauseSeconds": 30}, {"weight": 50, "pauseSeconds": 60}]
    world.model(serving=serving(), strategy={**CANARY, "canary": {"steps": steps}})
    world.run(5)
    assert weights(world) == {MODEL: 80, CANDIDATE: 20}


@pytest.mark.parametrize("strategy", [{"type": "BlueGreen"}, {"type": "Rolling"}, {"type": "Recreate"}])
def test_with_other_strategies_the_route_is_written_once(strategy: dict[str, Any]) -> None:
    world = started(strategy)
    world.upgrade("v2")
    world.run(300)
    assert world.serving_tag == "v2"
    assert weights(world) == {MODEL: 100}
    assert [w for w in world.writes if w[1] == "HTTPRoute"] == []


def test_killed_after_any_write_the_end_is_the_same() -> None:
    begun = started()
    begun.upgrade("v2")
    for calm, world in begun.killed(300, lambda writes: range(1, writes, 5)):
        assert sent_to(world) == sent_to(calm)


def test_requests_never_go_where_nothing_is_ready() -> None:
    """At each look of a whole life: what the Gateway was told has ready pods."""
    world = started()

    def look() -> Any:
        made = world.look()
        world.settle()
        for tag in sent_to(world):
            assert ready_pods(world, tag) > 0, (tag, world.now, world.writes[-5:])
        return made

    for tag in ("v2", "v4", "v3"):
        world.upgrade(tag)
        world.run(90, look)
    world.upgrade("v5")
    world.run(400, look)
    assert world.serving_tag == "v5"
    world.upgrade("v3")
    world.now += timedelta(seconds=1)
    world.run(400, look)
    assert world.serving_tag == "v3"


BRANCH = f"{MODEL}-try"


def branch_of(world: World, version: str, told: dict[str, Any] | None = None) -> None:
    matches = [{"branch": "try", "header": "X-Try", "value": "1"}]
    sent = serving({**ROUTE, "headerMatches": matches}, replicas=2)
    world.model(serving=told or sent, strategy=CANARY, branches=[{"name": "try", "version": version}])


def routed_branch(**fields: Any) -> World:
    """The branch runs digits-8 and gets requests with the header."""
    world = started(**fields)
    world.base("digits-8", "v8", channel="PreRelease")
    world.base("digits-9", "v9", channel="Experimental")
    branch_of(world, "digits-8")
    world.run(10)
    assert named(world, BRANCH)
    assert runs_in_branch(world) == "digits-8"
    return world


def named(world: World, service: str) -> bool:
    rules = world.objects["HTTPRoute", MODEL]["spec"]["rules"]
    return any(ref["name"] == service for rule in rules for ref in rule["backendRefs"])


def runs_in_branch(world: World) -> str:
    template = world.objects["Deployment", BRANCH]["spec"]["template"]
    return str(template["metadata"]["labels"][views.VERSION_LABEL])


@pytest.mark.parametrize("told", [None, serving(replicas=2), serving(None, 2)])
def test_the_route_leaves_a_branch_before_an_experimental_version_starts_in_it(told: dict[str, Any] | None) -> None:
    world = routed_branch()
    branch_of(world, "digits-9", told)
    for _ in range(10):
        world.turn()
        routed = ("HTTPRoute", MODEL) in world.objects and named(world, BRANCH)
        assert not (routed and runs_in_branch(world) == "digits-9"), "a kill here would leave it so"
        world.settle()
    assert runs_in_branch(world) == "digits-9"
    world.run(10)
    world.writes.clear()
    world.run(60)
    assert world.writes == []


def test_an_experimental_version_waits_for_gateways_to_leave_its_branch() -> None:
    world = routed_branch()
    world.gateways["public"] = "dead"
    branch_of(world, "digits-9")
    world.run(200)
    assert not named(world, BRANCH)
    assert runs_in_branch(world) == "digits-8"
    assert world.conditions("Model", MODEL)["BranchesReady"] == ("False", "StillRouted")
    (told,) = world.objects["Model", MODEL]["status"]["branches"]
    assert (told["version"], told["state"], told["readyReplicas"]) == ("digits-8", "ACTIVE", 1)
    world.gateways.clear()
    world.run(10)
    assert runs_in_branch(world) == "digits-9"
    assert world.conditions("Model", MODEL)["BranchesReady"][1] != "StillRouted"


def test_a_gateway_that_never_answers_holds_a_branch_up_for_the_progress_deadline() -> None:
    world = routed_branch()
    world.gateways["public"] = "dead"
    branch_of(world, "digits-9")
    world.run(290)
    assert runs_in_branch(world) == "digits-8"
    world.run(30)
    assert runs_in_branch(world) == "digits-9"


def test_a_rule_that_cannot_be_taken_away_holds_an_experimental_version_up() -> None:
    world = routed_branch()
    world.refusals[f"HTTPRoute/{MODEL}"] = "denied by a webhook"
    branch_of(world, "digits-9")
    world.run(2000)
    assert named(world, BRANCH)
    assert runs_in_branch(world) == "digits-8"


def test_a_pod_of_somebody_else_takes_no_rule_away() -> None:
    world = routed_branch()
    pod = copy.deepcopy(next(b for (k, n), b in world.objects.items() if k == "Pod" and n.startswith(BRANCH)))
    labels = pod["metadata"]["labels"] | {views.VERSION_LABEL: "digits-9"}
    pod["metadata"] |= {"name": "stranger", "uid": "stranger", "labels": labels, "ownerReferences": []}
    del pod["metadata"]["deployment"]
    world.objects["Pod", "stranger"] = pod
    world.run(60)
    assert named(world, BRANCH)


@pytest.mark.parametrize(
    ("play", "patience", "reason"),
    [("refuses", 20, "RouteNotAccepted"), ("unresolved", 20, "RouteRefsUnresolved"), ("dead", 300, "RoutePending")],
)
def test_a_route_that_stays_without_effect_is_the_models_trouble(play: str, patience: int, reason: str) -> None:
    world = World(gateways={"public": play})
    world.model(serving=serving(), strategy=CANARY)
    world.base()
    world.run(patience - 2)
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")
    world.run(4)
    said = world.conditions("Model", MODEL)
    assert (said["Ready"], said["Stalled"]) == (("False", reason), ("True", reason))
    assert said["Available"] == ("True", "PodsReady")
    world.writes.clear()
    world.run(4000)
    assert world.writes == []
    world.gateways["public"] = "accepts"
    world.run(1)
    said = world.conditions("Model", MODEL)
    assert said["Ready"] == ("True", "Serving")
    assert "Stalled" not in said
