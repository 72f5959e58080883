"""Children that are being deleted: until one is gone no other can have its name, and writing to it is in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topgraft.rollout.faults import Fault
from topgraft.rollout.views import Object

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

REASON = "ChildTerminating"


def ends(at: Situation, kind: str, name: str) -> bool:
    """Whether the Model's Deployment or Service of that name is being deleted."""
    seen: tuple[Object, ...] = at.seen.deployments if kind == "Deployment" else at.seen.services
    mine = at.own(seen, name)
    return mine is not None and mine.metadata.deletion_timestamp is not None


def text(kind: str, name: str) -> str:
    return f"{kind} {name!r} is being deleted; it is made anew once it is gone"


def ending_faults(at: Situation, version: str | None) -> list[Fault]:
    """What keeps the version's Deployment from being written."""
    name = version or ""
    return [Fault(REASON, text("Deployment", name), False, at.now)] if ends(at, "Deployment", name) else []
