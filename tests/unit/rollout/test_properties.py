"""Random users, faults, kills and time: the invariants of the design hold on every step, and the end is the same."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from topgraft.rollout import views
from topgraft.rollout.instructions import Plan

from .world import MODEL, Crash, World

CLAIM = {"name": "weights", "mountPath": "/weights", "persistentVolumeClaim": {"claimName": "weights"}}
WEIGHTS = {"name": "weights", "mountPath": "/weights", "configMap": {"name": "weights"}}
STRATEGIES: tuple[dict[str, object], ...] = (
    {},
    {},
    {"type": "Recreate"},
    {"whenUnschedulable": "Recreate"},
    {"type": "Canary", "canary": {"steps": [{"weight": 30, "pauseSeconds": 5}, {"weight": 75, "pauseSeconds": 21}]}},
    {"type": "Rolling"},
)
ROUTE = {"parentRefs": [{"name": "public"}], "headerMatches": [{"header": "x-try", "value": "1", "branch": "try"}]}
SIDECAR = {"name": "engine", "image": "registry.local/engine@sha256:" + "e" * 64, "ports": [8000]}
BRANCHES: dict[str, dict[str, object]] = {
    "version": {"version": "digits-1"},
    "newer": {"version": "digits-r2"},
    "missing": {"version": "missing"},
    "objective": {"objective": "quality"},
}
TAGS = ("v1", "v2", "v3", "v4", "v5", "v6", "v7")
CHECKS = {"smoke": [{"name": "alive", "path": "/"}], "golden": {"configMap": {"name": "golden"}}, "testSuite": {}}


LOOKS = 0
EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "120"))
PARTS = 4
LOOKS_WANTED = 10_000 * EXAMPLES // 120
"""All parts together; with the default number of examples ten thousand."""


class Rollouts(RuleBasedStateMachine):
    """The operator may be killed before any of its writes; the users may do anything at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(images={"v4": "crash", "v5": "class:Other"}, verdicts={"v7": "smoke/alive"})
        self.verification: dict[str, object] = {}
        self.aside: dict[str, object] = {}
        self.first = ""
        self.route: dict[str, object] = {}
        self.releases: list[dict[str, object]] = []
        self.user_specs: dict[tuple[str, str], object] = {}

    @initialize(
        first=st.sampled_from(("v1", "v2")),
        strategy=st.sampled_from(STRATEGIES),
        alone=st.booleans(),
        checks=st.sampled_from(({}, CHECKS)),
        beside=st.sampled_from((False, False, True)),
        routed=st.sampled_from((False, False, True)),
    )
    def start(
        self,
        first: str,
        strategy: dict[str, object],
        alone: bool,
        checks: dict[str, object],
        beside: bool,
        routed: bool,
    ) -> None:
        """`alone`: the artifacts lie on a volume that one pod alone may mount. `beside`: a container serves them."""
        self.route = {"httpRoute": ROUTE} if routed else {}
        self.strategy, self.replicas = strategy, (0, 1) if alone else (0, 3)
        self.verification = checks
        self.world.room = 3 if strategy.get("whenUnschedulable") else None
        self._model(min(2, self.replicas[1]))
        if alone:
            self.world.claims["weights"] = "ReadWriteOncePod"
        artifact = {"volumes": [CLAIM if alone else WEIGHTS]} | ({"containers": [SIDECAR]} if beside else {})
        self.volumes: dict[str, Any] = {"artifact": artifact, "objectives": [{"name": "quality"}]}
        self.world.base(tag=first, **self.volumes)
        self._remember()

    def _model(self, replicas: int, **serving: object) -> None:
        serving = {"replicas": replicas, **self.route, **serving}
        self.world.model(serving=serving, strategy=self.strategy, verification=self.verification, **self.aside)

    def _remember(self) -> None:
        for key, body in self.world.objects.items():
            owned = body["metadata"].get("ownerReferences")
            if key[0] in ("Model", "AdapterUpgrade", "ModelVersion") and not owned:
                self.user_specs[key] = repr(body["spec"])

    def _look(self) -> Plan:
        """One look, which may be cut short by a kill, and what must hold of any move of the traffic."""
        global LOOKS  # noqa: PLW0603 - counted over all examples, which hypothesis makes and throws away
        LOOKS += 1
        world, made = self.world, Plan()
        world.settle()
        before, selected = self._ready_versions(), world.selector
        try:
            made = world.turn()
        except Crash:
            world.crash_at = None
        after = world.selector
        decision = world.decision
        # The strategy that stops what serves says so; every other one keeps to it.
        stops = decision is not None and decision.mode == "Recreate"
        repaired = selected is None or views.MODEL_LABEL not in selected
        if after != selected and not repaired and before and not stops:
            reached = {v for v in before if after is not None and after.get(views.VERSION_LABEL, v) == v}
            assert reached, f"traffic moved from {selected} to {after}, which has no ready pod; {before} have"
        if decision is not None and decision.shares:
            assert before <= {decision.to, decision.candidate}, f"{before} get requests: {decision}"
        return made

    def _ready_versions(self) -> set[str]:
        pods = [b for (k, _), b in self.world.objects.items() if k == "Pod"]
        serving = [p for p in pods if p["metadata"]["labels"].get(views.ROLE_LABEL) == "serving"]
        ready = [p for p in serving if p["status"].get("conditions", [{}])[0].get("status") == "True"]
        return {p["metadata"]["labels"][views.VERSION_LABEL] for p in ready}

    @rule(turns=st.integers(1, 12))
    def look(self, turns: int) -> None:
        for _ in range(turns):
            self._look()

    @rule(seconds=st.sampled_from((1, 5, 21, 61, 601, 3601)))
    def wait(self, seconds: int) -> None:
        self.world.run(seconds, self._look)

    @rule(after=st.integers(0, 12), turns=st.integers(1, 12))
    def kill_the_operator(self, after: int, turns: int) -> None:
        self.world.crash_at = len(self.world.writes) + after
        for _ in range(turns):
            self._look()
        self.world.crash_at = None

    @rule(tag=st.sampled_from(TAGS), name=st.sampled_from(("digits", "second")))
    def upgrade(self, tag: str, name: str) -> None:
        self.world.upgrade(tag, name)
        self._remember()

    @rule(name=st.sampled_from(("digits", "second")))
    def delete_upgrade(self, name: str) -> None:
        self.world.remove("AdapterUpgrade", name)
        self.user_specs.pop(("AdapterUpgrade", name), None)

    @rule(replicas=st.integers(0, 3), pin=st.sampled_from((None, "digits-1", "missing")))
    def edit_model(self, replicas: int, pin: str | None) -> None:
        self._model(min(replicas, self.replicas[1]), **({"version": pin} if pin else {}))
        self._remember()

    @rule(
        box=st.sampled_from((None, "digits-1", "digits-r2", "missing")),
        alias=st.sampled_from((None, "digits-1", "missing")),
        policy=st.sampled_from(("Enforce", "Warn", "Warn")),
        branch=st.sampled_from((None, *BRANCHES)),
    )
    def edit_what_is_no_rollout(self, box: str | None, alias: str | None, policy: str, branch: str | None) -> None:
        """A sandbox, an alias, a branch and the lineage policy; the next edit of the Model takes them along."""
        self.aside = {"lineagePolicy": policy}
        if box:
            self.aside["sandbox"] = {"version": box, "ttlSeconds": 900}
        if alias:
            self.aside["aliases"] = {"test_baseline": alias}
        if branch:
            self.aside["branches"] = [{"name": "try", **BRANCHES[branch]}]
        self._with_releases()

    @rule(
        version=st.sampled_from(("digits-1", "digits-r2", "missing")),
        environment=st.sampled_from(("Production", "Staging")),
    )
    def release(self, version: str, environment: str) -> None:
        """The next edit of the Model makes it known."""
        self.releases.append({"number": len(self.releases) + 1, "version": version, "environment": environment})
        self._with_releases()

    def _with_releases(self) -> None:
        if self.releases:
            self.aside["objectives"] = [{"name": "quality", "releases": list(self.releases)}]

    @rule(
        tag=st.sampled_from(("v2", "v3", "v6")),
        says=st.sampled_from(("tag", "tag", "silent", "error:RegistryUnavailable", "error:TagNotFound")),
    )
    def upgrade_to_what_the_registry_knows(self, tag: str, says: str) -> None:
        self.world.registry[f"--tag={tag}"] = tag if says == "tag" else says
        spec = {"modelRef": {"name": MODEL}, "target": {"tag": tag}, "reason": "BugFix"}
        self.world.put("AdapterUpgrade", "digits", spec)
        self._remember()

    @rule(play=st.sampled_from(("accepts", "refuses", "dead")), given=st.sampled_from((True, True, True, False)))
    def gateway(self, play: str, given: bool) -> None:
        """What its controller does, and whether the next edit of the Model asks for the route."""
        self.world.gateways["public"] = play
        self.route = {"httpRoute": ROUTE} if given and self.route else {}

    @rule(revision=st.integers(2, 4), tag=st.sampled_from(("v1", "v3", "v4")))
    def new_weights(self, revision: int, tag: str) -> None:
        if ("ModelVersion", f"digits-r{revision}") not in self.world.objects:
            self.world.base(f"digits-r{revision}", tag, revision=revision, **self.volumes)
            self._remember()

    @rule(kind=st.sampled_from(("Deployment", "Pod", "EndpointSlice", "Service")), index=st.integers(0, 5))
    def delete_a_child_by_hand(self, kind: str, index: int) -> None:
        names = sorted(n for k, n in self.world.objects if k == kind)
        if names:
            self.world.remove(kind, names[index % len(names)])

    @rule()
    def edit_the_selector_by_hand(self) -> None:
        if service := self.world.objects.get(("Service", MODEL)):
            service["spec"]["selector"] = {"app": "mine"}

    @rule()
    def serving_pods_die(self) -> None:
        if self.world.serving:
            self.world.dead.add(self.world.serving)

    @rule()
    def pods_recover(self) -> None:
        self.world.dead.clear()

    @rule(down=st.booleans())
    def registry(self, down: bool) -> None:
        self.world.images["v6"] = "registry" if down else "ok"

    @rule(said=st.sampled_from(("ok", "error:GoldenFileInvalid", "lost", "hangs", "Inconclusive")))
    def verification_of_v6(self, said: str) -> None:
        self.world.verdicts["v6"] = said

    @rule(tag=st.sampled_from(("v1", "v3")), code=st.integers(0, 1))
    def tests_of(self, tag: str, code: int) -> None:
        self.world.suites[tag] = code

    @invariant()
    def artifacts_are_never_writable(self) -> None:
        for (kind, _), body in self.world.objects.items():
            if kind == "Deployment":
                spec = body["spec"]["template"]["spec"]
                for container in (*spec["containers"], *spec.get("initContainers", [])):
                    mounts = [m for m in container["volumeMounts"] if m["name"].startswith("artifact-")]
                    mounts = [m for m in mounts if m["name"] != "artifact--shared"]
                    assert mounts
                    assert all(m["readOnly"] for m in mounts)

    @invariant()
    def no_production_request_reaches_a_branch(self) -> None:
        """Neither by the Service, nor by the slices that arm the standby, nor by the route's rule without a header."""
        world = self.world
        pods = [b for (k, _), b in world.objects.items() if k == "Pod"]
        aside = [p for p in pods if p["metadata"]["labels"].get(views.ROLE_LABEL) in ("branch", "sandbox")]
        selector = world.selector
        if selector is not None and views.MODEL_LABEL in selector:
            assert not [p for p in aside if selector.items() <= p["metadata"]["labels"].items()]
        armed = {b["metadata"]["name"] for (k, _), b in world.objects.items() if k == "EndpointSlice"}
        assert not armed & {f"{p['metadata']['name']}-standby" for p in aside}
        if route := world.objects.get(("HTTPRoute", MODEL)):
            sent = {ref["name"] for ref in route["spec"]["rules"][-1]["backendRefs"]}
            assert sent <= {MODEL, f"{MODEL}-candidate"}

    @invariant()
    def there_is_one_base(self) -> None:
        """The Model names one, which a user made, and every derived version is made of such a one."""
        world = self.world
        versions = {n: b for (k, n), b in world.objects.items() if k == "ModelVersion"}
        base = world.objects["Model", MODEL].get("status", {}).get("baseVersion") if world.objects else None
        named = {base, *(v["spec"].get("parentVersion") for v in versions.values())} - {None}
        assert not [n for n in named if "ownerReferences" in versions.get(str(n), {"metadata": {}})["metadata"]]

    @invariant()
    def users_own_their_specs(self) -> None:
        for key, spec in self.user_specs.items():
            assert repr(self.world.objects[key]["spec"]) == spec

    @invariant()
    def what_serves_was_verified(self) -> None:
        world = self.world
        version = world.objects.get(("ModelVersion", world.serving or ""))
        if version is not None:
            tag = world.tag_of(version["metadata"]["name"])
            assert tag not in ("v5",) or "parentVersion" not in version["spec"]
            decision = world.objects["Service", MODEL]["metadata"]["annotations"][views.DECISION]
            if '"direction":"First"' in decision:
                self.first = version["metadata"]["name"]
            assert tag != "v7" or not self.verification or self.first == version["metadata"]["name"]

    def teardown(self) -> None:
        """Once the faults end, everything comes to rest: nothing is written any more, and something serves."""
        world = self.world
        if not world.objects:
            return
        world.dead.clear()
        world.images["v6"] = world.verdicts["v6"] = "ok"
        world.gateways.clear()
        for asked, says in world.registry.items():
            if says in ("silent", "error:RegistryUnavailable"):
                world.registry[asked] = asked.partition("=")[2]
        world.run(8000, self._look)
        settled = len(world.writes)
        world.run(5000, self._look)
        assert len(world.writes) == settled, world.writes[settled:]
        replicas = world.objects["Model", MODEL]["spec"]["serving"]["replicas"]
        if replicas and world.serving:
            assert world.serving in self._ready_versions()


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=50,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a failing run of 50 steps takes minutes to shrink
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_rollouts(part: int) -> None:
    """In parts, so that several processes can share the work, and in rounds until there were looks enough.

    An example has 10 to 200 looks: their number alone says how much was tried. Each round has other examples.
    """
    before, rounds = LOOKS, 0
    while LOOKS - before < LOOKS_WANTED // PARTS:
        machine = type("Part", (Rollouts,), {})
        if settings().derandomize:
            seed(part + PARTS * rounds)(machine)
        run_state_machine_as_test(machine, settings=_settings(EXAMPLES // PARTS))
        rounds += 1
        assert rounds < 10, "hardly anything was tried"
