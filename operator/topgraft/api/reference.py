"""The reference of the API as a page, from the same models as the CRDs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from topgraft.api.crd import KINDS, resolved
from topgraft.api.meta import API_VERSION
from topgraft.api.wire import VALIDATIONS

Schema = dict[str, Any]

KUBERNETES_TYPES = (
    "Affinity",
    "Condition",
    "EnvVar",
    "LabelSelector",
    "NodeSelectorTerm",
    "PodAffinity",
    "PodAffinityTerm",
    "PodSecurityContext",
    "Resources",
    "SecurityContext",
    "Toleration",
    "TopologySpreadConstraint",
)
"""Types that several fields share and that every user of Kubernetes knows: they get tables of their own."""

HEAD = f"""# API reference: `{API_VERSION}`

Made from the models in `operator/topgraft/api` by `hack/crds.py`; `kubectl explain` shows the same.
**Bold** fields are required in the object that has them. All kinds are namespaced, refer to objects of their own
namespace only, and belong to the category `topgraft`.
"""


def reference() -> str:
    """The whole page in Markdown."""
    sections = [HEAD]
    definitions: Schema = {}
    for kind in KINDS:
        raw = kind.model.model_json_schema(mode="validation")
        definitions |= raw["$defs"]
        sections.append(f"## {kind.name}\n\n{raw['description']} Short name `{kind.short_name}`.\n")
        sections += [f"{_sentence(rule['message'])}\n" for rule in raw.get(VALIDATIONS, [])]
        for part in ("spec", "status"):
            node = resolved(raw["properties"][part], definitions)
            sections.append(_table(f"### {kind.name} {part}", node, definitions))
    sections.append("## Kubernetes types\n\nAs in a pod, with the fields that are of use here.\n")
    sections += [_table(f"### {name}", definitions[name], definitions) for name in KUBERNETES_TYPES]
    return "\n".join(sections)


def _table(title: str, node: Schema, definitions: Schema) -> str:
    rules = "".join(f"- {_sentence(rule['message'])}\n" for rule in node.get(VALIDATIONS, []))
    rows = "\n".join(f"| {' | '.join(row)} |" for row in _rows(node, definitions, ""))
    head = f"{title}\n\n{node['description']}\n"
    return f"{head}\n| field | type | default | meaning |\n|---|---|---|---|\n{rows}\n" + (
        f"\n{rules}" if rules else ""
    )


def _rows(node: Schema, definitions: Schema, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, raw in node.get("properties", {}).items():
        field = resolved(raw, definitions)
        path = f"{prefix}{name}"
        inner = resolved(field["items"], definitions) if "items" in field else field
        shown = f"**`{path}`**" if name in node.get("required", ()) else f"`{path}`"
        default = field.get("default")
        yield shown, _type(field, definitions), _default(default), _meaning(field, inner)
        if inner.get("title") not in KUBERNETES_TYPES:
            yield from _rows(inner, definitions, f"{path}[]." if "items" in field else f"{path}.")


def _type(field: Schema, definitions: Schema) -> str:
    if "items" in field:
        return f"list of ≤ {field['maxItems']}: {_type(resolved(field['items'], definitions), definitions)}"
    if field.get("title") in KUBERNETES_TYPES:
        return f"[{field['title']}](#{field['title'].lower()})"
    if "additionalProperties" in field:
        values = _type(resolved(field["additionalProperties"], definitions), definitions)
        return f"map of ≤ {field['maxProperties']}: {values}"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if field.get("x-kubernetes-int-or-string"):
        return "quantity"
    if field.get("format") == "date-time":
        return "time"
    return f"{field['type']}{_bounds(field)}"


def _bounds(field: Schema) -> str:
    if "maxLength" in field:
        return f" ≤ {field['maxLength']}"
    if field["type"] == "integer":
        top = field["maximum"]
        return f" ≥ {field['minimum']}" if top > 2**52 else f" {field['minimum']}–{top}"
    return ""


def _default(value: object) -> str:
    if value in (None, "") or isinstance(value, list | dict):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _meaning(field: Schema, inner: Schema) -> str:
    """The description, then the rules: of a list's items as well, but not those of an object, which has rows itself."""
    texts = [field.get("description") or inner.get("description", "")]
    nodes = [field] if inner is field or "properties" in inner else [field, inner]
    texts += [_sentence(rule["message"]) for node in nodes for rule in node.get(VALIDATIONS, [])]
    if inner is not field and "properties" in inner:
        texts += [_sentence(rule["message"]) for rule in inner.get(VALIDATIONS, [])]
    return " ".join(text for text in texts if text).replace("|", "\\|")


def _sentence(message: str) -> str:
    """The message as a sentence; one that starts with a field's name keeps its case."""
    start = message if message.startswith(("spec.", "metadata.")) else f"{message[0].upper()}{message[1:]}"
    return f"{start.removesuffix('.')}."
