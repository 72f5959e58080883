"""What happened to the objects of one namespace, told by watches: a test asks what was, not only what is."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from kubernetes import client, config

Body = dict[str, Any]
T = TypeVar("T")

GROUP = "apis/topgraft.dev/v1alpha1"
PATHS = {
    "Model": (GROUP, "models"),
    "ModelVersion": (GROUP, "modelversions"),
    "AdapterUpgrade": (GROUP, "adapterupgrades"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "Service": ("api/v1", "services"),
    "Pod": ("api/v1", "pods"),
    "EndpointSlice": ("apis/discovery.k8s.io/v1", "endpointslices"),
}
WATCH_SECONDS = 1800


@dataclass(frozen=True)
class Seen:
    """One state of an object, and when the watch told it (monotonic seconds)."""

    at: float
    gone: bool
    body: Body


class Watched:
    """Every state of every object of the namespace since `start`."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._changed = threading.Condition()
        self._seen: dict[tuple[str, str], list[Seen]] = defaultdict(list)
        self._stopped = False

    def start(self) -> Watched:
        for kind in PATHS:
            threading.Thread(target=self._watch, args=(kind,), daemon=True, name=f"watch {kind}").start()
        return self

    def stop(self) -> None:
        self._stopped = True

    def live(self, kind: str, name: str) -> Body:
        """The newest state; empty when there is no such object."""
        states = self.states(kind, name)
        return states[-1].body if states and not states[-1].gone else {}

    def states(self, kind: str, name: str, since: float = 0.0) -> list[Seen]:
        """Every state since then, the oldest first."""
        with self._changed:
            return [seen for seen in self._seen[kind, name] if seen.at >= since]

    def all(self, kind: str, *, since: float = 0.0, **labels: str) -> list[list[Seen]]:
        """The histories of all objects with `topgraft.dev/<name>: <value>` labels; `since`: those changed later."""
        wanted = {f"topgraft.dev/{name}": value for name, value in labels.items()}
        with self._changed:
            histories = [list(states) for (each, _), states in self._seen.items() if each == kind and states]
        return [
            states
            for states in histories
            if wanted.items() <= states[-1].body["metadata"].get("labels", {}).items() and states[-1].at >= since
        ]

    def until(self, probe: Callable[[], T], seconds: float, what: Callable[[], str] | str) -> T:
        """The first true answer of `probe`, asked after each change. Fails after `seconds` with `what` was missing."""
        deadline = time.monotonic() + seconds
        while True:
            answer = probe()
            if answer:
                return answer
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
            with self._changed:
                self._changed.wait(min(left, 0.5))

    def _watch(self, kind: str) -> None:
        root, plural = PATHS[kind]
        config.load_kube_config()  # type: ignore[no-untyped-call]
        api = client.ApiClient()
        while not self._stopped:
            request = api.param_serialize(
                "GET",
                f"/{root}/namespaces/{self.namespace}/{plural}",
                query_params=[("watch", "true"), ("timeoutSeconds", str(WATCH_SECONDS))],
                auth_settings=["BearerToken"],
            )
            answer: Any = api.call_api(*request, _request_timeout=(10, WATCH_SECONDS + 10)).response
            for line in _lines(answer):
                if self._stopped:
                    return
                self._note(kind, json.loads(line))

    def _note(self, kind: str, event: Body) -> None:
        body = event["object"]
        if body.get("kind") != kind:
            return
        with self._changed:
            states = self._seen[kind, body["metadata"]["name"]]
            states.append(Seen(time.monotonic(), event["type"] == "DELETED", body))
            self._changed.notify_all()


def _lines(answer: Any) -> Any:
    """The lines of a response as they come."""
    rest = b""
    while chunk := answer.read1():
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
