"""The parts of a pod's specification that a user may give, in Kubernetes' own names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from topgraft.api.scalars import (
    DnsLabel,
    KeyName,
    LabelKey,
    Line,
    MatchLabels,
    ObjectName,
    Quantity,
    Word,
)
from topgraft.api.wire import ATOMIC, BY_NAME, SET, ListOf, Rule, Wire, rules

_ATOMIC_OBJECT = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

RESERVED_ENV = (
    "TOPGRAFT_ARTIFACT_DIR",
    "TOPGRAFT_MODEL",
    "TOPGRAFT_VERSION",
    "TOPGRAFT_PORT",
    "TOPGRAFT_MAX_CONNECTION_AGE_SECONDS",
    "TOPGRAFT_GRPC_PORT",
    "TOPGRAFT_ADAPTERS",
    "TOPGRAFT_CONTAINERS",
    "TOPGRAFT_EXTERNAL",
    "TOPGRAFT_HEAD_CONVERSION",
    "TOPGRAFT_HEAD_NAME",
    "TOPGRAFT_INFO_DIR",
    "TOPGRAFT_TEST_TAG",
    "TOPGRAFT_SANDBOX_URL",
    "TOPGRAFT_TRAIN_PARAMS",
)
"""What the operator itself gives to containers, each from a field of its own: a second source would contradict it."""


class LocalObjectReference(Wire):
    """An object of the same namespace."""

    name: ObjectName


class KeySelector(Wire):
    """One key of a ConfigMap or Secret of the same namespace."""

    model_config = _ATOMIC_OBJECT

    name: ObjectName
    key: KeyName
    optional: bool | None = None
    """Whether the container may start without it."""


class FieldSelector(Wire):
    """A field of the pod."""

    model_config = _ATOMIC_OBJECT

    field_path: Annotated[str, Field(min_length=1, max_length=512)]


class ResourceFieldSelector(Wire):
    """A resource request or limit of the container."""

    model_config = _ATOMIC_OBJECT

    resource: Word
    container_name: DnsLabel | None = None
    divisor: Quantity | None = None


class EnvVarSource(Wire):
    """Where a variable's value comes from: exactly one of the four."""

    model_config = rules(
        Rule(
            "[has(self.configMapKeyRef), has(self.secretKeyRef), has(self.fieldRef), has(self.resourceFieldRef)]"
            ".filter(x, x).size() == 1",
            "must have exactly one of configMapKeyRef, secretKeyRef, fieldRef and resourceFieldRef",
        )
    )

    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None
    field_ref: FieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None


class EnvVar(Wire):
    """An environment variable of the adapter container."""

    model_config = rules(
        Rule("!has(self.value) || !has(self.valueFrom)", "must have a value or a valueFrom, not both"),
    )

    name: Annotated[
        str,
        Field(min_length=1, max_length=253),
        Rule(
            "self.matches('^[-._a-zA-Z][-._a-zA-Z0-9]*$')",
            "must be a variable's name: letters, digits, '_', '-' and '.', not starting with a digit",
        ),
        Rule(f"!(self in {list(RESERVED_ENV)})", "must not be a variable that Topgraft itself sets"),
    ]
    value: Annotated[str | None, Field(max_length=32768)] = None
    value_from: EnvVarSource | None = None


Env = Annotated[
    tuple[EnvVar, ...],
    Field(max_length=64),
    BY_NAME,
    Rule(
        "self.map(e, has(e.value) ? size(e.value) : 0).sum() <= 131072",
        "must have values of at most 131072 characters together: mount a ConfigMap where there is more",
    ),
]
ResourceList = Annotated[dict[str, Quantity], Field(max_length=16)]


class Resources(Wire):
    """What the adapter container asks for and may use, such as cpu, memory, nvidia.com/gpu."""

    requests: ResourceList = {}
    limits: ResourceList = {}


class Toleration(Wire):
    """A taint of a node that the pods accept."""

    key: LabelKey | None = None
    operator: Literal["Exists", "Equal", "Lt", "Gt"] | None = None
    value: Annotated[str | None, Field(max_length=63)] = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: Annotated[int | None, Field(ge=-1, le=2**53 - 1)] = None


