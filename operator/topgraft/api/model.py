"""Model: the product that callers know, with one stable Service and one serving policy."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from topgraft.api.alias import Aliases, AliasMove
from topgraft.api.branch import BRANCH_NAMES_FIT, Branches, BranchStatuses, State
from topgraft.api.meta import Conditions, KubernetesObject, ObservedGeneration
from topgraft.api.mlflow import Mlflow, MlflowStatus
from topgraft.api.objective import ObjectiveRecords, Objectives
from topgraft.api.peft import FineTuningJobs, Prompts
from topgraft.api.pod import Words
from topgraft.api.policy import Rollback, Strategy
from topgraft.api.sandbox import Sandbox, SandboxStatus
from topgraft.api.scalars import MAX_MESSAGE, Count, Line, NotesText, ObjectName, StringMap, Word
from topgraft.api.serving import Serving
from topgraft.api.target import PublishPolicy
from topgraft.api.verification import Baseline, Checks, Verification
from topgraft.api.wire import ATOMIC, Rule, Wire, immutable, rules

TRAINED_LIMIT = 100
"""How many trained versions a Model remembers."""

Visibility = Literal["Private", "Org", "Public"]

VersionName = Annotated[str, Field(max_length=253)]
ImageText = Annotated[str, Field(max_length=1024)]
HashText = Annotated[str, Field(max_length=128)]
Message = Annotated[str, Field(max_length=MAX_MESSAGE)]
Reason = Annotated[str, Field(max_length=128)]


class ModelSpec(Wire):
    """What the Model is and how it is served."""

    model_config = rules(immutable("Model", "modelTypeId"))

    model_type_id: Annotated[str, Field(min_length=1, max_length=128)]
    """The type of the model, the same for all its versions. Immutable."""
    trainable: bool | None = None
    """Whether the model can be trained further. Informational."""
    task: Word | None = None
    """What the model does, such as text-classification. Informational."""
    description: Line | None = None
    """One line about the model. Informational."""
    notes: NotesText | None = None
    """Longer text, at most 65536 bytes. Informational."""
    metadata: StringMap = {}
    """Any further facts. Informational."""
    visibility: Visibility = "Private"
    """Who may see the model. Informational."""
    languages: Words = ()
    """Languages that the model knows. Informational."""
    toolkits: Words = ()
    """Toolkits that it was made with. Informational."""
    use_cases: Words = ()
    """What it is used for. Informational."""
    serving: Serving = Serving()
    publish_policy: PublishPolicy = "EveryCommit"
    """Which images an AdapterUpgrade may use: of every commit, or only those with a tag that names no commit."""
    strategy: Strategy = Strategy()
    verification: Verification = Field(default_factory=Verification)
    rollback: Rollback = Rollback()
    lineage_policy: Literal["Enforce", "Warn"] = "Warn"
    """What becomes of a version that lacks a key of spec.lineage. Enforce: it is not brought in. Warn: it is, and a
    condition says what it lacks."""
    branches: Branches = ()
    """Versions that run beside what serves, each behind the Service <model>-<branch>, without production traffic."""
    objectives: Objectives = ()
    """Goals that versions are submitted to, and the releases made of the submissions."""
    mlflow: Mlflow | None = None
    """Mirror this Model in MLflow: {} is enough. Nothing waits for it."""
    fine_tuning_jobs: FineTuningJobs = ()
    """Jobs that made PEFT adapters on this Model. Informational."""
    prompts: Prompts = ()
    """Prompts that PEFT adapters on this Model were trained with. Informational."""
    aliases: Aliases = {}
    """Names of versions, such as {test_baseline: digits-1}. A move is an event and stands in status.aliasHistory."""
    sandbox: Sandbox | None = None
    version_history_limit: Annotated[int, Field(ge=0, le=100)] = 10
    """How many unused versions made by Topgraft are kept."""


class GoverningUpgrade(Wire):
    """The AdapterUpgrade that decides which adapter runs; older ones are superseded, also after it is gone."""

    name: ObjectName
    uid: Annotated[str, Field(max_length=64)]
    creation_time: datetime
    generation: Count = 0


class BaseRank(Wire):
    """How new the base version was when it was chosen, so that its deletion makes no older one the newest."""

    order: Literal[0, 1]
    """1: by revision; 0: by creation time."""
    revision: Count = 0
    creation_time: Annotated[str, Field(max_length=64)] = ""


class Rollout(Wire):
    """The rollout in progress."""

    attempt_hash: HashText
    """What is tried: content, policy and retry token of the target."""
    from_: VersionName | None = Field(default=None, alias="from")
    """The version that served when it began; absent at the first one."""
    to: VersionName
    """The version that is brought in."""
    trigger: Annotated[str | None, Field(max_length=316)] = None
    """What asked for it."""
    start_time: datetime
    step: Annotated[str, Field(max_length=63)]
    """How far it is."""
    tries: Count = 0
    """How often it was begun again because the environment was not ready."""
    retry_time: datetime | None = None
    """When it is tried again."""
    canary_step: Count | None = None
    """Which of spec.strategy.canary.steps is held, from 0; absent outside of them."""
    weight: Annotated[int | None, Field(ge=0, le=100)] = None
    """Percent of the requests that go to the new version during a canary."""
    step_time: datetime | None = None
    """When that step began."""


class LastRollback(Wire):
    """The last return to a previous version."""

    reason: Reason
    message: Message | None = None
    from_: VersionName | None = Field(default=None, alias="from")
    """The version that was left."""
    to: VersionName
    """The version that serves again."""
    decided_time: datetime
    duration_milliseconds: Count | None = None
    """From the decision until the Service was written."""


class Defect(Wire):
    """A defect that was reported by the annotation topgraft.dev/defect."""

    id: Annotated[str, Field(max_length=128)]
    severity: Annotated[str, Field(max_length=8)]
    version: VersionName
    """The version that it was reported against."""
    time: datetime


class TrainedVersion(Wire):
    """A version whose training Job has ended well."""

    version: VersionName
    content: HashText
    """What was trained, and by which order."""


class HistoryEntry(Wire):
    """A rollout that has ended."""

    version: VersionName
    adapter_image: ImageText | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    outcome: Reason
    reason: Reason | None = None


class ModelStatus(Wire):
    """What Topgraft observed and does."""

    observed_generation: ObservedGeneration = -1
    """The metadata.generation that this status describes; -1 before the first look."""
    conditions: Conditions = ()
    """Ready is the summary."""
    state: State | None = None
    """State of the serving pods."""
    is_ready: bool | None = None
    """Whether requests are answered."""
    base_version: VersionName | None = None
    """The user-made version whose artifacts are served."""
    base_rank: BaseRank | None = None
    serving_version: VersionName | None = None
    """The version that the Service selects."""
    stable_version: VersionName | None = None
    """The last version that ended its bake."""
    previous_version: VersionName | None = None
    """The version that a rollback goes to."""
    candidate_version: VersionName | None = None
    """The version that is brought in."""
    governing_upgrade: GoverningUpgrade | None = None
    adapter_image: ImageText | None = None
    """The serving version's image, with its digest where known."""
    artifact_digest: Annotated[str | None, Field(max_length=128)] = None
    """The serving version's tree digest."""
    rollout: Rollout | None = None
    last_rollback: LastRollback | None = None
    checks: Checks = ()
    """The verdicts on the version that is brought in, or was last."""
    baseline: Baseline | None = None
    """What live traffic is compared with."""
    defects: Annotated[tuple[Defect, ...], Field(max_length=10), ATOMIC] = ()
    """The last defects that were reported, newest first."""
    branches: BranchStatuses = ()
    """The branches as they run."""
    objectives: ObjectiveRecords = ()
    """What is released of each objective, and was."""
    aliases: Annotated[dict[str, VersionName], Field(max_length=32)] = {}
    """The aliases as they were last seen."""
    alias_history: Annotated[tuple[AliasMove, ...], Field(max_length=20), ATOMIC] = ()
    """The last moves of aliases, newest first."""
    sandbox: SandboxStatus | None = None
    trained: Annotated[tuple[TrainedVersion, ...], Field(max_length=TRAINED_LIMIT), ATOMIC] = ()
    """The versions that were trained by their own Job, newest first, also when they are gone: a version that is created
    anew with the same spec is not trained again."""
    finished_time: datetime | None = None
    """When the last rollout ended."""
    replicas: Count | None = None
    """Number of pods that `selector` finds."""
    selector: Annotated[str | None, Field(max_length=4096)] = None
    """Label selector of the pods that have the Model's requests, for /scale; of both versions while they share them."""
    last_handled_retry_at: Annotated[str | None, Field(max_length=1024)] = None
    """The last value of the annotation topgraft.dev/retry-at that was acted on."""
    mlflow: MlflowStatus | None = None
    history: Annotated[tuple[HistoryEntry, ...], Field(max_length=10), ATOMIC] = ()
    """The last rollouts, newest first."""


class Model(KubernetesObject):
    """A model as its callers know it: one stable Service, one serving policy, any number of versions."""

    model_config = rules(
        Rule(
            "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,51}[a-z0-9])?$')",
            "metadata.name of a Model must be a DNS label of at most 53 characters that starts with a letter: "
            "lower-case letters, digits and '-' (the Service has this name, and every version's name begins with it)",
            ".metadata.name",
        ),
        BRANCH_NAMES_FIT,
    )

    kind: Literal["Model"] = "Model"
    spec: ModelSpec
    status: ModelStatus = ModelStatus()
