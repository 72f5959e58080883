"""How the new version's interface and packages differ from its parent's, as an AdapterUpgrade's status tells it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from topgraft.api.adapterupgrade import AdapterUpgradeStatus
from topgraft.api.modelversion import Api, ModelVersion
from topgraft.governance.apidiff import api_changes
from topgraft.governance.requirements import requirement_changes
from topgraft.rollout.content import wire
from topgraft.rollout.situation import Situation
from topgraft.rollout.summary import without_nulls

NAME_LIMIT, TEXT_LIMIT = 600, 256
API_LIMIT, REQUIREMENTS_LIMIT = 64, 256


def told(at: Situation, version: ModelVersion | None, kept: AdapterUpgradeStatus | None) -> dict[str, Any]:
    """`apiChanges` and `requirementChanges`: of `version` where its image has answered, else as `kept` has them."""
    api = [wire(one) for one in kept.api_changes] if kept else []
    packages = [wire(one) for one in kept.requirement_changes] if kept else []
    parent = at.parent(version) if version is not None else None
    if version is not None and parent is not None:
        report = at.report(version)
        contract = report.contract if report is not None else None
        new_api = (contract.api if contract else None) or version.status.api
        if new_api is not None and parent.status.api is not None:
            api = _api(parent.status.api, new_api)
        new_packages = (contract.requirements if contract else None) or version.status.requirements
        if new_packages and parent.status.requirements:
            packages = _packages(parent.status.requirements, new_packages)
    return {"apiChanges": api or None, "requirementChanges": packages or None}


def _api(old: Api, new: Api) -> list[dict[str, Any]]:
    # What breaks callers comes first: a list that is cut must not lose it.
    found = sorted(api_changes(old, new), key=lambda change: not change.breaking)
    return [_entry(one.name, one.old, one.new) | {"breaking": one.breaking} for one in found[:API_LIMIT]]


def _packages(old: Sequence[str], new: Sequence[str]) -> list[dict[str, Any]]:
    return [_entry(one.name, one.old, one.new) for one in requirement_changes(old, new)[:REQUIREMENTS_LIMIT]]


def _entry(name: str, old: str, new: str) -> dict[str, Any]:
    told = {"name": name[:NAME_LIMIT], "old": old[:TEXT_LIMIT] or None, "new": new[:TEXT_LIMIT] or None}
    return without_nulls(told)
