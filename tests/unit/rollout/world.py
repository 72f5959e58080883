"""A cluster in memory for the pure core: applies what `plan` asks for and plays kubelet, scheduler and controllers.

Only for tests of decisions: time is a number, pods become ready at once, faults are named by the image's tag.
"""

from __future__ import annotations

import copy
import marshal
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.governance.peft import Neighbours
from topgraft.rollout import jobview, views
from topgraft.rollout.conditions import rfc3339
from topgraft.rollout.instructions import Apply, ApplyStatus, Delete, Plan, Switch
from topgraft.rollout.observed import Observed, Settings
from topgraft.rollout.plan import plan
from topgraft.rollout.routeview import HTTPRoute

from .worldcontrollers import Controllers
from .worldstate import MODEL, NAMESPACE, REPOSITORY

__all__ = ["MODEL", "NAMESPACE", "REPOSITORY", "Crash", "World"]

OWN = {"Model": Model, "ModelVersion": ModelVersion, "AdapterUpgrade": AdapterUpgrade}
VIEWS = {
    "Deployment": views.Deployment,
    "Pod": views.Pod,
    "Service": views.Service,
    "EndpointSlice": views.EndpointSlice,
    "ConfigMap": views.ConfigMap,
    "HTTPRoute": HTTPRoute,
    "Job": jobview.Job,
    "NetworkPolicy": views.NetworkPolicy,
}
READ: dict[str, type[BaseModel]] = OWN | VIEWS


class Crash(Exception):
    """The operator was killed."""


class World(Controllers):
    """The API server with the operator at work."""

    # -- the API server ---------------------------------------------------------------------------------------------
    def _apply(self, body: dict[str, Any]) -> None:
        kind, name = body["kind"], body["metadata"]["name"]
        old = self.objects.get((kind, name))
        new = copy.deepcopy(body)
        if old is not None:
            new["metadata"] = {**old["metadata"], **new["metadata"]}
            new["status"] = old.get("status", {})
            if kind == "Pod" and "spec" not in body:
                # An annotation put on a pod that runs.
                new = {**old, "metadata": new["metadata"]}
        self._store(new, spec_changed=old is None or old.get("spec") != new.get("spec"))

    def execute(self, made: Plan) -> None:
        self.events += made.events
        for write in made.writes:
            match write:
                case Apply(body):
                    text = self.refusals.get(f"{body['kind']}/{body['metadata']['name']}")
                    if text is None:
                        self._note("apply", body)
                        self._apply(body)
                case ApplyStatus(body):
                    self._note("status", body)
                    target = self.objects[body["kind"], body["metadata"]["name"]]
                    target["status"] = copy.deepcopy(body["status"])
                    self._store(target, spec_changed=False)
                case Switch(body, seen):
                    live = self.objects.get(("Service", body["metadata"]["name"]))
                    found = live["metadata"].get("annotations", {}).get(views.DECISION) if live else None
                    assert found == seen, "a stale switch"
                    self._note("switch", body)
                    self._apply(body)
                case Delete(kind, _, name, uid):
                    live = self.objects.get((kind, name))
                    if live is not None and live["metadata"]["uid"] == uid:
                        self._note("delete", live)
                        del self.objects[kind, name]

    def _note(self, verb: str, body: dict[str, Any]) -> None:
        self.writes.append((verb, body["kind"], body["metadata"]["name"]))
        if self.crash_at is not None and len(self.writes) > self.crash_at:
            self.writes.pop()
            raise Crash

    def killed(self, seconds: float, kills: Callable[[int], range]) -> Iterator[tuple[World, World]]:
        """(this world after `seconds`, the same one after the operator was killed and started again), for each kill.

        `kills`: number of writes without a kill → after how many of them to kill. It tells users the same in the end.
        """
        calm = copy.deepcopy(self)
        calm.run(seconds)
        for after in kills(len(calm.writes)):
            world = copy.deepcopy(self)
            world.crash_at = after
            with suppress(Crash):
                world.run(seconds)
            world.crash_at = None
            world.run(seconds)
            for kind, name in (("AdapterUpgrade", "digits"), ("Model", MODEL)):
                assert world.conditions(kind, name) == calm.conditions(kind, name), f"killed after {after} writes"
            yield calm, world

    # -- the operator -----------------------------------------------------------------------------------------------
    def observe(self) -> Observed:
        names: dict[str, list[str]] = {}
        for kind, name in sorted(self.objects):
            names.setdefault(kind, []).append(name)

        def all_of(kind: str) -> tuple[Any, ...]:
            return tuple(self._view(kind, name) for name in names.get(kind, ()))

        models = all_of("Model")
        return Observed(
            NAMESPACE,
            MODEL,
            Settings(self.own_tag),
            model=models[0] if models else None,
            versions=all_of("ModelVersion"),
            upgrades=all_of("AdapterUpgrade"),
            deployments=all_of("Deployment"),
            pods=all_of("Pod"),
            services=all_of("Service"),
            slices=all_of("EndpointSlice"),
            config_maps=all_of("ConfigMap"),
            routes=all_of("HTTPRoute"),
            gateway_api=self.gateway_api,
            jobs=all_of("Job"),
            policies=all_of("NetworkPolicy"),
            refusals=dict(self.refusals),
            live=self.live,
            may_start=self.may_start,
            mirrored=self.mirrored,
            neighbours=self.neighbours or Neighbours({MODEL: models[0]} if models else {}),
            claims={name: self._claim(name, mode) for name, mode in self.claims.items()},
        )

    def _view(self, kind: str, name: str) -> Any:
        body = self.objects[kind, name]
        state = marshal.dumps(body)
        known = self.parsed.get((kind, name))
        if known is None or known[0] != state:
            known = self.parsed[kind, name] = state, READ[kind].model_validate(body)
        return known[1]

    def _claim(self, name: str, mode: str) -> views.PersistentVolumeClaim:
        meta = {"name": name, "namespace": NAMESPACE, "uid": f"claim-{name}", "creationTimestamp": rfc3339(self.now)}
        return views.PersistentVolumeClaim.model_validate({"metadata": meta, "spec": {"accessModes": [mode]}})

    def turn(self) -> Plan:
        made = plan(self.observe(), self.now)
        self.execute(made)
        return made

    def look(self) -> Plan:
        """Everything else catches up, then the operator looks once."""
        self.settle()
        return self.turn()

    def run(self, seconds: float = 0.0, look: Callable[[], Plan] | None = None) -> None:
        """Let the world and the operator run for the given time, and until nothing is written any more."""
        end = self.now + timedelta(seconds=seconds)
        for _ in range(2000):
            before = len(self.writes)
            made = (look or self.look)()
            if len(self.writes) > before:
                continue
            if self.now >= end:
                return
            left = (end - self.now).total_seconds()
            self.now += timedelta(seconds=min(left, max(0.05, left if made.look_again is None else made.look_again)))
        raise AssertionError(f"the operator never comes to rest: {self.writes[-12:]}")
