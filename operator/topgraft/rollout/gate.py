"""What a rollout waits for although the cluster is ready: its maintenance window, and a person's approval.

Gates guard changes of what serves. They never hold a way back (a fallback, the previous version), a pin, which is an
order of its own, or the first deployment, which leaves nothing that works.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from topgraft.rollout.conditions import rfc3339
from topgraft.rollout.termination import clean
from topgraft.rollout.views import APPROVED_VERSION
from topgraft.rollout.window import is_open, next_opening, unknown_zones, zone_of

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

GATED = ("Upgrade", "Base")
SHOWN = 100


@dataclass(frozen=True)
class Hold:
    """Why a rollout waits; `until` is when time alone opens the gate."""

    reason: str
    message: str
    until: datetime | None = None


def before_start(at: Situation) -> Hold | None:
    """Why a candidate without a rollout in progress gets no pods yet."""
    return _outside(at) if _guarded(at) else None


def before_traffic(at: Situation) -> Hold | None:
    """Why a verified candidate gets no request yet, and the old pods stay as they are.

    A rollout in progress is finished outside of its window, too. Where a person decides on the moment, both must hold:
    an approval given by day does not move traffic that is to move by night.
    """
    if not _guarded(at) or not at.model.spec.strategy.require_approval:
        return None
    return _unapproved(at) or _outside(at)


def invalid_windows(at: Situation) -> str:
    """Which of the windows can never open, and why; "" where all can."""
    return "; ".join(
        f"spec.strategy.windows[{index}].timeZone {zone!r} is not in the time zone database, so this window never "
        "opens: write a name such as Europe/Berlin"
        for index, zone in unknown_zones(at.model.spec.strategy.windows)
    )


def _guarded(at: Situation) -> bool:
    candidate = at.candidate
    if candidate is None or at.serving is None or at.goal.trigger not in GATED:
        return False
    return candidate.metadata.name != at.previous


def _unapproved(at: Situation) -> Hold | None:
    assert at.candidate is not None
    name, model = at.candidate.metadata.name, at.model.metadata
    approved = model.annotations.get(APPROVED_VERSION, "")
    if approved == name:
        return None
    told = f" (it names {clean(approved, SHOWN)!r} now)" if approved else ""
    return Hold(
        "AwaitingApproval",
        f"{name} is verified and waits for approval; {at.serving} serves. To approve: kubectl annotate "
        f"models.topgraft.dev {model.name} --namespace {model.namespace} --overwrite {APPROVED_VERSION}={name}{told}",
    )


def _outside(at: Situation) -> Hold | None:
    windows = at.model.spec.strategy.windows
    if not windows or is_open(windows, at.now):
        return None
    assert at.candidate is not None
    name, opening = at.candidate.metadata.name, next_opening(windows, at.now)
    if opening is None:
        return Hold("TimeZoneUnknown", f"{name} waits for ever; {at.serving} serves. {invalid_windows(at)}")
    begin, window = opening
    local = rfc3339(begin.astimezone(zone_of(window)))
    return Hold(
        "OutsideWindow",
        f"{name} waits for a maintenance window; {at.serving} serves. The next one opens at {local} "
        f"({window.time_zone}); spec.serving.version: {name} goes at once",
        begin,
    )
