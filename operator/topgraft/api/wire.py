"""What all API models share: names on the wire, and the marks that only the generated CRD knows."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

VALIDATIONS = "x-kubernetes-validations"


class Wire(BaseModel):
    """A frozen object: snake_case attributes, camelCase on the wire, unknown fields ignored when read."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
        extra="ignore",
        frozen=True,
    )

    def wire(self) -> dict[str, Any]:
        """The JSON object again, with the fields that were given and no others (defaults stay out)."""
        return self.model_dump(mode="json", exclude_unset=True)


@dataclasses.dataclass(frozen=True)
class Rule:
    """A CEL rule that the API server checks: `Annotated[T, Rule(...)]`, or on a whole object by `rules(...)`.

    The message stands behind the field's path in the API server's answer, so it says what is wanted. A rule over
    several fields may point at one of them by `field`, such as `.modelRef`. Where the text depends on the value,
    `expression` is CEL that makes it; `message` is the same in general, for the reference.
    """

    rule: str
    message: str
    field: str = ""
    expression: str = ""

    def schema(self) -> dict[str, Any]:
        """The rule as it stands in a CRD."""
        place = {"fieldPath": self.field} if self.field else {}
        text = {"messageExpression": self.expression} if self.expression else {}
        return {"rule": self.rule, "message": self.message, **text, **place}

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        return {**schema, VALIDATIONS: [*schema.get(VALIDATIONS, []), self.schema()]}


@dataclasses.dataclass(frozen=True)
class ListOf:
    """How server-side apply merges a list: `map` by the values of `keys`, `set` by the values, `atomic` as a whole."""

    kind: Literal["atomic", "set", "map"]
    keys: tuple[str, ...] = ()

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = {**handler(core), "x-kubernetes-list-type": self.kind}
        if self.keys:
            schema["x-kubernetes-list-map-keys"] = list(self.keys)
        return schema


ATOMIC = ListOf("atomic")
SET = ListOf("set")
BY_NAME = ListOf("map", ("name",))


@dataclasses.dataclass(frozen=True)
class AtomicMap:
    """A map or object that server-side apply replaces as a whole."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core), "x-kubernetes-map-type": "atomic"}


def rules(*checks: Rule) -> ConfigDict:
    """The `model_config` of an object with rules over several of its fields."""
    return ConfigDict(json_schema_extra={VALIDATIONS: [check.schema() for check in checks]})


def immutable(kind: str, name: str, code: str = "") -> Rule:
    """The rule of a spec that its field `name` stays as it was created; unset or set later is a change, too.

    `code`: the status code and name that the refusal carries.

    It stands on the spec: the API server skips a field's own transition rule when the old or the new value is absent.
    """
    rule = f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})"
    article = "an" if kind[0] in "AEIOU" else "a"
    coded = f" ({code})" if code else ""
    return Rule(rule, f"spec.{name} is immutable on {article} {kind}{coded}: create a new {kind} instead", f".{name}")
