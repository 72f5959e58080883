"""The generated CRDs: current, structural, bounded everywhere, and friendly to server-side apply and GitOps."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field
from topgraft.api.crd import KINDS, Kind, custom_resource_definition, structural
from topgraft.api.wire import ATOMIC, Rule, Wire, rules

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "crds").glob("*.yaml"))
OBJECTS = sorted((ROOT / "tests" / "objects").glob("*.yaml"))
Schema = dict[str, Any]


@functools.cache
def crd(path: Path) -> Schema:
    body: Schema = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return body


def schema_of(path: Path) -> Schema:
    schema: Schema = crd(path)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: Schema, path: str = "", *, in_items: bool = False) -> Iterator[tuple[str, Schema, bool]]:
    """Every node with its path, and whether it lies below a list or a map."""
    yield path, schema, in_items
    for name, node in schema.get("properties", {}).items():
        yield from nodes(node, f"{path}.{name}", in_items=in_items)
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]", in_items=True)
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}", in_items=True)


def spec_and_status(path: Path) -> Iterator[tuple[str, Schema, bool]]:
    for part in ("spec", "status"):
        yield from nodes(schema_of(path)["properties"][part], f".{part}")


def test_the_checked_in_files_are_current() -> None:
    check = subprocess.run(
        [sys.executable, str(ROOT / "hack" / "crds.py"), "--check"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert check.returncode == 0, check.stderr


def test_there_is_one_file_per_kind() -> None:
    assert [path.name for path in FILES] == sorted(f"topgraft.dev_{kind.plural}.yaml" for kind in KINDS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestEveryFile:
    def test_is_small_enough_for_a_client_side_apply(self, path: Path) -> None:
        assert path.stat().st_size < 200_000

    def test_is_structural(self, path: Path) -> None:
        for where, node, _ in nodes(schema_of(path)):
            assert ("type" in node) != ("x-kubernetes-int-or-string" in node), where
            assert not node.keys() & {"$ref", "oneOf", "allOf", "not", "nullable", "title", "const"}, where
            assert "x-kubernetes-preserve-unknown-fields" not in node, f"{where}: Argo CD's server-side diff breaks"

    def test_has_bounds_everywhere(self, path: Path) -> None:
        for where, node, _ in spec_and_status(path):
            match node.get("type"):
                case "string":
                    assert node.keys() & {"maxLength", "enum"} or node.get("format") == "date-time", where
                case "integer":
                    assert "enum" in node or {"minimum", "maximum"} <= node.keys(), where
                case "array":
                    assert "maxItems" in node, where
                case "object":
                    assert "properties" in node or "maxProperties" in node, where
                case None:
                    assert {"maxLength", "pattern"} <= node.keys(), where
                case kind:
                    assert kind == "boolean", f"{where}: no {kind}"

    def test_says_how_each_list_is_merged(self, path: Path) -> None:
        for where, node, _ in nodes(schema_of(path)):
            if node.get("type") != "array":
                continue
            assert node.get("x-kubernetes-list-type") in {"atomic", "set", "map"}, where
            for key in node.get("x-kubernetes-list-map-keys", []):
                assert key in node["items"]["required"], f"{where}: a key of a list must be required"

    def test_has_no_default_below_a_list_or_map(self, path: Path) -> None:
        for where, node, in_items in nodes(schema_of(path)):
            assert not (in_items and "default" in node), where

    def test_has_defaults_of_plain_leaves_only(self, path: Path) -> None:
        for where, node, _ in spec_and_status(path):
            default = node.get("default")
            leaves = default.values() if isinstance(default, dict) else [default]
            assert all(leaf is None or isinstance(leaf, str | int) for leaf in leaves), where

    def test_shows_that_nobody_has_looked_yet(self, path: Path) -> None:
        assert schema_of(path)["properties"]["status"]["default"] == {"observedGeneration": -1}

    def test_has_conditions_as_kubernetes_wants_them(self, path: Path) -> None:
        conditions = schema_of(path)["properties"]["status"]["properties"]["conditions"]
        assert conditions["x-kubernetes-list-map-keys"] == ["type"]
        assert set(conditions["items"]["required"]) == {"type", "status", "lastTransitionTime", "reason", "message"}
        assert conditions["items"]["properties"]["status"]["enum"] == ["True", "False", "Unknown"]

    def test_names_fields_as_kubernetes_does(self, path: Path) -> None:
        for where, node, _ in nodes(schema_of(path)):
            for name, field in node.get("properties", {}).items():
                assert re.fullmatch("[a-z][a-zA-Z0-9]*", name), where
                if name.endswith(("Seconds", "Milliseconds")):
                    assert field["type"] == "integer", f"{where}.{name}"
                if name.endswith("Time") and not where.endswith(".baseRank"):  # a rank is compared as text
                    assert field["format"] == "date-time", f"{where}.{name}"
                assert name != "phase", where

    def test_explains_itself_shortly(self, path: Path) -> None:
        for where, node, _ in nodes(schema_of(path)):
            assert len(node.get("description", "")) <= 200, where
        for part in ("spec", "status"):
            assert schema_of(path)["properties"][part]["description"], part

    def test_selects_by_fields_that_exist(self, path: Path) -> None:
        version = crd(path)["spec"]["versions"][0]
        assert len(version["selectableFields"]) <= 8
        plain = {where for where, node, in_items in spec_and_status(path) if not in_items}
        assert {field["jsonPath"] for field in version["selectableFields"]} <= plain

    def test_is_kept_by_every_tool(self, path: Path) -> None:
        annotations = crd(path)["metadata"]["annotations"]
        assert annotations["helm.sh/resource-policy"] == "keep"
        assert annotations["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"
        assert annotations["kustomize.toolkit.fluxcd.io/prune"] == "disabled"


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.stem)
def test_the_full_objects_have_every_field(path: Path) -> None:
    """tests/api applies these objects, so a field without a try there is noticed here.

    A type that several kinds share needs to be tried in one of them: sources exclude each other.
    """
    kind = next(kind for kind in KINDS if kind.name == yaml.safe_load(path.read_text())["kind"])
    wanted = {tail(where) for where, _, _ in nodes(spec_schema(kind))}
    assert wanted - tried() == set()


def spec_schema(kind: Kind) -> Schema:
    schema = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found: Schema = schema["properties"]["spec"]
    return found


@functools.cache
def tried() -> set[str]:
    bodies = [yaml.safe_load(path.read_text()) for path in OBJECTS]
    schemas = {kind.name: spec_schema(kind) for kind in KINDS}
    return {tail(where) for body in bodies for where in given(body["spec"], schemas[body["kind"]])}


def tail(path: str) -> str:
    """The last two names: a type that is used in several places needs to be tried in one."""
    return ".".join(path.split(".")[-2:])


def given(value: Any, schema: Schema, path: str = "") -> Iterator[str]:
    yield path
    if "properties" in schema:
        for name, inner in value.items():
            yield from given(inner, schema["properties"][name], f"{path}.{name}")
    elif "additionalProperties" in schema:
        for inner in value.values():
            yield from given(inner, schema["additionalProperties"], f"{path}{{}}")
    elif "items" in schema:
        for inner in value:
            yield from given(inner, schema["items"], f"{path}[]")


def converted(model: type[Wire]) -> Schema:
    raw = model.model_json_schema()
    return structural(raw, raw.pop("$defs", {}))


class TestGenerator:
    def test_refuses_a_union(self) -> None:
        class Either(Wire):
            value: int | bool

        with pytest.raises(TypeError, match="union"):
            converted(Either)

    def test_refuses_a_default_below_a_list(self) -> None:
        class Item(Wire):
            size: int = 1

        class Holder(Wire):
            items: Annotated[tuple[Item, ...], ATOMIC] = ()

        with pytest.raises(TypeError, match="default below a list"):
            converted(Holder)

    def test_refuses_free_values(self) -> None:
        class Free(Wire):
            values: dict[str, Any]

        with pytest.raises(TypeError, match="type at every node"):
            converted(Free)

    def test_refuses_what_a_crd_does_not_know(self) -> None:
        class Positive(Wire):
            size: Annotated[int, Field(gt=0)]

        with pytest.raises(TypeError, match="exclusiveMinimum"):
            converted(Positive)

    def test_keeps_every_rule_of_a_field_and_of_its_object(self) -> None:
        class Window(Wire):
            model_config = rules(Rule("self.first <= self.last", "first must not be after last", ".first"))

            first: Annotated[int, Rule("self > 0", "must be positive"), Rule("self != 13", "must not be 13")]
            last: int | None = None

        schema = converted(Window)
        assert schema["x-kubernetes-validations"] == [
            {"rule": "self.first <= self.last", "message": "first must not be after last", "fieldPath": ".first"}
        ]
        assert [rule["rule"] for rule in schema["properties"]["first"]["x-kubernetes-validations"]] == [
            "self > 0",
            "self != 13",
        ]
        assert schema["properties"]["last"] == {"type": "integer"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_kubectl_get_shows_ready_and_its_reason(path: Path) -> None:
    columns = crd(path)["spec"]["versions"][0]["additionalPrinterColumns"]
    assert {column["name"] for column in columns if not column.get("priority")} >= {"Ready", "Reason"}
