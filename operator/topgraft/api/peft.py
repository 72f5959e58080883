"""PEFT adapters (LoRA and its kin): small weights on a base model, and what made them."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from topgraft.api.scalars import Count, Line
from topgraft.api.wire import ATOMIC, ListOf, Rule, Wire, rules

PeftType = Literal["project", "huggingface", "model_registry"]
MAX_ADAPTERS = 32


class Given(NamedTuple):
    """A field of an adapter: its name in the texts of the specification, its value in CEL, the types that need it.

    `checked`: its value is looked at wherever it is given, also where it need not be.
    """

    field: str
    value: str
    needed_by: tuple[PeftType, ...]
    checked: bool = True


ANY: tuple[PeftType, ...] = ("project", "huggingface", "model_registry")
GIVEN = (
    Given("name", "has(self.name) ? self.name : ''", ANY),
    Given("model_id", "has(self.baseModelRef) && has(self.baseModelRef.name) ? self.baseModelRef.name : ''", ANY),
    Given("location", "has(self.location) ? self.location : ''", ("project",)),
    Given("huggingface_name", "has(self.huggingfaceName) ? self.huggingfaceName : ''", ("huggingface",), False),
    Given(
        "cml_registered_model_id",
        "has(self.cmlRegisteredModelId) ? self.cmlRegisteredModelId : ''",
        ("model_registry",),
        False,
    ),
)


def required_text(field: str) -> str:
    """What the specification says of a field that is absent or empty."""
    return f"Field '{field}' is required in AddAdapterRequest."


def blank_text(field: str) -> str:
    """What it says of a field of spaces alone."""
    return f"Field '{field}' cannot be an empty string or only spaces."


def _cases() -> list[tuple[str, str]]:
    """(condition in CEL, text): all fields that are absent come before any that is blank, as the specification asks."""
    absent, blank = [], []
    for given in GIVEN:
        needed = " || ".join(f"self.type == '{kind}'" for kind in given.needed_by)
        applies = "" if given.needed_by == ANY else f"({needed}) && "
        absent.append((f"{applies}({given.value}) == ''", required_text(given.field)))
        looked_at = "" if given.checked else applies
        blank.append((f"{looked_at}({given.value}) != '' && ({given.value}).trim() == ''", blank_text(given.field)))
    return absent + blank


def _first_text(cases: list[tuple[str, str]]) -> str:
    chain = "".join(f'({condition}) ? "{text}" : ' for condition, text in cases)
    return f'{chain}""'


CASES = _cases()
COMPLETE = Rule(
    " && ".join(f"!({condition})" for condition, _ in CASES),
    "must have a name, a baseModelRef.name and what its type needs: project a location, huggingface a "
    "huggingfaceName, model_registry a cmlRegisteredModelId; none of spaces alone",
    expression=_first_text(CASES),
)
"""One rule, so that the first failure of several is the one that is told."""
INSIDE = Rule(
    "!has(self.location) || !self.location.split('/').exists(s, s == '..')",
    "must have a location without a '..' segment",
    ".location",
)
ONE_EACH = Rule(
    "self.all(a, !has(a.name) || self.exists_one(b, has(b.name) && b.name.trim() == a.name.trim()))",
    "An adapter with the same name already exists: every adapter must have a name of its own",
)


class BaseModelReference(Wire):
    """The base model: a Model of the same namespace."""

    name: Annotated[str | None, Field(max_length=253)] = None
    """Its name; required, a condition tells while there is no such Model."""


class JobReference(Wire):
    """The fine-tuning job that made the adapter: one of the base Model's spec.fineTuningJobs."""

    id: Annotated[str, Field(max_length=128)]


class PromptReference(Wire):
    """The prompt that the adapter was trained with: one of the base Model's spec.prompts."""

    id: Annotated[str, Field(max_length=128)]


class MlflowRun(Wire):
    """Where MLflow tracked the training."""

    experiment_id: Annotated[str | None, Field(max_length=128)] = None
    run_id: Annotated[str | None, Field(max_length=128)] = None


