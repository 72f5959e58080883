"""Slim frozen views of the cluster's own kinds: only what decisions read, so that a cache of thousands stays small."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from topgraft.api.verification import Baseline
from topgraft.rollout.content import digest

MODEL_LABEL = "topgraft.dev/model"
VERSION_LABEL = "topgraft.dev/version"
ROLE_LABEL = "topgraft.dev/role"
BRANCH_LABEL = "topgraft.dev/branch"
DECISION = "topgraft.dev/decision"
APPLIED = "topgraft.dev/applied"
CONTENT = "topgraft.dev/content"
STANDBY_SINCE = "topgraft.dev/standby-since"
INFORMED = "topgraft.dev/informed"
INFOS_CHANGED = "topgraft.dev/infos-changed"
RETRY_AT = "topgraft.dev/retry-at"
APPROVED_VERSION = "topgraft.dev/approved-version"
DEFECT = "topgraft.dev/defect"
SLICE_MANAGER = "topgraft.dev"


class View(BaseModel):
    """Reads camelCase wire objects and ignores what it does not know."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class Owner(View):
    kind: str
    name: str
    uid: str
    controller: bool = False


class Meta(View):
    name: str
    namespace: str
    uid: str
    resource_version: str = "0"
    generation: int = 0
    creation_timestamp: datetime
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[Owner, ...] = ()

    def owned_by(self, uid: str) -> bool:
        return any(owner.uid == uid for owner in self.owner_references)


class Object(View):
    metadata: Meta

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def version(self) -> str | None:
        """The ModelVersion that this object belongs to."""
        return self.metadata.labels.get(VERSION_LABEL)


class Terminated(View):
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    finished_at: datetime | None = None


class Waiting(View):
    reason: str = ""
    message: str = ""


class Running(View):
    started_at: datetime | None = None


class ContainerState(View):
    waiting: Waiting | None = None
    terminated: Terminated | None = None
    running: Running | None = None


class ContainerStatus(View):
    name: str
    ready: bool = False
    started: bool | None = None
    """Whether the startup probe has passed."""
    restart_count: int = 0
    image_id: str = Field(default="", alias="imageID")
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class Condition(View):
    type: str
    status: str
    reason: str = ""
    message: str = ""