class LabelSelectorRequirement(Wire):
    """A condition on one label."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Annotated[tuple[Annotated[str, Field(max_length=63)], ...], Field(max_length=64), ATOMIC] = ()


class LabelSelector(Wire):
    """Objects by their labels; all conditions must hold."""

    model_config = _ATOMIC_OBJECT

    match_labels: MatchLabels = {}
    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], Field(max_length=16), ATOMIC] = ()


class TopologySpreadConstraint(Wire):
    """How the serving pods are spread. Without a labelSelector: over the pods of the same version."""

    max_skew: Annotated[int, Field(ge=1, le=10000)]
    topology_key: LabelKey
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    label_selector: LabelSelector | None = None
    match_label_keys: Annotated[tuple[LabelKey, ...], Field(max_length=16), ATOMIC] = ()
    min_domains: Annotated[int | None, Field(ge=1, le=10000)] = None
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    node_taints_policy: Literal["Honor", "Ignore"] | None = None


class Capabilities(Wire):
    """Linux capabilities added to and dropped from the container."""

    add: Annotated[tuple[Word, ...], Field(max_length=64), ATOMIC] = ()
    drop: Annotated[tuple[Word, ...], Field(max_length=64), ATOMIC] = ()


class SeccompProfile(Wire):
    """The filter of system calls."""

    type: Literal["RuntimeDefault", "Localhost", "Unconfined"]
    localhost_profile: Line | None = None


class AppArmorProfile(Wire):
    """The AppArmor profile."""

    type: Literal["RuntimeDefault", "Localhost", "Unconfined"]
    localhost_profile: Line | None = None


class SeLinuxOptions(Wire):
    """The SELinux context."""

    user: Line | None = None
    role: Line | None = None
    type: Line | None = None
    level: Line | None = None


Id = Annotated[int, Field(ge=0, le=4294967295)]


class SecurityContext(Wire):
    """Security settings of the adapter container."""

    allow_privilege_escalation: bool | None = None
    app_armor_profile: AppArmorProfile | None = None
    capabilities: Capabilities | None = None
    privileged: bool | None = None
    read_only_root_filesystem: bool | None = None
    run_as_group: Id | None = None
    run_as_non_root: bool | None = None
    run_as_user: Id | None = None
    se_linux_options: SeLinuxOptions | None = None
    seccomp_profile: SeccompProfile | None = None


class Sysctl(Wire):
    """A kernel parameter of the pod's namespaces."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    value: Line


class PodSecurityContext(Wire):
    """Security settings of the whole pod."""

    app_armor_profile: AppArmorProfile | None = None
    fs_group: Id | None = None
    fs_group_change_policy: Literal["Always", "OnRootMismatch"] | None = None
    run_as_group: Id | None = None
    run_as_non_root: bool | None = None
    run_as_user: Id | None = None
    se_linux_options: SeLinuxOptions | None = None
    seccomp_profile: SeccompProfile | None = None
    supplemental_groups: Annotated[tuple[Id, ...], Field(max_length=32), ATOMIC] = ()
    sysctls: Annotated[tuple[Sysctl, ...], Field(max_length=32), BY_NAME] = ()


class NodeSelectorRequirement(Wire):
    """A condition on one label or field of a node."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: Annotated[tuple[Annotated[str, Field(max_length=253)], ...], Field(max_length=64), ATOMIC] = ()


class NodeSelectorTerm(Wire):
    """Nodes for which all conditions hold."""

    model_config = _ATOMIC_OBJECT

    match_expressions: Annotated[tuple[NodeSelectorRequirement, ...], Field(max_length=16), ATOMIC] = ()
    match_fields: Annotated[tuple[NodeSelectorRequirement, ...], Field(max_length=16), ATOMIC] = ()


class RequiredNodes(Wire):
    """Nodes that fit any of the terms."""

    model_config = _ATOMIC_OBJECT

    node_selector_terms: Annotated[tuple[NodeSelectorTerm, ...], Field(min_length=1, max_length=16), ATOMIC]


Weight = Annotated[int, Field(ge=1, le=100)]


class PreferredNodes(Wire):
    """Nodes that are better by a weight."""

    weight: Weight
    preference: NodeSelectorTerm


class NodeAffinity(Wire):
    """Which nodes the pods run on."""

    required_during_scheduling_ignored_during_execution: RequiredNodes | None = None
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredNodes, ...], Field(max_length=16), ATOMIC
    ] = ()


class PodAffinityTerm(Wire):
    """Pods, and the part of the cluster (by a node's label) in which they are looked for."""

    label_selector: LabelSelector | None = None
    topology_key: LabelKey
    namespaces: Annotated[tuple[DnsLabel, ...], Field(max_length=16), ATOMIC] = ()
    namespace_selector: LabelSelector | None = None
    match_label_keys: Annotated[tuple[LabelKey, ...], Field(max_length=16), ATOMIC] = ()
    mismatch_label_keys: Annotated[tuple[LabelKey, ...], Field(max_length=16), ATOMIC] = ()


class WeightedPodAffinityTerm(Wire):
    """Pods that count by a weight."""

    weight: Weight
    pod_affinity_term: PodAffinityTerm


class PodAffinity(Wire):
    """Which other pods these run beside (podAffinity) or apart from (podAntiAffinity)."""

    required_during_scheduling_ignored_during_execution: Annotated[
        tuple[PodAffinityTerm, ...], Field(max_length=16), ATOMIC
    ] = ()
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[WeightedPodAffinityTerm, ...], Field(max_length=16), ATOMIC
    ] = ()


class Affinity(Wire):
    """Where the pods run, in Kubernetes' own terms."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


ImagePullSecrets = Annotated[tuple[LocalObjectReference, ...], Field(max_length=16), BY_NAME]
Tolerations = Annotated[tuple[Toleration, ...], Field(max_length=32), ATOMIC]
TopologySpreadConstraints = Annotated[
    tuple[TopologySpreadConstraint, ...],
    Field(max_length=16),
    ListOf("map", ("topologyKey", "whenUnsatisfiable")),
]
Words = Annotated[tuple[Word, ...], Field(max_length=64), SET]
