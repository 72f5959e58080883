"""What an MLflow registry is to show of a Model: versions with their lineage as tags, and who serves as aliases."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from topgraft.api.modelversion import ModelVersion

OWNER, VERSION, CONTENT = "topgraft.dev/model", "topgraft.dev/version", "topgraft.dev/content"
ADOPT = "topgraft.dev/adopt"
"""A tag by which the owner of a registered model gives it to the Model that the tag names, as namespace/name."""
SERVING, PREVIOUS = "serving", "previous"
MAX_KEY, MAX_VALUE = 250, 5000
_NO_KEY = re.compile(r"[^\w\-. :/]", re.ASCII)

Tags = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Record:
    """A ModelVersion as the registry shows it; name and content together say which one it is."""

    name: str
    content: str
    source: str
    description: str
    tags: Tags


@dataclass(frozen=True)
class Registration:
    """All that the registry is to show of a Model. `owner` is namespace/name: nobody else's model is touched.

    `serving` and `previous` are names of records, or None for no such alias.
    """

    registered_model: str
    owner: str
    description: str
    records: tuple[Record, ...]
    serving: str | None
    previous: str | None

    @property
    def digest(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def aliases(self) -> dict[str, str | None]:
        return {SERVING: self.serving, PREVIOUS: self.previous}


@dataclass(frozen=True)
class Outcome:
    """How the last mirroring ended: `versions` maps record names to MLflow's numbers; else reason and text."""

    digest: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    error: tuple[str, str] | None = None


@dataclass(frozen=True)
class Mirrored:
    """The mirror as a look sees it: whether there is one, and the outcome of what was asked last, where it is known."""

    configured: bool = False
    outcome: Outcome | None = None


def record(version: ModelVersion, content: str) -> Record:
    """The record of a version. `content` tells it from another one that had its name."""
    meta, spec = version.metadata, version.spec
    found = dict(_tags(version))
    return Record(
        name=meta.name,
        content=content,
        source=f"kubernetes://{meta.namespace}/modelversions/{meta.name}",
        description=spec.description or "",
        tags=tuple(sorted({**found, VERSION: meta.name, CONTENT: content}.items())),
    )


def _tags(version: ModelVersion) -> Iterator[tuple[str, str]]:
    spec, status = version.spec, version.status
    yield from _tag("adapter_image", spec.adapter.image)
    yield from _tag("parent_version", spec.parent_version)
    yield from _tag("channel", spec.channel)
    yield from _tag("license", spec.license)
    yield from _tag("artifact_digest", status.artifact.digest if status.artifact else None)
    yield from _tag("peft_adapters", ", ".join(one.name or "" for one in spec.artifact.adapters))
    if spec.lineage is not None:
        yield from _tag("training_data_hash", spec.lineage.training_data_hash)
        yield from _each("feature_parameters", spec.lineage.feature_parameters)
        yield from _each("hyperparameters", spec.lineage.hyperparameters)


def _each(prefix: str, values: Mapping[str, str] | None) -> Iterator[tuple[str, str]]:
    for key, value in (values or {}).items():
        yield from _tag(f"{prefix}.{key}", value)


def _tag(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """A tag that MLflow takes: other characters in keys become '_', what is too long is cut."""
    if value:
        yield _NO_KEY.sub("_", key)[:MAX_KEY], str(value)[:MAX_VALUE]
