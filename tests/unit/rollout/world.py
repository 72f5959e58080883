"""A cluster in memory for the pure core: applies what `plan` asks for and plays kubelet, scheduler and controllers.

Only for tests of decisions: time is a number, pods become ready at once, faults are named by the image's tag.
"""

from __future__ import annotations

import copy
import hashlib
import json
import marshal
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.governance.mlflow import Mirrored
from topgraft.governance.peft import Neighbours
from topgraft.rollout import views
from topgraft.rollout.conditions import rfc3339
from topgraft.rollout.instructions import Apply, ApplyStatus, Delete, Event, Plan, Switch
from topgraft.rollout.observed import Observed, Settings
from topgraft.rollout.plan import plan
from topgraft.rollout.routeview import GatewayApi, HTTPRoute
from topgraft.rollout.traffic import Traffic

NAMESPACE = "team"
MODEL = "digits"
REPOSITORY = "registry.local/digits"
OWN = {"Model": Model, "ModelVersion": ModelVersion, "AdapterUpgrade": AdapterUpgrade}
VIEWS = {
    "Deployment": views.Deployment,
    "Pod": views.Pod,
    "Service": views.Service,
    "EndpointSlice": views.EndpointSlice,
    "ConfigMap": views.ConfigMap,
    "HTTPRoute": HTTPRoute,
    "Job": views.Job,
    "NetworkPolicy": views.NetworkPolicy,
}
READ: dict[str, type[BaseModel]] = OWN | VIEWS


class Crash(Exception):
    """The operator was killed."""


