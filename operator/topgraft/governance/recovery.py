"""Going back to a commit: first its data, then its deployment, then its tests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from topgraft.api.modelversion import ModelVersion
from topgraft.governance.difference import commit_of

SHORTEST = 7
"""Digits of a commit that are enough to name it, as git prints it."""


@dataclass(frozen=True)
class Recovery:
    """What is done to go back, in this order: `dataset` is loaded, `version` serves, the tests run under `tests`.

    The dataset version is that of the artifacts: Topgraft proves that they are the same bytes before the version
    serves, and hands the name to the tests. `digest` is what they were when they were last read, None if never.
    """

    version: str
    commit: str
    dataset: str
    tests: str
    digest: str | None = None

    @property
    def steps(self) -> tuple[tuple[str, str], ...]:
        """(step, what it is about), in the order that counts."""
        artifacts = f"artifacts {self.digest}" if self.digest else "artifacts that were never read"
        return (
            ("dataset", f"DATASET_VERSION={self.dataset}: {artifacts}"),
            ("deploy", self.version),
            ("tests", self.tests),
        )

    def patch(self) -> dict[str, Any]:
        """The merge patch of the Model: a pin, which neither approval nor window holds."""
        return {"spec": {"serving": {"version": self.version}}}


def rollback_model(commit: str, versions: Mapping[str, ModelVersion]) -> Recovery:
    """How to go back to the version of a commit, given whole or by at least its first seven digits.

    Raises ValueError where no version is of that commit, or more than one.
    """
    if not re.fullmatch(f"[0-9a-f]{{{SHORTEST},64}}", commit):
        raise ValueError(f"{commit!r} is no commit: {SHORTEST} to 64 lower-case hexadecimal digits")
    found = sorted(name for name, version in versions.items() if commit_of(version).startswith(commit))
    if not found:
        known = ", ".join(sorted(f"{commit_of(v)[:8]} ({n})" for n, v in versions.items() if commit_of(v)))
        raise ValueError(f"no version is of commit {commit}; known: {known or 'none'}")
    if len(found) > 1:
        raise ValueError(f"versions {', '.join(found)} are of commit {commit}: name one by --version")
    return recovery_of(versions[found[0]])


def recovery_of(version: ModelVersion) -> Recovery:
    """How to go back to a version; where its commit is not known its tag stands in, as for its tests."""
    known = commit_of(version) or version.spec.adapter.image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    told = re.sub("[^A-Za-z0-9_.-]", "_", known or "unknown")[: 63 - len("V_validation")]
    digest = version.status.artifact.digest if version.status.artifact is not None else None
    return Recovery(version.metadata.name, known, told[:8], f"V{told}_validation", digest)
