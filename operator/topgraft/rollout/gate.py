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
WAITS = {
    "AwaitingApproval": "for approval",
    "OutsideWindow": "for a maintenance window",
    "TimeZoneUnknown": "for a window whose time zone is known",
}
SHOWN = 100


@dataclass(frozen=True)
class Hold:
    """Why a rollout waits; `until` is when time alone opens the gate."""

    reason: str
    message: str
    until: datetime | None = None


def before_start(at: Situation) -> Hold | None:
    """Why a candidate without a rollout in progress gets no pods yet."""
    name = _guarded(at)
    return _outside(at, name) if name else None


def before_traffic(at: Situation) -> Hold | None:
    """Why a verified candidate gets no request yet, and the old pods stay as they are.

    A rollout in progress is finished outside of its window, too. Where a person decides on the moment, both must hold:
    an approval given by day does not move traffic that is to move by night.
    """
    name = _guarded(at)
    if name is None or not at.model.spec.strategy.require_approval:
        return None
    return _unapproved(at, name) or _outside(at, name)


def after_bake(at: Situation) -> Hold | None:
    """Why another order leaves the bake alone: it would take back what was let through, and then wait itself."""
    name = at.target.version
    if name is None or not _comes_in_a_bake(at) or at.failure is not None:
        return None
    hold = _outside(at, name)
    if at.model.spec.strategy.require_approval:
        hold = _unapproved(at, name) or hold
    if hold is None:
        return None
    return Hold(hold.reason, f"{name} waits until the bake of {at.serving} is over, and then {WAITS[hold.reason]}")


def bakes_on(at: Situation) -> bool:
    """Whether another order leaves the bake alone: it waits for a gate, or has failed already and brings nothing in."""
    return _comes_in_a_bake(at) and (at.failure is not None or at.deferred is not None)


def _comes_in_a_bake(at: Situation) -> bool:
    target, stable = at.target, at.recorded_stable
    other = target.trigger in GATED and target.version not in (None, at.serving, stable)
    return other and at.serving not in (None, stable)


def invalid_windows(at: Situation) -> str:
    """Which of the windows can never open, and why; "" where all can."""
    return "; ".join(
        f"spec.strategy.windows[{index}].timeZone {zone!r} is not in the time zone database, so this window never "
        "opens: write a name such as Europe/Berlin"
        for index, zone in unknown_zones(at.model.spec.strategy.windows)
    )


def _guarded(at: Situation) -> str | None:
    """The candidate's name, where a gate may hold it."""
    candidate = at.candidate
    if candidate is None or at.serving is None or at.goal.trigger not in GATED:
        return None
    return candidate.metadata.name if candidate.metadata.name != at.previous else None


def _unapproved(at: Situation, name: str) -> Hold | None:
    model = at.model.metadata
    approved = model.annotations.get(APPROVED_VERSION, "")
    if approved == name:
        return None
    told = f" (it names {clean(approved, SHOWN)!r} now)" if approved else ""
    return Hold(
        "AwaitingApproval",
        f"{name} is verified and waits for approval; {at.serving} serves. To approve: kubectl annotate "
        f"models.topgraft.dev {model.name} --namespace {model.namespace} --overwrite {APPROVED_VERSION}={name}{told}",
    )


def _outside(at: Situation, name: str) -> Hold | None:
    windows = at.model.spec.strategy.windows
    if not windows or is_open(windows, at.now):
        return None
    opening = next_opening(windows, at.now)
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