class PeftAdapter(Wire):
    """A PEFT adapter among the artifacts."""

    model_config = rules(COMPLETE, INSIDE)

    type: PeftType
    """project: a directory (location). huggingface: of the Hub (huggingfaceName), mirrored among the artifacts.
    model_registry: a registered model (cmlRegisteredModelId)."""
    name: Annotated[str | None, Field(max_length=128)] = None
    """Its name; required. No other Model of the namespace has an adapter of this name."""
    description: Line | None = None
    """One line about the adapter. Informational."""
    base_model_ref: BaseModelReference | None = None
    """The model that it was trained on; required."""
    location: Annotated[str | None, Field(max_length=1024)] = None
    """Its directory: an absolute path below the mountPath of an artifact volume, or a path in the first volume."""
    huggingface_name: Annotated[str | None, Field(max_length=256)] = None
    """Its name on the Hub, such as org/name. Nothing is fetched: a volume must hold it, as <name> or as the Hub's
    client keeps it (models--org--name/snapshots)."""
    cml_registered_model_id: Annotated[str | None, Field(max_length=128)] = None
    """The registered model. Informational."""
    fine_tuning_job_ref: JobReference | None = None
    prompt_ref: PromptReference | None = None
    mlflow: MlflowRun | None = None
    """Informational."""


PeftAdapters = Annotated[tuple[PeftAdapter, ...], Field(max_length=MAX_ADAPTERS), ATOMIC, ONE_EACH]


def _fraction(text: str) -> Rule:
    number = r"self.matches(r'^[0-9]+(\.[0-9]+)?$')"
    return Rule(f"{number} && double(self) > 0.0 && double(self) <= 1.0", text)


Fraction = Annotated[str, Field(min_length=1, max_length=16)]


class FineTuningJob(Wire):
    """A fine-tuning job, as far as its adapters need to know it. Informational."""

    id: Annotated[str, Field(min_length=1, max_length=128)]
    adapter_name: Annotated[
        str | None,
        Field(max_length=128),
        Rule(
            "self.matches('^[a-zA-Z0-9-]+$')",
            "Adapter Name should only contain alphanumeric characters and hyphens, and no spaces.",
        ),
    ] = None
    """The name of the adapter that it made: an adapter finds its dataset split by this."""
    dataset_fraction: Annotated[Fraction | None, _fraction("Dataset fraction must be between 0 and 1.")] = None
    """The part of the dataset that was used, as a string such as "0.5"; without it "1.0"."""
    train_test_split: Annotated[Fraction | None, _fraction("Train-test split must be between 0 and 1.")] = None
    """The part of that which was trained on, the rest was for tests; without it "0.9"."""


class Prompt(Wire):
    """A prompt that adapters were trained with. Informational."""

    id: Annotated[str, Field(min_length=1, max_length=128)]
    template: Annotated[str | None, Field(max_length=4096)] = None
    """Its text, with placeholders for the columns of the dataset."""


BY_ID = ListOf("map", ("id",))
FineTuningJobs = Annotated[tuple[FineTuningJob, ...], Field(max_length=64), BY_ID]
Prompts = Annotated[tuple[Prompt, ...], Field(max_length=64), BY_ID]


class DatasetSplit(Wire):
    """How the adapter's dataset was used."""

    dataset_fraction: Annotated[str, Field(max_length=16)]
    train_test_split: Annotated[str, Field(max_length=16)]
    source: Literal["Job", "Default"]
    """Job: from the fine-tuning job of this adapter's name. Default: there is none."""


class PeftAdapterStatus(Wire):
    """A PEFT adapter as its files tell of it."""

    name: Annotated[str, Field(max_length=128)]
    id: Annotated[str, Field(max_length=36)]
    """A UUID made of namespace, Model and name: the same on every cluster."""
    peft_type: Annotated[str | None, Field(max_length=64)] = None
    """Such as LORA; absent until its directory was read."""
    base_model: Annotated[str | None, Field(max_length=256)] = None
    """The base model that adapter_config.json names."""
    rank: Count | None = None
    target_modules: Annotated[tuple[Annotated[str, Field(max_length=128)], ...], Field(max_length=16), ATOMIC] = ()
    modules: Count | None = None
    """Modules that its weights change."""
    modules_matched: Count | None = None
    """How many of these the base weights among the artifacts have, in a shape that fits; absent without any."""
    dataset_split: DatasetSplit | None = None
