"""The specification of PEFT adapters: what is checked, in which order, and in which words (Fine Tuning Studio's)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, ValidationError

from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.api.peft import GIVEN, PeftAdapter, blank_text, required_text
from topgraft.api.wire import Wire

DEFAULT_DATASET_FRACTION = "1.0"
DEFAULT_TRAIN_TEST_SPLIT = "0.9"
ERRORS = ("AdapterMatchesNothing", "AdapterUnreadable", "FetchFailed")
"""What the program that reads the files may say of an adapter."""

_ID_SPACE = uuid.UUID("6f0e1c0e-6a54-5d2b-9d4f-0c5a5f6d2a11")


class FileError(Wire):
    """Why an adapter's files cannot be used."""

    reason: Annotated[str, Field(max_length=64)]
    message: Annotated[str, Field(max_length=1024)]


class Found(Wire):
    """What `topgraft inspect-peft` says of one adapter."""

    directory: bool | None = None
    peft_type: Annotated[str | None, Field(max_length=64, alias="peft_type")] = None
    base_model: Annotated[str | None, Field(max_length=256, alias="base_model")] = None
    rank: Annotated[int | None, Field(ge=0, lt=2**53)] = None
    target_modules: Annotated[
        tuple[Annotated[str, Field(max_length=128)], ...], Field(max_length=16, alias="target_modules")
    ] = ()
    modules: Annotated[int | None, Field(ge=0, lt=2**53)] = None
    matched: Annotated[int | None, Field(ge=0, lt=2**53)] = None
    error: FileError | None = None


@dataclass(frozen=True)
class Neighbours:
    """What the rules need to know of the namespace: Models by name, and who had an adapter's name first.

    `models` has the base models only as far as they exist; `holders` maps a name to the Model that has it.
    """

    models: Mapping[str, Model] = field(default_factory=dict)
    holders: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """The first rule that an adapter breaks. `own`: a fault of its own; else another object's, which may be mended."""

    reason: str
    text: str
    index: int
    own: bool

    @property
    def message(self) -> str:
        """The text, with the place in front."""
        return f"spec.artifact.adapters[{self.index}]: {self.text}"


def model_id(adapter: PeftAdapter) -> str:
    return (adapter.base_model_ref.name if adapter.base_model_ref else None) or ""


def plain_name(adapter: PeftAdapter) -> str:
    """The name as names are compared: without spaces around it."""
    return (adapter.name or "").strip()


def _values(adapter: PeftAdapter) -> dict[str, str]:
    return {
        "name": adapter.name or "",
        "model_id": model_id(adapter),
        "location": adapter.location or "",
        "huggingface_name": adapter.huggingface_name or "",
        "cml_registered_model_id": adapter.cml_registered_model_id or "",
    }


def incomplete(adapter: PeftAdapter) -> str:
    """The first rule about the fields alone that is broken, in the order of the specification; "" for none."""
    values = _values(adapter)
    needed = [given for given in GIVEN if adapter.type in given.needed_by]
    for given in needed:
        if not values[given.field]:
            return required_text(given.field)
    for given in GIVEN:
        value = values[given.field]
        if (given.checked or given in needed) and value and not value.strip():
            return blank_text(given.field)
    return ""


def validate(
    adapter: PeftAdapter,
    *,
    directory: bool | None,
    base: Model | None,
    taken: bool,
) -> tuple[str, str] | None:
    """(reason, text) of the first rule that is broken, or None.

    `directory`: whether the location is one; None where there is no location or where nobody looked. `base`: the Model
    that `baseModelRef` names, if there is one. `taken`: another Model had an adapter of this name first.
    """
    if text := incomplete(adapter):
        return "AdapterIncomplete", text
    if adapter.location and directory is False:
        return "LocationNotDirectory", f"Location '{adapter.location}' must be a valid directory."
    if base is None:
        return "BaseModelNotFound", f"Model with ID '{model_id(adapter)}' does not exist."
    if taken:
        return "AdapterNameTaken", f"An adapter with the name '{adapter.name}' already exists."
    job, prompt = adapter.fine_tuning_job_ref, adapter.prompt_ref
    if job is not None and job.id and job.id.strip() not in {one.id for one in base.spec.fine_tuning_jobs}:
        return "FineTuningJobNotFound", f"Fine Tuning Job with ID '{job.id}' does not exist."
    if prompt is not None and prompt.id and prompt.id.strip() not in {one.id for one in base.spec.prompts}:
        return "PromptNotFound", f"Prompt with ID '{prompt.id}' does not exist."
    return None


