"""Where and how large a Model is served."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from topgraft.api.artifact import ConfigMapSource, MountPath, SecretSource, VolumeName
from topgraft.api.pod import (
    Affinity,
    Env,
    ImagePullSecrets,
    PodSecurityContext,
    Resources,
    SecurityContext,
    Tolerations,
    TopologySpreadConstraints,
)
from topgraft.api.route import HttpRoute
from topgraft.api.scalars import Annotations, DnsLabel, NodeSelector, ObjectName, PodLabels, Quantity
from topgraft.api.wire import BY_NAME, Rule, Wire, rules

PortNumber = Annotated[int, Field(ge=1, le=65535)]
ProbePath = Annotated[str, Field(min_length=1, max_length=1024), Rule("self.startsWith('/')", "must start with '/'")]


class Port(Wire):
    """A port of the Model's Service and of its pods."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=15),
        Rule(
            "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "must be a port's name: lower-case letters, digits and '-', at most 15 characters",
        ),
    ]
    port: PortNumber
    """The Service's port."""
    container_port: PortNumber | None = None
    """The container's port; by default the same."""


DEFAULT_PORTS = (Port(name="http", port=8080),)


class ServiceOptions(Wire):
    """The Service of the Model, which has the Model's name."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    annotations: Annotations = {}


class EmptyDir(Wire):
    """A directory that lives as long as the pod."""

    medium: Literal["Memory"] | None = None
    """Memory: a tmpfs, counted as the container's memory."""
    size_limit: Quantity | None = None


class ServingVolume(Wire):
    """A directory that is no artifact, such as /dev/shm or a cache, with exactly one source."""

    model_config = rules(
        Rule(
            "[has(self.emptyDir), has(self.configMap), has(self.secret)].filter(x, x).size() == 1",
            "must have exactly one source of emptyDir, configMap, secret",
        ),
        Rule(
            "!self.name.startsWith('artifact-') && self.name != 'topgraft-tmp' && self.mountPath != '/tmp'",
            "must not be named artifact-… or topgraft-tmp nor be mounted at /tmp: Topgraft's own volumes are",
        ),
    )

    name: VolumeName
    mount_path: MountPath
    empty_dir: EmptyDir | None = None
    config_map: ConfigMapSource | None = None
    secret: SecretSource | None = None


class Probes(Wire):
    """How the health of the serving pods is asked, at the port `http`."""

    # Defaults that the schema does not write into the object: a version with contract None has others.
    readiness_path: ProbePath = Field(default_factory=lambda: "/v2/health/ready")
    """By default /v2/health/ready; with contract None: whether the port is open."""
    liveness_path: ProbePath = Field(default_factory=lambda: "/v2/health/live")
    """By default /v2/health/live; with contract None: whether the port is open."""
    startup_seconds: Annotated[int, Field(ge=1, le=86400)] = 300
    """How long the adapter may take to load before the container is started again."""
    timeout_seconds: Annotated[int, Field(ge=1, le=60)] = 1
    """How long readiness, asked each second, may take to answer."""
    failure_threshold: Annotated[int, Field(ge=1, le=60)] = 2
    """After how many failed answers a pod is not ready. With one replica that is the loss of all pods: one slow answer
    on a busy node must not send a good version back. Servers that pause need more."""


class Serving(Wire):
    """Where and how large the Model is served. A change rolls the pods of the serving version in place."""

    replicas: Annotated[int, Field(ge=0, le=10000)] = 1
    """Number of pods; also by `kubectl scale` and a HorizontalPodAutoscaler."""
    version: DnsLabel | None = None
    """Pins the Model to this ModelVersion."""
    ports: Annotated[
        tuple[Port, ...],
        Field(max_length=8),
        BY_NAME,
        Rule(
            "self.size() == 0 || self.exists(p, p.name == 'http')",
            "spec.serving.ports must have a port with the name http: the health probes use it",
        ),
        Rule(
            "self.all(p, self.exists_one(q, q.port == p.port))",
            "spec.serving.ports must have every port number only once",
        ),
        Rule(
            "self.all(p, self.exists_one(q, (has(q.containerPort) ? q.containerPort : q.port) == "
            "(has(p.containerPort) ? p.containerPort : p.port)))",
            "spec.serving.ports must have every containerPort only once",
        ),
    ] = DEFAULT_PORTS
    """Ports of the Service; without any: one with the name http and the number 8080."""
    service: ServiceOptions = Field(default_factory=ServiceOptions)
    http_route: HttpRoute | None = None
    """Needs the Gateway API in the cluster and the operator's --gateway-api. With it a Canary goes by exact weights."""
    service_account_name: ObjectName | None = None
    image_pull_secrets: ImagePullSecrets = ()
    node_selector: NodeSelector = {}
    tolerations: Tolerations = ()
    affinity: Affinity | None = None
    topology_spread_constraints: TopologySpreadConstraints | None = None
    """By default the pods are spread over the hosts where that is possible; an empty list: no spreading."""
    priority_class_name: ObjectName | None = None
    runtime_class_name: ObjectName | None = None
    termination_grace_period_seconds: Annotated[int, Field(ge=0, le=86400)] = 30
    """How long a pod may take to end its last requests."""
    pod_labels: PodLabels = {}
    pod_annotations: Annotations = {}
    volumes: Annotated[
        tuple[ServingVolume, ...],
        Field(max_length=16),
        BY_NAME,
        Rule(
            "self.all(v, self.exists_one(w, w.mountPath == v.mountPath))",
            "every volume must have a mountPath of its own",
        ),
    ] = ()
    """Further directories, such as /dev/shm and caches."""
    pod_security_context: PodSecurityContext | None = None
    """Replaces, field by field, the pod's default of Pod Security `restricted`."""
    security_context: SecurityContext | None = None
    """Replaces, field by field, the container's default of Pod Security `restricted`."""
    env: Env = ()
    """Variables for every version; one of the version with the same name wins."""
    resources: Resources | None = None
    """Requests and limits of versions that name none."""
    probes: Probes = Field(default_factory=Probes)

    @field_validator("ports")
    @classmethod
    def _never_without_a_port(cls, ports: tuple[Port, ...]) -> tuple[Port, ...]:
        """Server-side apply leaves an empty list where the last owner took its port away."""
        return ports or DEFAULT_PORTS
