"""ModelVersion: artifacts and adapter, immutable; the record that a rollback goes back to."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from topgraft.api.adapter import Adapter
from topgraft.api.artifact import Artifact
from topgraft.api.head import HeadConversion, HeadConversionStatus
from topgraft.api.infos import ImportInfo, InputInfo, OutputInfo, TrainInfo
from topgraft.api.meta import Conditions, KubernetesObject, ObservedGeneration
from topgraft.api.mlflow import MlflowVersionStatus
from topgraft.api.model import HashText, Message, Reason, Visibility
from topgraft.api.objective import SubmissionRecords, Submissions
from topgraft.api.peft import MAX_ADAPTERS, PeftAdapterStatus
from topgraft.api.scalars import Count, DnsLabel, Line, NotesText, Sha256, StringMap, Word
from topgraft.api.source import Source
from topgraft.api.wire import ATOMIC, Rule, Wire, immutable, rules

Channel = Literal["Production", "PreRelease", "Experimental"]

IMMUTABLE = (
    *("modelRef", "parentVersion", "revision", "source", "artifact", "adapter", "lineage", "channel", "testTag"),
    *("inputInfo", "trainInfo", "importInfo", "headConversion"),
)
INVALID_ARGUMENT = "21202 MODEL_INVALID_ARGUMENT"
CONCEPTS = "outputInfo.data.concepts"
_given = "has({0}.outputInfo) && has({0}.outputInfo.data) && has({0}.outputInfo.data.concepts)"
_none = "(!(" + _given + ") || {0}.outputInfo.data.concepts.size() == 0)"
_SAME_CONCEPTS = Rule(
    # Without optionals, of which the API server cannot estimate the cost. No concepts and an empty list are the same.
    f"{_given.format('self')} && {_given.format('oldSelf')} "
    "? self.outputInfo.data.concepts == oldSelf.outputInfo.data.concepts "
    f": {_none.format('self')} && {_none.format('oldSelf')}",
    f"spec.{CONCEPTS} is immutable on a ModelVersion ({INVALID_ARGUMENT}): create a new ModelVersion instead",
    f".{CONCEPTS}",
)
TestTag = Annotated[str, Field(min_length=1, max_length=63, pattern="^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")]
"""A tag of git and of images that is the value of a label, too."""


class ModelReference(Wire):
    """A Model of the same namespace."""

    name: DnsLabel


class Lineage(Wire):
    """What the artifacts were made from."""

    training_data_hash: Sha256 | None = None
    """Hash of the training data: sha256:<64 hex digits>."""
    feature_parameters: StringMap | None = None
    """Parameters of the feature engineering; {} says that there are none."""
    hyperparameters: StringMap | None = None
    """Hyperparameters of the training; {} says that there are none."""


class ModelVersionSpec(Wire):
    """Artifacts and adapter. Later only visibility, metadata, license, description, notes, objectives and outputInfo
    can change, and of outputInfo not the concepts."""

    model_config = rules(
        *(immutable("ModelVersion", name, INVALID_ARGUMENT) for name in IMMUTABLE),
        _SAME_CONCEPTS,
        Rule(
            "!has(self.headConversion) || self.adapter.contract != 'None'",
            "spec.headConversion needs spec.adapter.contract: Topgraft: other images do not say what becomes of a head",
            ".headConversion",
        ),
    )

    model_ref: ModelReference
    """The Model that this is a version of. Immutable."""
    parent_version: DnsLabel | None = None
    """The version that this one was derived from. Immutable."""
    revision: Annotated[int | None, Field(ge=0, le=2147483647)] = None
    """Order of user-made versions: the highest is the base. Without it the creation time counts. Immutable."""
    source: Source | None = None
    """Where the version comes from; by default a CodeRepository. Immutable."""
    artifact: Artifact
    """The artifacts. Immutable."""
    adapter: Adapter
    """The serving code. Immutable."""
    lineage: Lineage | None = None
    """What the artifacts were made from. Immutable."""
    channel: Channel = "Production"
    """Production: may become the base by itself. PreRelease: serves when a pin or an upgrade names it. Experimental:
    gets no production traffic, and runs in a sandbox only. Immutable."""
    test_tag: TestTag | None = None
    """The tag of the tests that belong to this version, such as v2.3.1_testenv. Immutable."""
    head_conversion: HeadConversion | None = None
    """How a static prediction head of a transformer model is treated, and that this is checked before any pod of the
    adapter serves. Immutable."""
    visibility: Visibility | None = None
    """Who may see the version. Informational."""
    metadata: StringMap = {}
    """Any further facts. Informational."""
    license: Word | None = None
    """The licence of the weights, such as Apache-2.0. Informational."""
    description: Line | None = None
    """One line about the version. Informational."""
    notes: NotesText | None = None
    """Longer text, at most 65536 bytes. Informational."""
    output_info: OutputInfo | None = None
    """What the version puts out."""
    input_info: InputInfo | None = None
    """What the version takes in. Immutable."""
    train_info: TrainInfo | None = None
    """What the version is trained from. Immutable."""
    import_info: ImportInfo | None = None
    """Deprecated: what the version was imported from. Immutable."""
    objectives: Submissions = ()
    """The objectives of its Model that the version is submitted to; upgrades submit nothing by themselves."""


PackageText = Annotated[str, Field(max_length=256), AfterValidator(sys.intern)]
"""`name==version`. Kept once in memory: the versions of a model have most of their packages in common."""


class ArtifactStatus(Wire):
    """The artifacts as they were read."""

    digest: Sha256
    """Tree digest over path, size and sha256 of every file."""
    files: Count | None = None
    bytes: Count | None = None
    stat_digest: Sha256 | None = None
    """Digest over path, size, times and place of every file, for artifact.verify: Quick."""
    verified_time: datetime | None = None


class AdapterStatus(Wire):
    """The adapter as its image answered."""

    image_digest: Annotated[str | None, Field(max_length=128)] = None
    """Digest that the tag stood for when the version was checked."""
    module: Annotated[str | None, Field(max_length=255)] = None
    class_name: Annotated[str | None, Field(max_length=255)] = None
    sdk_version: Annotated[str | None, Field(max_length=64)] = None
    requirements_digest: Annotated[str | None, Field(max_length=128)] = None
    commit: Annotated[str | None, Field(max_length=64)] = None
    """The commit that the image says it was built from."""


class Column(Wire):
    """A column of a tabular input or output."""

    name: Annotated[str, Field(max_length=253)]
    required: bool | None = None
    data_type: Annotated[str | None, Field(max_length=64)] = None


class ApiItem(Wire):
    """An input or output of the adapter."""

    name: Annotated[str, Field(max_length=253)]
    type: Literal["parameter", "tabular", "array", "object", "fileSystem"]
    required: bool | None = None
    data_type: Annotated[str | None, Field(max_length=64)] = None
    columns: Annotated[tuple[Column, ...], Field(max_length=128), ATOMIC] = ()
    shape: Annotated[tuple[Annotated[int, Field(ge=-1, le=2**53 - 1)], ...], Field(max_length=16), ATOMIC] = ()
    """Size of each dimension, -1 for any."""


class Api(Wire):
    """What the adapter takes and answers; absent when too long to report."""

    inputs: Annotated[tuple[ApiItem, ...], Field(max_length=64), ATOMIC] = ()
    outputs: Annotated[tuple[ApiItem, ...], Field(max_length=64), ATOMIC] = ()


class Failure(Wire):
    """Why an attempt with this version failed. The same attempt is not tried again by itself."""

    attempt_hash: HashText
    reason: Reason
    message: Message | None = None
    time: datetime


class TrainingStatus(Wire):
    """The training that was started last."""

    job: Annotated[str, Field(max_length=63)]
    uid: Annotated[str, Field(max_length=64)]
    retry_at: Annotated[str | None, Field(max_length=1024)] = None
    """The value of the annotation topgraft.dev/retry-at that it was started for."""


class ModelVersionStatus(Wire):
    """What Topgraft observed of this version."""

    observed_generation: ObservedGeneration = -1
    """The metadata.generation that this status describes; -1 before the first look."""
    code: Annotated[int | None, Field(ge=21100, le=21119)] = None
    """How far its training is: 21100 trained, 21101 training, 21102 untrained, 21103 queued, 21106 and 21113 failed."""
    name: Annotated[str | None, Field(max_length=64)] = None
    """The name of the code, such as MODEL_TRAINED."""
    description: Annotated[str | None, Field(max_length=1024)] = None
    """What the code means here."""
    training: TrainingStatus | None = None
    conditions: Conditions = ()
    """Ready is the summary."""
    artifact: ArtifactStatus | None = None
    adapter: AdapterStatus | None = None
    api: Api | None = None
    api_digest: Annotated[str | None, Field(max_length=128)] = None
    """Digest of the api, also when that is too long to report."""
    requirements: Annotated[tuple[PackageText, ...], Field(max_length=512), ATOMIC] = ()
    """The Python packages of the image as name==version; at most 512 of them."""
    adapters: Annotated[tuple[PeftAdapterStatus, ...], Field(max_length=MAX_ADAPTERS), ATOMIC] = ()
    """The PEFT adapters of spec.artifact.adapters, in their order."""
    head_conversion: HeadConversionStatus | None = None
    """What became of the prediction head."""
    mlflow: MlflowVersionStatus | None = None
    failure: Failure | None = None
    submissions: SubmissionRecords = ()
    """The submissions to objectives, and how their checks stand."""


class ModelVersion(KubernetesObject):
    """Artifacts and adapter, immutable: the record that a rollback goes back to."""

    model_config = rules(
        Rule(
            "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
            "metadata.name of a ModelVersion must be a DNS label of at most 63 characters: "
            "lower-case letters, digits and '-' (its Deployment has this name)",
            ".metadata.name",
        )
    )

    kind: Literal["ModelVersion"] = "ModelVersion"
    spec: ModelVersionSpec
    status: ModelVersionStatus = ModelVersionStatus()
