"""A patch of a ModelVersion: what becomes of its spec, or which of its fields stand in the way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic.alias_generators import to_camel

from topgraft.api.modelversion import CONCEPTS, IMMUTABLE, INVALID_ARGUMENT, ModelVersionSpec
from topgraft.governance.patching import ACTIONS, Action

FIELDS = tuple(field.alias or name for name, field in ModelVersionSpec.model_fields.items())
PATCHABLE = tuple(name for name in FIELDS if name not in IMMUTABLE)


class PatchRefused(Exception):
    """The patch touches what cannot be changed, or what does not exist; one line for each."""


def patched(spec: dict[str, Any], patch: dict[str, Any], action: Action) -> dict[str, Any]:
    """The spec with the patch in it. Overwriting replaces each field that the patch names, and no other.

    Raises PatchRefused with all that is wrong.
    """
    if unknown := [name for name in patch if name not in FIELDS]:
        raise PatchRefused("\n".join(map(_unknown, unknown)))
    given = {name: value for name, value in patch.items() if value is not None}
    result = {**spec, **given} if action == "overwrite" else ACTIONS[action](given, spec)
    if action == "overwrite" and isinstance(given.get("outputInfo"), dict):
        # The concepts are no part of what can be patched: who does not name them does not take them away.
        kept = {"data": spec["outputInfo"]["data"]} if "data" in spec.get("outputInfo", {}) else {}
        result["outputInfo"] = kept | given["outputInfo"]
    if refused := list(_refused(spec, result)):
        raise PatchRefused("\n".join(refused))
    return result


def _refused(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    changed = [name for name in IMMUTABLE if before.get(name) != after.get(name)]
    if concepts(before) != concepts(after):
        changed.append(CONCEPTS)
    for name in changed:
        yield f"spec.{name} is immutable on a ModelVersion ({INVALID_ARGUMENT}): create a new ModelVersion instead"


def concepts(spec: dict[str, Any]) -> list[Any]:
    """The concepts in a version's spec, whatever shape a patch gave it."""
    node: Any = spec
    for name in CONCEPTS.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node or []


def _unknown(name: str) -> str:
    meant = to_camel(re.sub("-", "_", name))
    meant = "visibility" if meant == "gettable" else meant
    hint = f"write {meant}" if meant in FIELDS else f"a version has {', '.join(PATCHABLE)} to patch"
    return f"spec.{name} is no field of a ModelVersion ({INVALID_ARGUMENT}): {hint}"


def merge_patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that makes `after` of `before`."""
    gone: dict[str, Any] = dict.fromkeys(name for name in before if name not in after)
    made: dict[str, Any] = {}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            # {} is what makes a merge patch of two equal objects: nothing.
            if inner := merge_patch(old, value):
                made[name] = inner
        elif value != old or name not in before:
            made[name] = value
    return gone | made
