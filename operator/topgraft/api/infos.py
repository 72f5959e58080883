"""The infos of a version: what it puts out, what it takes in, what it was trained and imported from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from topgraft.api.scalars import DnsLabel, Line, ShortKeys, Word
from topgraft.api.training import TrainingJob
from topgraft.api.verification import Number
from topgraft.api.wire import ATOMIC, ListOf, Rule, Wire, rules

Params = Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=64), ShortKeys]
"""Parameters by name, every value as text: the API server can compare and bound them, which free JSON it cannot."""
FieldsMap = Annotated[dict[str, Word], Field(max_length=64), ShortKeys]
BY_ID = ListOf("map", ("id",))


class Concept(Wire):
    """A label that the version was trained to give."""

    id: Word
    """Its identifier, unique in the version."""
    name: Annotated[str | None, Field(max_length=256)] = None
    """What people call it."""
    language: Annotated[str | None, Field(max_length=35)] = None
    """The language of the name, such as en."""


class OutputData(Wire):
    """What belongs to the weights."""

    concepts: Annotated[tuple[Concept, ...], Field(max_length=1024), BY_ID] = ()
    """The concepts that the version was trained for. Immutable."""


class OutputConfig(Wire):
    """How the version answers."""

    concepts_mutually_exclusive: bool | None = None
    """Whether only one concept can be right."""
    language: Annotated[str | None, Field(max_length=35)] = None
    """The language of the answers, such as en."""
    max_concepts: Annotated[int | None, Field(ge=0, le=100000)] = None
    """How many concepts are answered at most; 0 stands for 20."""
    min_value: Number | None = None
    """The least value of a concept that is answered, such as "0.5"."""
    select_concepts: Annotated[tuple[Word, ...], Field(max_length=1024), ATOMIC] = ()
    """The ids of the only concepts that are answered; none: all."""
    sample_ms: Annotated[int | None, Field(ge=1, le=2147483647)] = None
    """The distance of the frames of a video that are looked at, in milliseconds."""
    hyper_params: Params = {}
    """Any further settings, every value as text."""


class ParamSpec(Wire):
    """What one of the params must look like."""

    name: Word
    type: Literal["String", "Integer", "Number", "Boolean", "Json"] | None = None
    """What the text stands for, and what the adapter gets; String without it."""
    required: bool | None = None
    """Whether the param must be given."""
    choices: Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(max_length=32), ATOMIC] = ()
    """The only values that are allowed; none: any."""
    description: Line | None = None


_NUMBER = r"'^-?[0-9]{1,32}(\\.[0-9]{1,32})?([eE][+-]?[0-9]{1,3})?$'"
_GIVEN = "!has(self.paramsSpecs) || self.paramsSpecs.all(s, !has(self.params) || !(s.name in self.params) || "


class OutputInfo(Wire):
    """What the version puts out. All but data.concepts can be changed, and reaches running pods without a restart."""

    model_config = rules(
        Rule(
            "!has(self.paramsSpecs) || self.paramsSpecs.all(s, !has(s.required) || !s.required || "
            "(has(self.params) && s.name in self.params))",
            "spec.outputInfo.params must have every param that paramsSpecs says is required",
        ),
        Rule(
            _GIVEN + "!has(s.choices) || s.choices.size() == 0 || self.params[s.name] in s.choices)",
            "spec.outputInfo.params must have one of the choices that paramsSpecs names for a param",
        ),
        Rule(
            _GIVEN + "!has(s.type) || !(s.type in ['Integer', 'Number', 'Boolean']) || "
            "(s.type == 'Integer' && self.params[s.name].matches('^-?[0-9]{1,18}$')) || "
            f"(s.type == 'Number' && self.params[s.name].matches({_NUMBER}))"
            " || (s.type == 'Boolean' && self.params[s.name] in ['true', 'false']))",
            "spec.outputInfo.params must have values of the type that paramsSpecs gives them: an Integer such as 5, "
            "a Number such as 0.5, a Boolean true or false",
        ),
    )

    data: OutputData | None = None
    output_config: OutputConfig | None = None
    fields_map: FieldsMap = {}
    """Names of the outputs, by the names that callers use."""
    params: Params = {}
    """Settings that the adapter reads while it runs, every value as text."""
    params_specs: Annotated[tuple[ParamSpec, ...], Field(max_length=64), ListOf("map", ("name",))] = ()
    """What the params must look like."""


class VersionOfModel(Wire):
    """A ModelVersion of a Model, here or elsewhere: a record, nothing follows from it."""

    model: DnsLabel
    version: DnsLabel | None = None


class InputInfo(Wire):
    """What the version takes in."""

    fields_map: FieldsMap = {}
    """Names of the inputs, by the names that callers use."""
    params: Params = {}
    """Settings that the adapter reads, every value as text."""
    base_embed_model: VersionOfModel | None = None
    """The model that turns the inputs into what this one takes."""


class Dataset(Wire):
    """The data of a training."""

    name: Word
    version: Word | None = None
    """The data set's version; the training Job gets it as DATASET_VERSION."""


class TrainInfo(Wire):
    """What the version is trained from."""

    params: Params = {}
    """Parameters of the training, every value as text."""
    dataset: Dataset | None = None
    resume_from_model: VersionOfModel | None = None
    """The version whose weights the training begins with."""
    job: TrainingJob | None = None
    """The Job that trains the version; without one the artifacts are there already."""


class ImportInfo(Wire):
    """What the version was imported from. Deprecated: describe new versions in metadata."""

    params: Params = {}
    """Parameters of the import, every value as text."""