OWN_FAULTS = ("AdapterIncomplete", "LocationNotDirectory", *ERRORS)


def judge(version: ModelVersion, neighbours: Neighbours, found: tuple[Found, ...] | None) -> Finding | None:
    """The first rule that one of the version's adapters breaks; None where all hold, as far as `found` is known.

    What the files say stands after all that the specification asks for, but for the directory, which has its place.
    """
    for index, adapter in enumerate(version.spec.artifact.adapters):
        one = found[index] if found is not None and index < len(found) else None
        broken = validate(
            adapter,
            directory=one.directory if one else None,
            base=neighbours.models.get(model_id(adapter).strip()),
            taken=neighbours.holders.get(plain_name(adapter), version.spec.model_ref.name)
            != version.spec.model_ref.name,
        )
        if broken is None and one is not None and one.error is not None:
            broken = one.error.reason, one.error.message
        if broken is not None:
            return Finding(*broken, index, broken[0] in OWN_FAULTS)
    return None


def read_answer(answer: Mapping[str, Any], count: int) -> tuple[Found, ...] | None:
    """What `topgraft inspect-peft` answered of `count` adapters; None where it is no such answer."""
    rows = answer.get("adapters")
    if not isinstance(rows, list) or len(rows) != count:
        return None
    try:
        found = tuple(Found.model_validate(row) for row in rows)
    except ValidationError:
        return None
    return found if all(one.error is None or one.error.reason in ERRORS for one in found) else None


def asked(version: ModelVersion) -> str:
    """What `topgraft inspect-peft` is asked, as JSON."""
    rows = [
        {"type": a.type, "name": a.name, "location": a.location, "huggingface_name": a.huggingface_name}
        for a in version.spec.artifact.adapters
    ]
    return json.dumps([{k: v for k, v in row.items() if v} for row in rows], separators=(",", ":"))


def adapter_id(namespace: str, model: str, adapter: PeftAdapter) -> str:
    """A UUID that every cluster and every version of the Model gives to the adapter of this name."""
    return str(uuid.uuid5(_ID_SPACE, f"{namespace}/{model}/{plain_name(adapter)}"))


def metadata(namespace: str, model: str, adapter: PeftAdapter) -> dict[str, str]:
    """AdapterMetadata: its twelve fields, "" for what is not given."""
    run = adapter.mlflow
    return {
        "id": adapter_id(namespace, model, adapter),
        "type": adapter.type,
        "name": adapter.name or "",
        "description": adapter.description or "",
        "huggingface_name": adapter.huggingface_name or "",
        "model_id": model_id(adapter),
        "location": adapter.location or "",
        "fine_tuning_job_id": adapter.fine_tuning_job_ref.id if adapter.fine_tuning_job_ref else "",
        "prompt_id": adapter.prompt_ref.id if adapter.prompt_ref else "",
        "cml_registered_model_id": adapter.cml_registered_model_id or "",
        "mlflow_experiment_id": (run.experiment_id if run else None) or "",
        "mlflow_run_id": (run.run_id if run else None) or "",
    }


@dataclass(frozen=True)
class Split:
    """How an adapter's dataset was used; `source`: Job or Default."""

    dataset_fraction: str
    train_test_split: str
    source: str


def dataset_split(adapter: PeftAdapter, base: Model | None) -> Split:
    """That of the base Model's first fine-tuning job whose adapter has this name (no id counts), or 1.0 and 0.9."""
    jobs = base.spec.fine_tuning_jobs if base is not None else ()
    job = next((one for one in jobs if one.adapter_name is not None and one.adapter_name == adapter.name), None)
    if job is None:
        return Split(DEFAULT_DATASET_FRACTION, DEFAULT_TRAIN_TEST_SPLIT, "Default")
    return Split(
        job.dataset_fraction or DEFAULT_DATASET_FRACTION, job.train_test_split or DEFAULT_TRAIN_TEST_SPLIT, "Job"
    )


def needs_files(version: ModelVersion) -> bool:
    """Whether any adapter has files to be looked at before the version may serve."""
    return any(adapter.location or adapter.type == "huggingface" for adapter in version.spec.artifact.adapters)


def names_of(versions: Iterable[ModelVersion]) -> Iterator[str]:
    """The adapters' names of these versions."""
    return (plain_name(a) for version in versions for a in version.spec.artifact.adapters if plain_name(a))


def bases_of(versions: Iterable[ModelVersion]) -> Iterator[str]:
    """The names of the base Models of these versions' adapters."""
    return (name for version in versions for a in version.spec.artifact.adapters if (name := model_id(a).strip()))