def holding(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of that type, where it is True."""
    return next((c for c in conditions if c.type == kind and c.status == "True"), None)


class PodCondition(Condition):
    last_transition_time: datetime | None = None


class PodStatus(View):
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    pod_ip: str = Field(default="", alias="podIP")
    start_time: datetime | None = None
    conditions: tuple[PodCondition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()


class ContainerPort(View):
    name: str = ""
    container_port: int


class PodContainer(View):
    ports: tuple[ContainerPort, ...] = ()


class PodSpec(View):
    node_name: str = ""
    containers: tuple[PodContainer, ...] = ()


class Pod(Object):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def condition(self, kind: str) -> PodCondition | None:
        return next((c for c in self.status.conditions if c.type == kind), None)

    @cached_property
    def ready(self) -> bool:
        condition = self.condition("Ready")
        return self.metadata.deletion_timestamp is None and condition is not None and condition.status == "True"

    @property
    def started(self) -> bool:
        """Whether all containers were up once; a pod that still loads is late, not sick."""
        statuses = self.status.container_statuses
        return bool(statuses) and all(status.started for status in statuses)

    @property
    def disrupted(self) -> bool:
        """Whether somebody takes it away: a drain, an eviction, a preemption, a person. Its containers live."""
        return self.metadata.deletion_timestamp is not None or self.disruption is not None

    @property
    def disruption(self) -> Condition | None:
        """Who takes it away and why, where they told it."""
        return holding(self.status.conditions, "DisruptionTarget")

    def runs_for(self, deployment: str) -> bool:
        """Whether the Deployment's ReplicaSet made this pod; labels alone anybody can write."""
        return any(
            o.kind == "ReplicaSet" and o.name.startswith(f"{deployment}-") for o in self.metadata.owner_references
        )

    @property
    def role(self) -> str:
        return self.metadata.labels.get(ROLE_LABEL, "")

    def port(self, name: str) -> int | None:
        """The number of a named port in this very pod: while a change of ports rolls, pods differ."""
        ports = (port for container in self.spec.containers for port in container.ports)
        return next((port.container_port for port in ports if port.name == name), None)


class DeploymentStatus(View):
    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    conditions: tuple[Condition, ...] = ()


class TemplateContainer(View):
    name: str
    image: str = ""


class TemplateSpec(View):
    containers: tuple[TemplateContainer, ...] = ()
    init_containers: tuple[TemplateContainer, ...] = ()


class TemplateMeta(View):
    annotations: dict[str, str] = {}


class PodTemplate(View):
    metadata: TemplateMeta = TemplateMeta()
    spec: TemplateSpec = TemplateSpec()


class DeploymentSpec(View):
    replicas: int = 1
    template: PodTemplate = PodTemplate()


class Deployment(Object):
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()

    @property
    def image(self) -> str:
        """The adapter container's image as it stands in the pod template."""
        containers = self.spec.template.spec.containers
        return next((c.image for c in containers if c.name == "adapter"), "")

    @property
    def digest_image(self) -> str:
        """The image of the init container that reads the artifacts; "" where there is none."""
        return next((c.image for c in self.spec.template.spec.init_containers if c.name == "digest"), "")

    @property
    def rolled_out(self) -> bool:
        """Whether every pod is of the newest template: a bad one leaves the old pods, ready and outdated."""
        status = self.status
        current = status.observed_generation >= self.metadata.generation
        return current and status.replicas == status.updated_replicas >= self.spec.replicas

    @property
    def stalled(self) -> bool:
        """Whether the Deployment's own progress deadline has passed."""
        return any(c.type == "Progressing" and c.status == "False" for c in self.status.conditions)

    def condition(self, kind: str) -> Condition | None:
        return holding(self.status.conditions, kind)


Mode = Literal["Canary", "Rolling", "Recreate"]
Leaves = Literal["Standby", "Failed", "Abandoned"]


class Decision(View):
    """Why the Service selects what it selects. Written in the same request as the selector, so it is never behind."""

    attempt: Annotated[str, Field(max_length=128)] = ""
    direction: Literal["First", "Forward", "Back", "Step"] = "First"
    """Step: `to` is what serves and stays stable, and `candidate` is on its way by `mode`."""
    to: Annotated[str, Field(max_length=63)]
    origin: Annotated[str | None, Field(alias="from", max_length=63)] = None
    reason: Annotated[str, Field(max_length=128)] = ""
    message: Annotated[str, Field(max_length=1024)] = ""
    leaves: Leaves = "Standby"
    """What becomes of `from`: kept warm, marked as failed for `attempt`, or dropped without blame."""
    mode: Mode | None = None
    """By which strategy the version came; none where it stood complete beside the old one."""
    candidate: Annotated[str | None, Field(max_length=63)] = None
    step: Annotated[int | None, Field(ge=0, le=100)] = None
    """Which of the canary's steps is held, from 0."""
    routed: Literal[True] | None = None
    """The share of a canary, now or until this decision, is given by the Model's HTTPRoute and not by the Service."""
    defect: Annotated[str | None, Field(max_length=256)] = None
    """The report that ordered it, with its version: it has acted, whether or not a status tells so yet."""
    baseline: Baseline | None = None
    """Live traffic of `from`, which that of `to` is compared with; on record with the very write that moves it."""
    time: Annotated[AwareDatetime, Field(gt=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))]

    @property
    def splits(self) -> bool:
        """Whether both versions get requests."""
        return self.direction == "Step" and self.mode in ("Canary", "Rolling")

    @property
    def shares(self) -> bool:
        """Whether the Service selects the pods of both versions."""
        return self.splits and not self.routed

    def wire(self) -> str:
        dump = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return json.dumps(dump, sort_keys=True, separators=(",", ":"))


class ServicePort(View):
    name: str = ""
    port: int
    target_port: int | str = 0
    protocol: str = "TCP"


class ServiceSpec(View):
    selector: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()


class Service(Object):
    spec: ServiceSpec = ServiceSpec()

    @property
    def selects(self) -> str | None:
        return self.spec.selector.get(VERSION_LABEL)

    @cached_property
    def decision(self) -> Decision | None:
        text = self.metadata.annotations.get(DECISION)
        try:
            return Decision.model_validate_json(text) if text else None
        except ValueError:
            return None


class EndpointConditions(View):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(View):
    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()


class EndpointSlice(Object):
    endpoints: tuple[Endpoint, ...] | None = None

    @property
    def ours(self) -> bool:
        return self.metadata.labels.get("endpointslice.kubernetes.io/managed-by") == SLICE_MANAGER

    @property
    def addresses(self) -> frozenset[str]:
        return frozenset(a for e in self.endpoints or () for a in e.addresses)


class PersistentVolumeClaimSpec(View):
    access_modes: tuple[str, ...] = ()


class PersistentVolumeClaim(Object):
    spec: PersistentVolumeClaimSpec = PersistentVolumeClaimSpec()


class ConfigMap(Object):
    content: str = ""
    """Digest of the data: what is in it is known from elsewhere, and may be long."""

    @model_validator(mode="before")
    @classmethod
    def _slim(cls, body: Any) -> Any:
        return {**body, "content": digest(body.get("data") or {})} if isinstance(body, dict) else body


class NetworkPolicy(Object):
    content: str = ""
    """Digest of the spec."""

    @model_validator(mode="before")
    @classmethod
    def _slim(cls, body: Any) -> Any:
        return {**body, "content": digest(body.get("spec") or {})} if isinstance(body, dict) else body
