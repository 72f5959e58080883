"""The statuses that `plan` really writes, on a cluster in memory, as Argo CD and kstatus see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from support.health import argo_health, contract_violations, kstatus
from topgraft.rollout.instructions import Plan

from .rollout.world import MODEL, World

OURS = ("Model", "ModelVersion", "AdapterUpgrade")
MISSING = {"NoVersion", "VersionNotFound", "ModelNotFound"}
"""Reasons of waiting for an object that only a user can bring."""
LONG = 1500
"""Seconds: beyond every deadline of the defaults."""
IMAGES = {"v3": "unready", "v4": "crash", "v5": "class:Other", "gone": "missing", "far": "registry"}


def check(world: World) -> None:
    for (kind, name), body in world.objects.items():
        if kind in OURS and "status" in body and body["status"]:
            assert contract_violations(body) == [], f"{kind} {name}: {body['status']['conditions']}"


def run(world: World, seconds: float) -> None:
    def look() -> Plan:
        check(world)
        return world.look()

    world.run(seconds, look)


def health(world: World, kind: str, name: str = MODEL) -> tuple[str, str]:
    body = world.objects[kind, name]
    return argo_health(body).status, kstatus(body)


def started(world: World) -> None:
    world.model()
    world.base()
    run(world, 0)


def upgraded(tag: str) -> Callable[[World], None]:
    def scenario(world: World) -> None:
        started(world)
        world.upgrade(tag)

    return scenario


def after_success(change: Callable[[World], None]) -> Callable[[World], None]:
    def scenario(world: World) -> None:
        upgraded("v2")(world)
        run(world, LONG)
        change(world)

    return scenario


def kill_the_pods(world: World) -> None:
    world.dead.update(name for kind, name in world.objects if kind == "Deployment")


def quota(world: World) -> None:
    started(world)
    world.upgrade("v2")
    text = 'pods "x" is forbidden: exceeded quota: pods'
    world.turn()
    for kind, name in world.objects:
        if kind == "ModelVersion":
            world.refusals[f"Pod/{name}-preflight"] = text


def ambiguous(world: World) -> None:
    started(world)
    world.base("digits-2", revision=5)
    world.base("digits-3", revision=5)


def foreign_service(world: World) -> None:
    world.refusals[f"Service/{MODEL}"] = f"NotOwned: Service {MODEL} exists and is not Topgraft's; rename or delete it"
    world.model()
    world.base()


class Case(NamedTuple):
    name: str
    scenario: Callable[[World], None]
    expected: dict[str, str]
    """Kind -> Argo CD's health once nothing happens any more."""


HEALTHY, DEGRADED, PROGRESSING, SUSPENDED = "Healthy", "Degraded", "Progressing", "Suspended"
CASES = [
    Case("no version", lambda w: w.model(), {"Model": PROGRESSING}),
    Case("no Model", lambda w: w.upgrade("v2"), {"AdapterUpgrade": PROGRESSING}),
    Case("first deployment", started, {"Model": HEALTHY}),
    Case("upgrade", upgraded("v2"), {"Model": HEALTHY, "AdapterUpgrade": HEALTHY}),
    Case("upgrade to what serves", upgraded("v1"), {"Model": HEALTHY, "AdapterUpgrade": HEALTHY}),
    *(Case(f"upgrade to {tag}", upgraded(tag), {"AdapterUpgrade": DEGRADED}) for tag in IMAGES),
    Case("another repository", upgraded("registry.local/other:v1"), {"AdapterUpgrade": DEGRADED}),
    Case("quota", quota, {"AdapterUpgrade": DEGRADED}),
    Case("suspended", after_success(lambda w: w.upgrade("v6", suspend=True)), {"AdapterUpgrade": SUSPENDED}),
    Case(
        "pinned",
        after_success(lambda w: w.model(serving={"version": "digits-1"})),
        {"Model": HEALTHY, "AdapterUpgrade": SUSPENDED},
    ),
    Case("pinned to nothing", after_success(lambda w: w.model(serving={"version": "nope"})), {"Model": PROGRESSING}),
    Case("superseded", after_success(lambda w: w.upgrade("v6", name="second")), {"AdapterUpgrade": HEALTHY}),
    Case("ungoverned", after_success(lambda w: w.remove("AdapterUpgrade", MODEL)), {"Model": HEALTHY}),
    Case("scaled to nothing", after_success(lambda w: w.model(serving={"replicas": 0})), {"Model": HEALTHY}),
    Case(
        "no such fromVersion",
        after_success(lambda w: w.upgrade("v2", fromVersion="nope")),
        {"AdapterUpgrade": PROGRESSING},
    ),
    Case("base ambiguous", ambiguous, {"Model": DEGRADED}),
    Case("Service of another", foreign_service, {"Model": DEGRADED}),
    Case("all pods die", after_success(kill_the_pods), {"Model": DEGRADED}),
]


NOT_YET: dict[str, str] = {}


def param(case: Case) -> Any:
    marks = [pytest.mark.xfail(reason=NOT_YET[case.name], strict=True)] if case.name in NOT_YET else []
    return pytest.param(case, marks=marks, id=case.name)


@pytest.mark.parametrize("case", [param(case) for case in CASES])
def test_every_status_keeps_the_contract_and_nothing_waits_for_ever(case: Case) -> None:
    world = World(images=dict(IMAGES))
    case.scenario(world)
    run(world, LONG)
    check(world)
    for kind, expected in case.expected.items():
        assert health(world, kind)[0] == expected, world.objects[kind, MODEL].get("status")
    for (kind, name), body in world.objects.items():
        if kind in OURS and health(world, kind, name)[0] == PROGRESSING:
            reasons = {c["reason"] for c in body.get("status", {}).get("conditions", [])}
            assert reasons & MISSING, f"{kind} {name} is Progressing for ever: {body.get('status')}"
