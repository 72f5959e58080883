"""The controllers of a cluster in memory: Deployments, endpoints, Gateways and the garbage collector."""

from __future__ import annotations

import json
from typing import Any

from topgraft.rollout import views

from .worldnodes import Nodes
from .worldstate import MODEL, NAMESPACE


class Controllers(Nodes):
    """Everything beside the operator."""

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
