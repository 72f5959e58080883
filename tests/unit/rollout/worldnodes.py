"""What runs on the nodes of a cluster in memory: pods that serve, and pods that answer the operator's questions."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from typing import Any

from topgraft.rollout import views
from topgraft.rollout.conditions import rfc3339

from .worldstate import REPOSITORY, State


class Nodes(State):
    """Scheduler, kubelet and the programs in the containers. Pods become ready at once."""

    def _behaviour(self, image: str) -> str:
        tag = image.partition("@")[0].rpartition(":")[2]
        return self.images.get(tag, "ok")

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
