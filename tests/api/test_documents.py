"""Every manifest that the documents and examples show is one that a real API server takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_objects import API_VERSION, minimal
from apiserver import PLURALS, Kubectl, Objects
from support.pages import fenced

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path for glob in ("*.md", "docs/*.md", "examples/*/README.md") for path in ROOT.glob(glob))
FILES = sorted([*ROOT.glob("examples/*/*.yaml"), *ROOT.glob("manifests/samples/*.yaml")])
STOCK_SERVERS = ROOT / "docs/other-servers.md"
SHORTENED_DIGEST = re.compile(r"sha256:([0-9a-f]*…|<64 hex digits>)")

Body = dict[str, Any]


def shown(path: Path) -> Iterator[Body]:
    """The YAML documents of a file, of a page those in its code blocks."""
    blocks = [text for _, text in fenced(path)] if path.suffix == ".md" else [path.read_text()]
    for block in blocks:
        text = SHORTENED_DIGEST.sub(f"sha256:{'0' * 64}", block)
        yield from (body for body in yaml.safe_load_all(text) if isinstance(body, dict))


def whole(path: Path) -> list[Body]:
    """The complete objects of our kinds."""
    return [body for body in shown(path) if body.get("apiVersion") == API_VERSION]


def parts(path: Path) -> list[Body]:
    """What shows a part of an object only."""
    return [body for body in shown(path) if "apiVersion" not in body and {"kind", "spec"} & set(body)]


def merged(base: Any, over: Any) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{name: merged(base.get(name), value) for name, value in over.items()}}
    return base if over == ["..."] else over


def completed(part: Body) -> Iterator[Body]:
    """The smallest objects that have this part in them, one of each kind that it may be of."""
    for kind in [part["kind"]] if "kind" in part else PLURALS:
        body = merged(minimal(kind), {name: value for name, value in part.items() if name != "metadata"})
        if "target" in body["spec"]:
            body["spec"].pop("adapter", None)  # an upgrade names its image in one of two ways
        yield body


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [path for path in (*PAGES, *FILES) if whole(path)], ids=name_of)
def test_an_object_is_taken_as_it_stands(shared_objects: Objects, path: Path) -> None:
    assert {body["metadata"]["name"]: shared_objects.refusal(body) for body in whole(path)} == {
        body["metadata"]["name"]: "" for body in whole(path)
    }


@pytest.mark.parametrize("path", [path for path in PAGES if parts(path)], ids=name_of)
def test_a_part_of_an_object_has_a_place_in_one(shared_objects: Objects, path: Path) -> None:
    for part in parts(path):
        refusals = [shared_objects.refusal(body) for body in completed(part)]
        assert "" in refusals, f"{yaml.safe_dump(part)}\n{refusals}"


def test_kubectl_applies_the_stock_servers(shared_namespace: str) -> None:
    bodies = whole(STOCK_SERVERS)
    adapters = [body["spec"]["adapter"] for body in bodies if body["kind"] == "ModelVersion"]
    assert [adapter["contract"] for adapter in adapters] == ["None", "None"]
    assert [name in adapter["image"] for name, adapter in zip(("vllm", "triton"), adapters, strict=True)] == [True] * 2
    kubectl = Kubectl(shared_namespace)
    told = kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-", body=bodies)
    assert told.count("serverside-applied (server dry run)") == len(bodies) == 4
