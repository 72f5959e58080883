"""Which programs the checks ask for, and where they take them from: building one takes Go and minutes."""

from __future__ import annotations

import os
from pathlib import Path

import check
import cluster
import pytest
from localcluster import tools


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The names of what would have been built, on a machine with an empty cache and nothing on PATH."""
    asked: list[str] = []
    monkeypatch.setattr(tools, "build", lambda _, names: asked.extend(names))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("KUBECTL", "")
    monkeypatch.setenv("HELM", "")
    return asked


def program(folder: Path, name: str, answer: str = "") -> str:
    file = folder / name
    file.write_text(f"#!/bin/sh\necho {answer}\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    ("tiers", "programs"),
    [
        (["lint"], ["helm"]),
        (["unit"], ["helm", "kubectl"]),
        (["api"], ["kubectl"]),
        (["heads", "mlflow"], []),
        (["lint", "cluster"], ["helm", "kubectl"]),
    ],
)
def test_a_tier_asks_for_no_program_that_it_does_not_run(
    built: list[str], tiers: list[str], programs: list[str]
) -> None:
    check.find_programs(tiers)
    assert built == programs


def test_a_helm_4_of_the_machine_is_taken(built: list[str], tmp_path: Path) -> None:
    own = program(tmp_path, "helm", "v4.0.1")
    assert cluster.helm() == own
    assert built == []


def test_a_helm_3_of_the_machine_is_not_taken(built: list[str], tmp_path: Path) -> None:
    program(tmp_path, "helm", "v3.19.0")
    assert cluster.helm() != str(tmp_path / "helm")
    assert built == ["helm"]


def test_the_helm_that_the_environment_names_is_taken(
    built: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELM", program(tmp_path, "my-helm"))
    assert cluster.helm() == os.environ["HELM"]
    assert built == []
