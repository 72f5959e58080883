"""What a cluster in memory holds: its objects, how its images behave, and the users who write to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from topgraft.governance.mlflow import Mirrored
from topgraft.governance.peft import Neighbours
from topgraft.rollout import views
from topgraft.rollout.conditions import rfc3339
from topgraft.rollout.instructions import Event
from topgraft.rollout.routeview import GatewayApi
from topgraft.rollout.traffic import Traffic

NAMESPACE = "team"
MODEL = "digits"
REPOSITORY = "registry.local/digits"


@dataclass
class State:
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
        return record["spec"]["adapter"]["image"].partition("@")[0].rpartition(":")[2] if record else None

    @property
    def serving_tag(self) -> str | None:
        return self.tag_of(self.serving)

    def conditions(self, kind: str, name: str) -> dict[str, tuple[str, str]]:
        found = self.objects[kind, name].get("status", {}).get("conditions", [])
        return {c["type"]: (c["status"], c["reason"]) for c in found}