@dataclass
class World:
    """`images` maps a tag to what its pods do: ok, crash, missing, unready, class:<Name>; unknown tags are ok."""

    images: dict[str, str] = field(default_factory=dict)
    now: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)
    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    writes: list[tuple[str, str, str]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    artifact: str = "sha256:" + "a" * 64
    stat: str = "sha256:" + "5" * 64
    refusals: dict[str, str] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    room: int | None = None
    """How many serving pods the nodes have room for; None: for any number."""
    claims: dict[str, str] = field(default_factory=dict)
    """Access mode of each PersistentVolumeClaim."""
    neighbours: Neighbours | None = None
    """What the rules for PEFT adapters see of the namespace; None: this Model alone."""
    peft: dict[str, dict[str, Any]] = field(default_factory=dict)
    """A location → what its files say; of others that they are an adapter."""
    mirrored: Mirrored = field(default_factory=Mirrored)
    """How far the mirror in MLflow is."""
    crash_at: int | None = None
    own_image: str = "ok"
    own_tag: str = "topgraft:test"
    live: dict[str, Traffic] | None = None
    may_start: bool = True
    verdicts: dict[str, str] = field(default_factory=dict)
    """A tag → what the verification program says of it: a check's name (it fails), Inconclusive, error:<Reason>, lost,
    hangs; of other tags that all is well."""
    suites: dict[str, int] = field(default_factory=dict)
    """A tag → exit code of the tests in that image; of other tags 0."""
    apis: dict[str, dict[str, Any]] = field(default_factory=dict)
    """A tag → the interface that its image tells; other tags tell the same one."""
    packages: dict[str, list[str]] = field(default_factory=dict)
    """A tag → the packages in its image; other images tell none."""
    heads: dict[str, dict[str, Any]] = field(default_factory=dict)
    """A tag → what its image says of the prediction head when asked; other images say nothing."""
    gateway_api: GatewayApi = GatewayApi.READY
    gateways: dict[str, str] = field(default_factory=dict)
    """Gateway → what its controller does: accepts, refuses, unresolved, dead; of other names it accepts."""
    registry: dict[str, str] = field(default_factory=dict)
    """What is looked up, such as `--tag=v2` or `--latest` → the tag that it stands for, error:<Reason>, or silent."""
    version: int = 0
    parsed: dict[tuple[str, str], tuple[bytes, Any]] = field(default_factory=dict)
    """What each object was when it was last read, and its view: as in the operator, only what changed is read anew."""

    # -- the user ---------------------------------------------------------------------------------------------------
    def put(self, kind: str, name: str, spec: dict[str, Any], **meta: Any) -> None:
        old = self.objects.get((kind, name))
        body = {"apiVersion": "topgraft.dev/v1alpha1", "kind": kind, "spec": spec}
        body["metadata"] = {**(old["metadata"] if old else {}), "name": name, "namespace": NAMESPACE, **meta}
        if old:
            body["status"] = old.get("status", {})
        self._store(body, spec_changed=old is None or old["spec"] != spec)

    def model(self, **spec: Any) -> None:
        default = {"replicas": 2}
        serving = {**default, **spec.pop("serving", {})}
        self.put("Model", MODEL, {"modelTypeId": "classifier", "serving": serving, **spec})

    def base(self, name: str = "digits-1", tag: str = "v1", **spec: Any) -> None:
        artifact = {"volumes": [{"name": "weights", "mountPath": "/weights", "configMap": {"name": "weights"}}]}
        adapter = {"image": f"{REPOSITORY}:{tag}"}
        self.put("ModelVersion", name, {"modelRef": {"name": MODEL}, "artifact": artifact, "adapter": adapter, **spec})

    def upgrade(self, tag: str, name: str = "digits", **spec: Any) -> None:
        adapter = {"image": tag if "/" in tag else f"{REPOSITORY}:{tag}"}
        self.put("AdapterUpgrade", name, {"modelRef": {"name": MODEL}, "adapter": adapter, "reason": "BugFix", **spec})

    def remove(self, kind: str, name: str) -> None:
        self.objects.pop((kind, name), None)

    def annotations(self, kind: str, name: str) -> dict[str, str]:
        found: dict[str, str] = self.objects[kind, name]["metadata"].setdefault("annotations", {})
        return found

    # -- the API server ---------------------------------------------------------------------------------------------
    def _store(self, body: dict[str, Any], *, spec_changed: bool = True) -> None:
        self.version += 1
        meta = body["metadata"]
        meta["resourceVersion"] = str(self.version)
        meta.setdefault("uid", f"uid-{self.version}")
        meta.setdefault("creationTimestamp", rfc3339(self.now))
        meta["generation"] = meta.get("generation", 0) + (1 if spec_changed else 0)
        self.objects[body["kind"], meta["name"]] = body

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

    # -- controllers and kubelet ------------------------------------------------------------------------------------
    def settle(self) -> None:
        """Everything that runs beside the operator catches up."""
        for (kind, _), body in list(self.objects.items()):
            if kind == "Deployment":
                self._run_deployment(body)
            elif kind == "Pod" and body["metadata"]["labels"][views.ROLE_LABEL] == "resolve":
                self._run_resolve(body)
            elif kind == "Pod" and body["metadata"]["labels"][views.ROLE_LABEL] == "preflight":
                play = {"verify": self._run_verify, "test": self._run_suite}
                play.get(body["spec"]["containers"][0]["name"], self._run_preflight)(body)
            elif kind == "HTTPRoute":
                self._answer_route(body)
            elif kind == "Pod" and body["metadata"]["labels"][views.ROLE_LABEL] == "sandbox":
                self._run_sandbox(body)
        self._collect()
        self._endpoints()

    def _collect(self) -> None:
        uids = {body["metadata"]["uid"] for body in self.objects.values()}
        for key, body in list(self.objects.items()):
            owners = body["metadata"].get("ownerReferences", [])
            if owners and not any(owner["uid"] in uids for owner in owners):
                del self.objects[key]

    def _behaviour(self, image: str) -> str:
        tag = image.partition("@")[0].rpartition(":")[2]
        return self.images.get(tag, "ok")

    def _run_deployment(self, body: dict[str, Any]) -> None:
        name, count = body["metadata"]["name"], body["spec"]["replicas"]
        image = body["spec"]["template"]["spec"]["containers"][0]["image"]
        mine = [n for (k, n), p in self.objects.items() if k == "Pod" and p["metadata"].get("deployment") == name]
        for pod in mine[count:]:
            del self.objects["Pod", pod]
        for index in range(len(mine), count):
            self._start_pod(body, f"{name}-{self.version}-{index}")
        for pod in (p for (k, _), p in self.objects.items() if k == "Pod" and p["metadata"].get("deployment") == name):
            self._run_pod(pod, self._behaviour(image))
        running = [p for (k, _), p in self.objects.items() if k == "Pod" and p["metadata"].get("deployment") == name]
        body["status"] = {
            "observedGeneration": body["metadata"]["generation"],
            "replicas": count,
            "updatedReplicas": len(running),
            "readyReplicas": len(running),
        }

    def _start_pod(self, deployment: dict[str, Any], name: str) -> None:
        template = deployment["spec"]["template"]
        meta = {"name": name, "namespace": NAMESPACE, "labels": dict(template["metadata"]["labels"])}
        owner = {
            "kind": "ReplicaSet",
            "name": f"{deployment['metadata']['name']}-rs",
            "uid": deployment["metadata"]["uid"],
        }
        meta["ownerReferences"] = [owner]
        meta["deployment"] = deployment["metadata"]["name"]
        containers = [{"ports": [{"name": "http", "containerPort": 8080}]}]
        volumes = template["spec"].get("volumes", [])
        reads = template["spec"].get("initContainers", [])
        spec = {"containers": containers, "volumes": volumes, "initContainers": reads}
        self._store({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        self.objects["Pod", name]["status"] = {"podIP": f"10.0.{self.version // 250}.{self.version % 250}"}

    def _schedule(self, pod: dict[str, Any]) -> bool:
        """Whether the pod has a node; one that got it keeps it."""
        if pod["spec"].get("nodeName"):
            return True
        placed = [p for (k, _), p in self.objects.items() if k == "Pod" and p["spec"].get("nodeName")]
        serving = [p for p in self._serving_pods() if p["spec"].get("nodeName")]
        taken = {claim for p in placed if p["status"].get("phase") != "Succeeded" for claim in self._alone(p)}
        fits = self.room is None or len(serving) < self.room or pod not in self._serving_pods()
        if fits and not taken & self._alone(pod):
            pod["spec"]["nodeName"] = "node-1"
            return True
        text = "0/1 nodes are available: no room for it, or another pod has its claim"
        waits = {"type": "PodScheduled", "status": "False", "message": text}
        pod["status"] |= {"phase": "Pending", "conditions": [waits], "containerStatuses": []}
        return False

    def _serving_pods(self) -> list[dict[str, Any]]:
        pods = [p for (k, _), p in self.objects.items() if k == "Pod"]
        return [p for p in pods if p["metadata"]["labels"].get(views.ROLE_LABEL) == "serving"]

    def _alone(self, pod: dict[str, Any]) -> set[str]:
        """The claims of the pod that no second pod may mount."""
        named = (v.get("persistentVolumeClaim", {}).get("claimName", "") for v in pod["spec"].get("volumes", []))
        return {name for name in named if self.claims.get(name) == "ReadWriteOncePod"}

    def _run_pod(self, pod: dict[str, Any], behaviour: str) -> None:
        if not self._schedule(pod):
            return
        if pod["spec"]["initContainers"]:
            said = {"digest": {"digest": self.artifact, "files": 1, "bytes": 10}, "peft": self._inspect_peft(pod)}
            pod["status"]["initContainerStatuses"] = [
                {"name": c["name"], "state": {"terminated": {"exitCode": 0, "message": json.dumps(said[c["name"]])}}}
                for c in pod["spec"]["initContainers"]
                if c["name"] in said
            ]
        if pod["metadata"]["name"] in self.dead or pod["metadata"]["deployment"] in self.dead:
            behaviour = "unready"
        if behaviour == "loading":
            before = next(iter(pod["status"].get("containerStatuses", [])), {})
            behaviour = "ok" if before.get("started") else "loading"
        container: dict[str, Any] = {"name": "adapter", "ready": behaviour == "ok", "restartCount": 0, "imageID": ""}
        container["started"] = behaviour in ("ok", "unready")
        match behaviour:
            case "crash":
                ended = {"exitCode": 1, "reason": "Error", "message": "", "finishedAt": rfc3339(self.now)}
                container |= {"restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
                container["lastState"] = {"terminated": ended}
            case "missing":
                waiting = {"reason": "ImagePullBackOff", "message": "failed to pull: manifest not found"}
                container["state"] = {"waiting": waiting}
            case "registry":
                waiting = {"reason": "ErrImagePull", "message": "dial tcp: connection refused"}
                container["state"] = {"waiting": waiting}
            case _:
                before = next(iter(pod["status"].get("containerStatuses", [])), {}).get("state", {}).get("running")
                container["state"] = {"running": before or {"startedAt": rfc3339(self.now)}}
        ready = behaviour == "ok"
        old = next((c for c in pod["status"].get("conditions", []) if c["type"] == "Ready"), {})
        status = "True" if ready else "False"
        moved = old.get("lastTransitionTime") if old.get("status") == status else rfc3339(self.now)
        pod["status"] |= {
            "phase": "Running",
            "startTime": pod["metadata"]["creationTimestamp"],
            "conditions": [
                {"type": "Ready", "status": status, "lastTransitionTime": moved},
                *(c for c in pod["status"].get("conditions", []) if c["type"] == "DisruptionTarget"),
            ],
            "containerStatuses": [container],
        }

    def _run_sandbox(self, pod: dict[str, Any]) -> None:
        pod.setdefault("status", {"podIP": "10.9.9.9"})
        container = pod["spec"]["containers"][0]
        if container["name"] == "test":
            self._run_suite(pod)
            return
        if pod["status"].get("phase") != "Failed":
            pod["spec"].setdefault("initContainers", [])
            pod["metadata"].setdefault("deployment", pod["metadata"]["name"])
            self._run_pod(pod, self._behaviour(container["image"]))

    def _run_preflight(self, pod: dict[str, Any]) -> None:
        if pod.get("status", {}).get("phase") == "Succeeded":
            return
        pod.setdefault("status", {})
        if not self._schedule(pod):
            return
        image = pod["spec"]["containers"][-1]["image"]
        behaviour = self._behaviour(image)
        if self.own_image != "ok":
            waiting = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
            pod["status"] = {"phase": "Pending", "containerStatuses": [{"name": "digest", "state": waiting}]}
            return
        if behaviour in ("missing", "registry"):
            text = "manifest not found" if behaviour == "missing" else "connection refused"
            waiting = {"waiting": {"reason": "ErrImagePull", "message": text}}
            pod["status"] = {
                "phase": "Pending",
                "startTime": pod["metadata"]["creationTimestamp"],
                "containerStatuses": [{"name": "inspect", "state": waiting}],
            }
            return
        name = behaviour.partition(":")[2] if behaviour.startswith("class:") else "DigitsAdapter"
        inspected = {"module": "digits_adapter", "className": name, "sdkVersion": "0.1.0", "apiDigest": "sha256:1"}
        inspected["api"] = {"inputs": [{"name": "image", "type": "array", "shape": [-1, 64]}], "outputs": []}
        tag = image.partition("@")[0].rpartition(":")[2]
        if tag in self.apis:
            inspected |= {"api": self.apis[tag], "apiDigest": f"sha256:of-{tag}"}
        if tag in self.packages:
            inspected["requirements"] = self.packages[tag]
        asked = any(item["name"] == "TOPGRAFT_HEAD_CONVERSION" for item in pod["spec"]["containers"][-1].get("env", []))
        if asked and tag in self.heads:
            inspected["headConversion"] = self.heads[tag]
        digested = self._digest(pod["spec"]["containers"][0].get("args", []))
        image_id = f"{REPOSITORY}@{self.digest_of(image.partition('@')[0].rpartition(':')[2])}"
        pod["status"] = {
            "phase": "Succeeded",
            "containerStatuses": [
                {"name": n, "imageID": image_id, "state": {"terminated": {"exitCode": 0, "message": json.dumps(said)}}}
                for n, said in (("digest", digested), ("peft", self._inspect_peft(pod)), ("inspect", inspected))
                if any(c["name"] == n for c in pod["spec"]["containers"])
            ],
        }

    def _inspect_peft(self, pod: dict[str, Any]) -> dict[str, Any]:
        """What `topgraft inspect-peft` answers."""
        spec = pod["spec"]
        reading = [c for c in (*spec.get("initContainers", []), *spec["containers"]) if c.get("name") == "peft"]
        asked = json.loads(reading[0]["args"][-1]) if reading else []
        fine = {"directory": True, "peft_type": "LORA", "rank": 16, "modules": 4, "matched": 4}
        return {"adapters": [self.peft.get(one["location"], fine) if "location" in one else {} for one in asked]}

    def _run_verify(self, pod: dict[str, Any]) -> None:
        told = json.loads("".join(a.partition("=")[2] for a in pod["spec"]["containers"][0]["args"][1:]))
        said = self.verdicts.get(self.tag_of(pod["metadata"]["labels"][views.VERSION_LABEL]) or "", "ok")
        if said == "hangs":
            pod["status"] = {"phase": "Running", "containerStatuses": [{"name": "verify", "state": {"running": {}}}]}
            return
        names = [f"smoke/{request['name']}" for request in told["smoke"]]
        names += ["golden/output", "golden/latency-p95"] if told["golden"] and told["serving"] else []
        names += ["golden/errors"] if told["golden"] else []
        kind, _, reason = said.partition(":")
        bad = {said: "Failed"} if kind != "Inconclusive" else dict.fromkeys(names[-1:], "Inconclusive")
        checks = [{"name": n, "old": "1", "new": "2", "limit": "+15 %", "verdict": bad.get(n, "Passed")} for n in names]
        report: dict[str, Any] = {"checks": checks}
        if kind == "error":
            report["error"] = {"reason": reason, "message": "requests.jsonl: line 3: no JSON"}
        code = 1 if kind == "error" else 3 if "Failed" in {c["verdict"] for c in checks} else 0
        self._end(pod, "verify", 137 if said == "lost" else code, "" if said == "lost" else json.dumps(report))

    def _run_resolve(self, pod: dict[str, Any]) -> None:
        if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return
        asked = pod["spec"]["containers"][0]["args"][3]
        stands = self.registry.get(asked, "error:TagNotFound")
        kind, _, reason = stands.partition(":")
        if stands == "silent":
            pod["status"] = {"phase": "Running", "containerStatuses": [{"name": "resolve", "state": {"running": {}}}]}
        elif kind == "error":
            self._end(pod, "resolve", 1, json.dumps({"error": {"reason": reason, "message": f"about {asked}"}}))
        else:
            said = {"tag": stands, "digest": self.digest_of(stands), "commit": "3f2a9c1"}
            self._end(pod, "resolve", 0, json.dumps(said))

    @staticmethod
    def digest_of(tag: str) -> str:
        """The digest of the image behind a tag."""
        return f"sha256:{hashlib.sha256(tag.encode()).hexdigest()}"

    def _run_suite(self, pod: dict[str, Any]) -> None:
        code = self.suites.get(self.tag_of(pod["metadata"]["labels"][views.VERSION_LABEL]) or "", 0)
        self._end(pod, "test", code, "1 failed, 3 passed in 0.12s" if code else "")

    @staticmethod
    def _end(pod: dict[str, Any], container: str, code: int, message: str) -> None:
        ended = {"exitCode": code, "reason": "Error" if code else "Completed", "message": message}
        statuses = [{"name": container, "state": {"terminated": ended}}]
        pod["status"] = {"phase": "Failed" if code else "Succeeded", "containerStatuses": statuses}

    def _digest(self, arguments: list[str]) -> dict[str, Any]:
        """What `topgraft digest` answers; files whose stats are as they were are not read."""
        found = {"digest": self.artifact, "files": 1, "bytes": 10, "seconds": 0.1, "statDigest": self.stat}
        known = dict(pairwise(arguments))
        if known.get("--known-stat") == self.stat:
            found |= {"digest": known["--known-digest"], "quick": True}
        return found

    def _answer_route(self, body: dict[str, Any]) -> None:
        """The controllers of the Gateways: each answers for its own parentRef, with the generation that it read."""
        parents = {json.dumps(p["parentRef"], sort_keys=True): p for p in body.get("status", {}).get("parents", [])}
        for ref in body["spec"]["parentRefs"]:
            play = self.gateways.get(ref["name"], "accepts")
            if play == "dead":
                continue
            told = {"Accepted": play != "refuses", "ResolvedRefs": play != "unresolved"}
            conditions = [
                {
                    "type": kind,
                    "status": "True" if true else "False",
                    "reason": kind if true else "NotAllowedByListeners",
                    "message": "",
                    "observedGeneration": body["metadata"]["generation"],
                }
                for kind, true in told.items()
            ]
            parents[json.dumps(ref, sort_keys=True)] = {
                "parentRef": ref,
                "controllerName": "example.com/gateway",
                "conditions": conditions,
            }
        body["status"] = {"parents": list(parents.values())}

    def _endpoints(self) -> None:
        """The EndpointSlice controller: one slice with the ready pods that the Service selects."""
        service = self.objects.get(("Service", MODEL))
        if service is None:
            return
        selector = service["spec"]["selector"]
        chosen = [
            p
            for (k, _), p in self.objects.items()
            if k == "Pod" and selector.items() <= p["metadata"]["labels"].items()
        ]
        endpoints = [{"addresses": [p["status"]["podIP"]], "conditions": {"ready": True}} for p in chosen]
        labels = {views.MODEL_LABEL: MODEL, "kubernetes.io/service-name": MODEL}
        meta = {"name": f"{MODEL}-abc", "namespace": NAMESPACE, "labels": labels}
        self._store({"apiVersion": "v1", "kind": "EndpointSlice", "metadata": meta, "endpoints": endpoints})

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

    # -- questions --------------------------------------------------------------------------------------------------
    @property
    def serving(self) -> str | None:
        service = self.objects.get(("Service", MODEL))
        return service["spec"]["selector"].get(views.VERSION_LABEL) if service else None

    @property
    def selector(self) -> dict[str, str] | None:
        service = self.objects.get(("Service", MODEL))
        return service["spec"]["selector"] if service else None

    @property
    def decision(self) -> views.Decision | None:
        service = self.objects.get(("Service", MODEL))
        return views.Service.model_validate(service).decision if service else None

    def tag_of(self, version: str | None) -> str | None:
        record = self.objects.get(("ModelVersion", version or ""))
        return record["spec"]["adapter"]["image"].rpartition(":")[2] if record else None

    @property
    def serving_tag(self) -> str | None:
        return self.tag_of(self.serving)

    def conditions(self, kind: str, name: str) -> dict[str, tuple[str, str]]:
        found = self.objects[kind, name].get("status", {}).get("conditions", [])
        return {c["type"]: (c["status"], c["reason"]) for c in found}
