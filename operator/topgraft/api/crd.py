"""CustomResourceDefinitions from the pydantic models.

Pydantic writes JSON Schema 2020-12. A CRD wants OpenAPI v3.0 that is structural: a type at every node, no references,
no unions but int-or-string. What cannot be expressed is refused here, so that a wrong model fails a test, not a user.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.meta import GROUP, VERSION, KubernetesObject
from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.api.wire import VALIDATIONS

Schema = dict[str, Any]

FORBIDDEN = {"oneOf", "allOf", "prefixItems", "patternProperties", "propertyNames", "uniqueItems", "exclusiveMinimum"}


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; with `wide` only of `kubectl get -o wide`."""

    name: str
    path: str
    wide: bool = False
    type: str = "string"


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a CRD says of a kind beside its schema."""

    model: type[KubernetesObject]
    plural: str
    short_name: str
    columns: tuple[Column, ...]
    selectable: tuple[str, ...]
    scale: dict[str, str] | None = None

    @property
    def name(self) -> str:
        """The kind's name, such as ModelVersion."""
        return self.model.__name__


def _condition(kind: str, part: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{part}'


AGE = Column("Age", ".metadata.creationTimestamp", type="date")
KINDS = (
    Kind(
        Model,
        "models",
        "mdl",
        (
            Column("Ready", _condition("Ready")),
            Column("Serving version", ".status.servingVersion"),
            Column("Image", ".status.adapterImage"),
            Column("State", ".status.state"),
            Column("Reason", _condition("Ready", "reason")),
            Column("Pin", ".spec.serving.version", wide=True),
            AGE,
        ),
        (".spec.modelTypeId", ".spec.serving.version", ".status.servingVersion", ".status.state"),
        {
            "specReplicasPath": ".spec.serving.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    ),
    Kind(
        ModelVersion,
        "modelversions",
        "mdv",
        (
            Column("Model", ".spec.modelRef.name"),
            Column("Image", ".spec.adapter.image"),
            Column("Ready", _condition("Ready")),
            Column("Reason", _condition("Ready", "reason")),
            Column("Serving", _condition("Serving")),
            Column("Digest", ".status.artifact.digest", wide=True),
            AGE,
        ),
        (".spec.modelRef.name", ".spec.adapter.image", ".spec.channel", ".spec.parentVersion"),
    ),
    Kind(
        AdapterUpgrade,
        "adapterupgrades",
        "aup",
        (
            Column("Model", ".spec.modelRef.name"),
            Column("Image", ".spec.adapter.image"),
            Column("Tag", ".status.resolved.tag", wide=True),
            Column("Ready", _condition("Ready")),
            Column("Reason", _condition("Ready", "reason")),
            Column("Message", _condition("Ready", "message"), wide=True),
            AGE,
        ),
        (".spec.modelRef.name", ".spec.adapter.image", ".spec.reason", ".spec.fromVersion"),
    ),
)

KEEP = {
    "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    "helm.sh/resource-policy": "keep",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}
"""Deleting a CRD deletes every object of the kind, so no tool may do it in passing."""


def structural(schema: Schema, definitions: Schema, *, in_items: bool = False) -> Schema:
    """A JSON Schema node as a CRD accepts it. Raises TypeError on what a CRD cannot express."""
    schema = resolved(schema, definitions)
    schema.pop("title", None)
    _settle_default(schema, in_items=in_items)
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if schema.get("additionalProperties") is False:
        del schema["additionalProperties"]
    if forbidden := sorted(FORBIDDEN & schema.keys()):
        raise TypeError(f"a CRD has no {', '.join(forbidden)}: {schema}")
    if not schema.keys() & {"type", "x-kubernetes-int-or-string"} or schema.get("additionalProperties") is True:
        raise TypeError(f"a CRD needs a type at every node: {schema}")
    if "items" in schema:
        schema["items"] = structural(schema["items"], definitions, in_items=True)
    if "additionalProperties" in schema:
        schema["additionalProperties"] = structural(schema["additionalProperties"], definitions, in_items=True)
    if "properties" in schema:
        schema["properties"] = {
            name: structural(node, definitions, in_items=in_items) for name, node in schema["properties"].items()
        }
    return {key: schema[key] for key in ("description", "type") if key in schema} | schema


def resolved(schema: Schema, definitions: Schema) -> Schema:
    """The node with its reference followed and `T | None` made T: an absent field says it better than a null."""
    schema = dict(schema)
    if reference := schema.pop("$ref", None):
        return resolved({**definitions[reference.removeprefix("#/$defs/")], **schema}, definitions)
    variants = [v for v in schema.pop("anyOf", []) if v != {"type": "null"}]
    if len(variants) == 1:
        return resolved({**variants[0], **schema}, definitions)
    if variants:
        if sorted(v.get("type", "") for v in variants) != ["integer", "string"]:
            raise TypeError(f"a CRD cannot express this union: {variants}")
        schema |= {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    return schema


def _settle_default(schema: Schema, *, in_items: bool) -> None:
    """Keep defaults of plain leaves, and of an object those of its leaves; lists and maps get none."""
    default = schema.pop("default", None)
    if isinstance(default, dict):
        default = {name: leaf for name, leaf in default.items() if _is_leaf(leaf)}
    if default == {} or not (_is_leaf(default) or isinstance(default, dict)):
        return
    if in_items:
        raise TypeError(f"a default below a list or map drifts under GitOps tools: {schema}")
    schema["default"] = default


def _is_leaf(value: object) -> bool:
    return isinstance(value, str | int)


def object_schema(model: type[KubernetesObject]) -> Schema:
    """The whole schema of a kind."""
    raw = model.model_json_schema(mode="validation")
    definitions = raw.pop("$defs")
    properties: Schema = {
        "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
        "kind": {"type": "string", "description": model.__name__},
        "metadata": {"type": "object"},
        "spec": structural({**raw["properties"]["spec"], "default": None}, definitions),
        "status": structural({**raw["properties"]["status"], "default": None}, definitions),
    }
    # kstatus and Argo CD must see "not looked at yet" before the operator's first write.
    properties["status"]["default"] = {"observedGeneration": -1}
    del properties["status"]["properties"]["observedGeneration"]["default"]
    schema: Schema = {"type": "object", "description": raw["description"], "required": ["spec"]}
    if VALIDATIONS in raw:
        schema[VALIDATIONS] = raw[VALIDATIONS]
        properties["metadata"]["properties"] = {"name": {"type": "string"}}
    return {**schema, "properties": properties}


def custom_resource_definition(kind: Kind) -> dict[str, Any]:
    """The CRD of a kind, ready to be applied."""
    subresources: dict[str, Any] = {"status": {}}
    if kind.scale:
        subresources["scale"] = dict(kind.scale)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}", "annotations": dict(KEEP)},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": ["topgraft"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": object_schema(kind.model)},
                    "subresources": subresources,
                    "selectableFields": [{"jsonPath": path} for path in kind.selectable],
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                }
            ],
        },
    }


def _column(column: Column) -> dict[str, Any]:
    priority = {"priority": 1} if column.wide else {}
    return {"name": column.name, "type": column.type, "jsonPath": column.path, **priority}
