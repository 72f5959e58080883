"""metav1 conditions: built fresh on every look, with the old transition time where the status did not change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from topgraft.api.meta import Condition

MESSAGE_LIMIT = 1024


@dataclass(frozen=True)
class Says:
    """One condition as a step states it."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""


def recorded(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of that type as it was told last."""
    return next((c for c in conditions if c.type == kind), None)


def truth(value: bool | None) -> Literal["True", "False", "Unknown"]:
    return "Unknown" if value is None else "True" if value else "False"


def stamp(said: Iterable[Says], before: Iterable[Condition], generation: int, now: datetime) -> list[dict[str, Any]]:
    """On the wire. Invariant: `lastTransitionTime` moves only with the status, or an idle look would write."""
    old = {condition.type: condition for condition in before}
    made = []
    for one in said:
        known = old.get(one.type)
        unchanged = known is not None and known.status == one.status
        moved = known.last_transition_time if known is not None and unchanged else now.replace(microsecond=0)
        made.append(
            {
                "type": one.type,
                "status": one.status,
                "reason": one.reason,
                "message": one.message[:MESSAGE_LIMIT],
                "observedGeneration": generation,
                "lastTransitionTime": rfc3339(moved),
            }
        )
    return made


def rfc3339(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
