"""Least privilege, both ways: what the operator writes is granted, and what is granted to write it uses."""

from __future__ import annotations

import re

import pytest
from support.charts import Grant, grants, one, render
from topgraft.cluster import kinds

import manifests

from .rollout.world import World

READ = {"get", "list", "watch"}
OUTSIDE_PLANS = {
    ("topgraft.dev", "models/finalizers", "update"),
    ("discovery.k8s.io", "endpointslices/restricted", "create"),
    ("events.k8s.io", "events", "create"),
}
"""Asked for by OpenShift's admission, and events, which are no part of a plan's writes."""


def granted() -> set[Grant]:
    return grants(one(render(), "ClusterRole"))


def needed(verb: str, kind: str) -> set[Grant]:
    """What a write in the words of `World.writes` takes. Server-side apply takes create and patch."""
    where = kinds.BY_NAME[kind]
    match verb:
        case "apply" | "switch":
            return {(where.group, where.plural, "create"), (where.group, where.plural, "patch")}
        case "status":
            return {(where.group, f"{where.plural}/status", "patch")}
        case _:
            return {(where.group, where.plural, "delete")}


def life_of_a_model() -> World:
    """Upgrades, a failure, a rollback and enough history to prune."""
    world = World(images={"v3": "crash"})
    world.model(versionHistoryLimit=1, verification={"smoke": [{"name": "alive", "path": "/v2/health/ready"}]})
    world.base(outputInfo={"params": {"threshold": "0.5"}})
    world.run()
    checks = {"smoke": [{"name": "alive", "path": "/v2/health/ready"}]}
    world.model(versionHistoryLimit=1, verification=checks, sandbox={"version": "digits-1", "ttlSeconds": 60})
    for tag in ("v2", "v3", "v4", "v5", "v6", "v7"):
        world.upgrade(tag)
        world.run(2000)
    world.upgrade("v8")
    world.run(1)
    world.dead.add(world.serving or "")
    world.run(60)
    assert world.serving_tag == "v7"
    world.base("digits-9", revision=0, trainInfo={"job": {"image": "trainer:v1"}})
    world.run(1)
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": ""}
    world.objects["Job", "digits-9-train"]["status"] = {"conditions": [failed]}
    world.run(1)
    world.annotations("ModelVersion", "digits-9")["topgraft.dev/retry-at"] = "again"
    world.run(1)
    return world


@pytest.fixture(scope="module")
def used() -> set[Grant]:
    world = life_of_a_model()
    return {grant for verb, kind, _ in world.writes for grant in needed(verb, kind)}


def test_http_routes_are_granted_only_where_they_are_asked_for() -> None:
    more = grants(one(render("operator.gatewayApi=true"), "ClusterRole")) - granted()
    wanted = needed("apply", "HTTPRoute") | needed("delete", "HTTPRoute")
    assert more == wanted | {(kinds.HTTP_ROUTE.group, kinds.HTTP_ROUTE.plural, verb) for verb in READ}
    operator = one(render("operator.gatewayApi=true"), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert "--gateway-api" in operator["args"]


def test_http_routes_are_made_only_for_those_who_may_make_them() -> None:
    """The policy itself is tried in tests/api."""
    kinds_of = {body["kind"] for body in render("operator.gatewayApi=true")} - {body["kind"] for body in render()}
    assert kinds_of == {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    team = render("operator.gatewayApi=true", 'watchNamespaces=["team-a"]', "rbac.aggregateClusterRoles=false")
    assert not kinds_of & {body["kind"] for body in team}, "who installs for a team has no cluster-wide permission"


def test_every_write_of_a_plan_is_granted(used: set[Grant]) -> None:
    assert used <= granted()


def test_every_granted_write_is_used(used: set[Grant]) -> None:
    assert {g for g in granted() if g[2] not in READ} - OUTSIDE_PLANS == used


def test_everything_watched_can_be_read() -> None:
    wanted = {(kind.group, kind.plural, verb) for kind in kinds.WATCHED for verb in READ}
    reads = {g for g in granted() if g[2] in READ}
    assert reads - wanted == {("", "persistentvolumeclaims", "get"), ("", "events", "list")}
    assert wanted <= reads


def test_the_documented_table_is_the_role() -> None:
    text = (manifests.ROOT / "docs" / "install.md").read_text()
    table = text.partition("## What the operator may do")[2].partition("\n## ")[0]
    groups = {resource: group for group, resource, _ in granted() if resource != "events"}
    documented: set[Grant] = set()
    for resources, verbs in re.findall(r"^\| (`[^|]*) \| ([a-z, ]+) \|", table, re.MULTILINE):
        group = "events.k8s.io" if "(events.k8s.io)" in resources else ""
        for resource in re.findall("`(.*?)`", resources):
            documented |= {(groups.get(resource, group), resource, verb) for verb in verbs.split(", ")}
    assert documented == granted()
