"""The rollback policy in force: the Model's, overridden field by field by the governing upgrade's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.model import Model
from topgraft.api.policy import OnInconclusive, Watch


@dataclass(frozen=True)
class RollbackPolicy:
    """`automatic`: roll back without being asked. The rest in seconds and pods, as in `api/policy.py`."""

    automatic: bool
    bake_seconds: int
    max_bake_seconds: int | None
    on_inconclusive: OnInconclusive
    watch: Watch
    standby_seconds: int
    standby_replicas: int

    def wire(self) -> dict[str, Any]:
        return dict(vars(self))


def rollback_policy(model: Model, upgrade: AdapterUpgrade | None) -> RollbackPolicy:
    own, override = model.spec.rollback, upgrade.spec.rollback if upgrade else None

    def pick(name: str) -> Any:
        value = getattr(override, name, None)
        return getattr(own, name) if value is None else value

    return RollbackPolicy(**{name: pick(name) for name in RollbackPolicy.__dataclass_fields__})
