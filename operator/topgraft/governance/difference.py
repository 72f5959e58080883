"""What differs between two versions: the first question when one of them is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from topgraft.api.modelversion import Api, ModelVersion
from topgraft.governance.apidiff import api_changes
from topgraft.governance.requirements import requirement_changes

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Difference:
    """One aspect: `part` is commit, image, requirements, api, metadata, lineage or artifact. "" stands for nothing."""

    part: str
    name: str
    old: str
    new: str

    def __str__(self) -> str:
        what = f"{self.part} {self.name}".rstrip()
        return f"{what}: {self.old or '(none)'} → {self.new or '(none)'}"


def differences(old: ModelVersion, new: ModelVersion) -> tuple[Difference, ...]:
    """All that differs, by part. The artifact's digest comes first: where that is another, no adapter is to blame."""
    return (*_artifact(old, new), *_code(old, new), *_requirements(old, new), *_api(old, new), *_described(old, new))


def commit_of(version: ModelVersion) -> str:
    """The commit of the code: what the image said, else what the record says of a version that a user made."""
    if version.status.adapter is not None and version.status.adapter.commit:
        return version.status.adapter.commit
    own = version.spec.source is not None and version.spec.parent_version is None
    return (version.spec.source.commit or "") if own and version.spec.source is not None else ""


def _artifact(old: ModelVersion, new: ModelVersion) -> Iterator[Difference]:
    yield from _pair("artifact", "digest", _digest(old), _digest(new))


def _digest(version: ModelVersion) -> str:
    """As it was read; where nobody has read it yet, as it is declared."""
    read = version.status.artifact.digest if version.status.artifact is not None else None
    return read or version.spec.artifact.digest or UNKNOWN


def _code(old: ModelVersion, new: ModelVersion) -> Iterator[Difference]:
    yield from _pair("commit", "", commit_of(old), commit_of(new))
    yield from _pair("image", "", old.spec.adapter.image, new.spec.adapter.image)
    yield from _pair("image", "digest", _image_digest(old), _image_digest(new))


def _image_digest(version: ModelVersion) -> str:
    return (version.status.adapter.image_digest or UNKNOWN) if version.status.adapter is not None else UNKNOWN


def _requirements(old: ModelVersion, new: ModelVersion) -> Iterator[Difference]:
    if old.status.requirements and new.status.requirements:
        for change in requirement_changes(old.status.requirements, new.status.requirements):
            yield Difference("requirements", change.name, change.old, change.new)
        return
    digests = [
        (v.status.adapter.requirements_digest or UNKNOWN) if v.status.adapter is not None else UNKNOWN
        for v in (old, new)
    ]
    yield from _pair("requirements", "digest", *digests)


def _api(old: ModelVersion, new: ModelVersion) -> Iterator[Difference]:
    if isinstance(old.status.api, Api) and isinstance(new.status.api, Api):
        for change in api_changes(old.status.api, new.status.api):
            breaks = " (breaking)" if change.breaking else ""
            yield Difference("api", f"{change.name}{breaks}", change.old, change.new)
        return
    yield from _pair("api", "digest", old.status.api_digest or UNKNOWN, new.status.api_digest or UNKNOWN)


def _described(old: ModelVersion, new: ModelVersion) -> Iterator[Difference]:
    yield from _maps("metadata", old.spec.metadata, new.spec.metadata)
    yield from _pair("metadata", "testTag", old.spec.test_tag or "", new.spec.test_tag or "")
    yield from _pair("metadata", "channel", old.spec.channel, new.spec.channel)
    was, now = old.spec.lineage, new.spec.lineage
    hashes = [(one.training_data_hash or "") if one else "" for one in (was, now)]
    yield from _pair("lineage", "trainingDataHash", *hashes)
    for field, name in (("feature_parameters", "featureParameters"), ("hyperparameters", "hyperparameters")):
        before, after = ((getattr(one, field, None) or {}) for one in (was, now))
        yield from _maps("lineage", before, after, prefix=f"{name}.")


def _pair(part: str, name: str, old: str, new: str) -> Iterator[Difference]:
    if old != new:
        yield Difference(part, name, old, new)


def _maps(part: str, old: Mapping[str, str], new: Mapping[str, str], prefix: str = "") -> Iterator[Difference]:
    for key in sorted({*old, *new}):
        yield from _pair(part, f"{prefix}{key}", old.get(key, ""), new.get(key, ""))
