"""The three ways to patch one JSON value into another: merge, overwrite, remove (rules of the Clarifai API)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal

Action = Literal["merge", "overwrite", "remove"]
Patcher = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]


def merge(patch: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """Scalars replace, objects merge, lists of objects with an `id` merge by it, other lists are appended.

    null says nothing; {} and [] replace whatever was there.
    """
    merged = copy.deepcopy(value)
    for name, new in patch.items():
        if new is not None:
            merged[name] = _merged(new, value.get(name))
    return merged


def _merged(new: Any, old: Any) -> Any:
    if isinstance(new, dict) and new:
        return merge(new, old if isinstance(old, dict) else {})
    if isinstance(new, list) and new and isinstance(old, list):
        return _merged_by_id(new, old) if _identified(new) else copy.deepcopy([*old, *new])
    return copy.deepcopy(new)


def _merged_by_id(new: list[Any], old: list[Any]) -> list[Any]:
    added = {_id(item): item for item in new}
    result = []
    for item in old:
        change = added.pop(_id(item), None)
        result.append(copy.deepcopy(item) if change is None else merge(change, item))
    return [*result, *copy.deepcopy(list(added.values()))]


def remove(patch: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """true takes a key away; any other scalar replaces; objects are gone through; of a list of objects with an `id`
    those with the same go, any other list goes as a whole. null, {} and [] say nothing.
    """
    left = copy.deepcopy(value)
    for name, new in patch.items():
        old = value.get(name)
        if new is True or (isinstance(new, list) and new and not (_identified(new) and isinstance(old, list))):
            left.pop(name, None)
        elif isinstance(new, dict):
            if isinstance(old, dict):
                left[name] = remove(new, old)
        elif isinstance(new, list):
            if isinstance(old, list):
                gone = {_id(item) for item in new}
                left[name] = [item for item in copy.deepcopy(old) if _id(item) not in gone]
        elif new is not None:
            left[name] = new
    return left


def overwrite(patch: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """The patch itself: nothing of what was there stays."""
    return copy.deepcopy(patch)


def _identified(items: list[Any]) -> bool:
    return all(_id(item) is not None for item in items)


def _id(item: Any) -> tuple[type, str | int] | None:
    """What an item is known by; 1 and true are not the same."""
    known = item.get("id") if isinstance(item, dict) else None
    return (type(known), known) if isinstance(known, str | int) else None


ACTIONS: dict[Action, Patcher] = {"merge": merge, "overwrite": overwrite, "remove": remove}
