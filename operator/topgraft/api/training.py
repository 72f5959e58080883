"""The Job that trains a version."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from topgraft.api.adapter import Arguments, PullPolicy
from topgraft.api.artifact import ClaimSource, ConfigMapSource, MountPath, SecretSource, VolumeName
from topgraft.api.pod import Env, Resources, Tolerations
from topgraft.api.scalars import Image, NodeSelector, ObjectName, PodLabels
from topgraft.api.wire import BY_NAME, Rule, Wire, rules


class TrainingVolume(Wire):
    """A directory of the training Job, with exactly one source. A claim is writable: it is where the weights go."""

    model_config = rules(
        Rule(
            "[has(self.persistentVolumeClaim), has(self.configMap), has(self.secret)].filter(x, x).size() == 1",
            "must have exactly one source of persistentVolumeClaim, configMap, secret",
        )
    )

    name: VolumeName
    mount_path: MountPath
    persistent_volume_claim: ClaimSource | None = None
    config_map: ConfigMapSource | None = None
    secret: SecretSource | None = None
    read_only: bool | None = None
    """Whether a claim can only be read, such as one with the training data."""


class TrainingJob(Wire):
    """What is run, once, to make the artifacts. The version is served when it has ended well."""

    image: Image
    command: Arguments = ()
    """Replaces the image's entry point."""
    args: Arguments = ()
    env: Env = ()
    """Variables, after those that Topgraft gives."""
    resources: Resources | None = None
    volumes: Annotated[
        tuple[TrainingVolume, ...],
        Field(max_length=8),
        BY_NAME,
        Rule(
            "self.all(v, self.exists_one(w, w.mountPath == v.mountPath))",
            "every volume must have a mountPath of its own",
        ),
    ] = ()
    suspend: bool | None = None
    """Whether the Job is made suspended: the training starts when somebody sets the Job's own spec.suspend to false."""
    backoff_limit: Annotated[int | None, Field(ge=0, le=100)] = None
    """How often a failed pod is replaced; by default never, for each try costs as much as the first."""
    active_deadline_seconds: Annotated[int | None, Field(ge=1, le=31536000)] = None
    """After this time the training is ended."""
    service_account_name: ObjectName | None = None
    node_selector: NodeSelector = {}
    tolerations: Tolerations = ()
    labels: PodLabels = {}
    """Labels of the Job and its pods, such as that of a queue."""
    pull_policy: PullPolicy | None = None
