"""A patch of a whole version: what may be patched, what may not, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from topgraft.governance.versionpatch import PATCHABLE, PatchRefused, merge_patch, patched

SPEC: dict[str, Any] = {
    "modelRef": {"name": "digits"},
    "artifact": {"volumes": [{"name": "weights", "mountPath": "/w", "configMap": {"name": "weights"}}]},
    "adapter": {"image": "registry.example/digits:v1"},
    "channel": "Production",
    "license": "MIT",
    "metadata": {"run": "42", "by": "anna"},
    "outputInfo": {
        "data": {"concepts": [{"id": "zero"}, {"id": "one"}]},
        "outputConfig": {"maxConcepts": 20, "language": "en"},
        "params": {"threshold": "0.5", "mode": "fast"},
    },
    "trainInfo": {"params": {"epochs": "3"}},
}
INFO = SPEC["outputInfo"]


def test_what_can_be_patched_is_what_the_document_lists() -> None:
    assert {"visibility", "metadata", "license", "description", "notes", "outputInfo"} <= set(PATCHABLE)
    assert not {"modelRef", "artifact", "adapter", "inputInfo", "trainInfo", "importInfo", "lineage"} & set(PATCHABLE)


@pytest.mark.parametrize(
    ("action", "patch", "changed"),
    [
        ("merge", {"description": "new"}, {"description": "new"}),
        ("merge", {"metadata": {"run": "43"}}, {"metadata": {"run": "43", "by": "anna"}}),
        ("merge", {"metadata": {}}, {"metadata": {}}),
        ("merge", {"license": None}, {}),
        (
            "merge",
            {"outputInfo": {"params": {"mode": "exact"}}},
            {"outputInfo": {**INFO, "params": {"threshold": "0.5", "mode": "exact"}}},
        ),
        ("merge", {"outputInfo": {"data": {"concepts": [{"id": "zero"}]}}, "notes": "n"}, {"notes": "n"}),
        ("merge", {"channel": "Production", "visibility": "Org"}, {"visibility": "Org"}),
        ("remove", {"license": True}, {"license": None}),
        ("remove", {"metadata": {"by": True}}, {"metadata": {"run": "42"}}),
        ("remove", {"outputInfo": {"params": True}}, {"outputInfo": {k: v for k, v in INFO.items() if k != "params"}}),
        ("overwrite", {"metadata": {"a": "1"}}, {"metadata": {"a": "1"}}),
        (
            "overwrite",
            {"outputInfo": {"params": {"a": "1"}}},
            {"outputInfo": {"data": INFO["data"], "params": {"a": "1"}}},
        ),
        ("overwrite", {}, {}),
    ],
)
def test_what_may_be_patched(action: Any, patch: dict[str, Any], changed: dict[str, Any]) -> None:
    wanted = {name: value for name, value in {**SPEC, **changed}.items() if value is not None}
    assert patched(SPEC, patch, action) == wanted


@pytest.mark.parametrize(
    ("action", "patch", "field"),
    [
        ("merge", {"adapter": {"image": "registry.example/digits:v2"}}, "adapter"),
        ("merge", {"channel": "Experimental"}, "channel"),
        ("merge", {"trainInfo": {"params": {"epochs": "4"}}}, "trainInfo"),
        ("merge", {"inputInfo": {}}, "inputInfo"),
        ("merge", {"outputInfo": {"data": {"concepts": [{"id": "two"}]}}}, "outputInfo.data.concepts"),
        ("merge", {"outputInfo": {"data": {"concepts": [{"id": "zero", "name": "Zero"}]}}}, "outputInfo.data.concepts"),
        ("merge", {"outputInfo": {}}, "outputInfo.data.concepts"),
        ("merge", {"outputInfo": "none"}, "outputInfo.data.concepts"),
        ("remove", {"outputInfo": {"data": {"concepts": [{"id": "zero"}]}}}, "outputInfo.data.concepts"),
        ("remove", {"outputInfo": True}, "outputInfo.data.concepts"),
        ("remove", {"modelRef": True}, "modelRef"),
        ("remove", {"lineage": False}, "lineage"),
        ("overwrite", {"trainInfo": {}}, "trainInfo"),
        ("overwrite", {"outputInfo": {"data": {"concepts": []}}}, "outputInfo.data.concepts"),
    ],
)
def test_what_may_not_is_named_with_the_status_code(action: Any, patch: dict[str, Any], field: str) -> None:
    with pytest.raises(PatchRefused) as refused:
        patched(SPEC, patch, action)
    assert f"spec.{field} is immutable on a ModelVersion (21202 MODEL_INVALID_ARGUMENT)" in str(refused.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(PatchRefused) as refused:
        patched(SPEC, {"channel": "Experimental", "revision": 3, "notes": "n"}, "merge")
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "hint"),
    [("output_info", "write outputInfo"), ("gettable", "write visibility"), ("status", "a version has visibility")],
)
def test_a_field_that_does_not_exist_is_told_with_the_one_that_does(name: str, hint: str) -> None:
    with pytest.raises(PatchRefused, match=hint):
        patched(SPEC, {name: {}}, "merge")


VALUES = st.recursive(
    st.integers(0, 2) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@given(before=OBJECTS, after=OBJECTS)
def test_the_merge_patch_makes_the_one_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert rfc7386(before, merge_patch(before, after)) == after
    assert (merge_patch(before, after) == {}) == (before == after)


def rfc7386(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = rfc7386(result.get(name), value)
    return result
