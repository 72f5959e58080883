"""PEFT adapters of a version on its way: what keeps it from requests, and what is told of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from topgraft.api.modelversion import ModelVersion
from topgraft.api.peft import PeftAdapter, PeftAdapterStatus
from topgraft.governance.peft import (
    OWN_FAULTS,
    Finding,
    Found,
    adapter_id,
    dataset_split,
    judge,
    model_id,
    needs_files,
)
from topgraft.governance.refusal import Refusal
from topgraft.rollout.conditions import Says
from topgraft.rollout.content import wire
from topgraft.rollout.faults import Fault

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation


def finding(at: Situation, version: ModelVersion) -> Finding | None:
    """The first broken rule; None where all hold, and while files are unread: they have their place among the rules."""
    report = at.report(version)
    found = report.peft if report is not None else None
    if needs_files(version) and found is None and not _recorded(version):
        return None
    return judge(version, at.seen.neighbours, found)


def refusal(at: Situation, version: ModelVersion) -> Refusal | None:
    """Why a version may not serve as long as it is what it is."""
    found = finding(at, version)
    return Refusal(found.reason, found.message) if found is not None and found.own else None


def accepted(at: Situation) -> bool:
    """Whether nothing speaks against the candidate's adapters, as far as it can be known."""
    return at.candidate is None or finding(at, at.candidate) is None


def obstacles(at: Situation, version: ModelVersion) -> list[Fault]:
    """What another object lacks: it may be mended, so it is waited for."""
    found = finding(at, version)
    return [Fault(found.reason, found.message, False, at.now)] if found is not None and not found.own else []


def rows(at: Situation, version: ModelVersion) -> list[dict[str, Any]]:
    """status.adapters: what the files say, kept once it is known, and the dataset split as the jobs tell it now."""
    report = at.report(version)
    found = report.peft if report is not None else None
    before = {row.name: row for row in version.status.adapters}
    made = []
    for index, adapter in enumerate(version.spec.artifact.adapters):
        one = found[index] if found else None
        told = _told(one) if one is not None and one.peft_type else _kept(before.get(adapter.name or ""))
        split = dataset_split(adapter, at.seen.neighbours.models.get(model_id(adapter).strip()))
        made.append(
            {
                "name": adapter.name or "",
                "id": adapter_id(at.model.metadata.namespace, at.model.metadata.name, adapter),
                **told,
                "datasetSplit": {
                    "datasetFraction": split.dataset_fraction,
                    "trainTestSplit": split.train_test_split,
                    "source": split.source,
                },
            }
        )
    return made


def _told(found: Found) -> dict[str, Any]:
    told = {
        "peftType": found.peft_type,
        "baseModel": found.base_model,
        "rank": found.rank,
        "targetModules": list(found.target_modules) or None,
        "modules": found.modules,
        "modulesMatched": found.matched,
    }
    return {name: value for name, value in told.items() if value is not None}


def _kept(row: PeftAdapterStatus | None) -> dict[str, Any]:
    if row is None:
        return {}
    return {name: value for name, value in wire(row).items() if name not in ("name", "id", "datasetSplit")}


def _has_files(adapter: PeftAdapter) -> bool:
    return bool(adapter.location) or adapter.type == "huggingface"


def _recorded(version: ModelVersion) -> bool:
    """Whether the files of all its adapters were read once: artifacts do not change."""
    read = {row.name for row in version.status.adapters if row.peft_type}
    return all(adapter.name in read for adapter in version.spec.artifact.adapters if _has_files(adapter))


def says(at: Situation, version: ModelVersion, failure: dict[str, Any] | None) -> Iterator[Says]:
    """AdaptersAccepted, where there are any. `failure` is the version's: it outlives the pod that read the files."""
    adapters = version.spec.artifact.adapters
    if not adapters:
        return
    found, report = finding(at, version), at.report(version)
    known = not needs_files(version) or (report is not None and report.peft is not None) or _recorded(version)
    if found is not None:
        yield Says("AdaptersAccepted", "False", found.reason, found.message)
    elif failure is not None and failure["reason"] in OWN_FAULTS:
        yield Says("AdaptersAccepted", "False", failure["reason"], failure.get("message", ""))
    elif known:
        yield Says("AdaptersAccepted", "True", "AdaptersValid", _summary(at, version))
    else:
        text = "their files are read when the version is brought in"
        yield Says("AdaptersAccepted", "Unknown", "FilesNotRead", text)


def _summary(at: Situation, version: ModelVersion) -> str:
    made = rows(at, version)
    partly = [
        f"{row['name']}: {row['modulesMatched']} of {row['modules']} modules are in the base weights"
        for row in made
        if row.get("modulesMatched", row.get("modules")) != row.get("modules")
    ]
    return "; ".join([f"{len(made)} adapters", *partly])
