"""What live traffic says of the version that serves: the way back, the end of the bake, and what the status tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from topgraft.api.verification import Baseline, Check
from topgraft.rollout.bake import REASONS, Judgement, baseline_of
from topgraft.rollout.comparison import Comparison, Watch, recent
from topgraft.rollout.conditions import Says
from topgraft.rollout.faults import Fault
from topgraft.rollout.termination import MESSAGE_LIMIT

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

PREFIX = "live/"
FALLBACK = "Fallback"
"""What takes over from a version that failed is not compared with it."""
LONGER = 5
"""How many times bakeSeconds a bake lasts at most where traffic was too little and maxBakeSeconds is not given."""


def asked(at: Situation) -> bool:
    """Whether there is anything to watch: a source, and a version with requests."""
    return at.verification.metrics.source != "None" and at.serving is not None and at.replicas > 0


def comparison(at: Situation) -> Comparison | None:
    """What is compared after a switch: all while there is a warm way back, what endures also afterwards."""
    decision = at.decision
    if not asked(at) or decision is None or decision.direction != "Forward" or decision.origin is None:
        return None
    if decision.reason == FALLBACK:
        return None
    baking, warm = at.serving != at.recorded_stable, at.ready(decision.origin) > 0
    if not (baking or warm or at.policy.watch == "Continuous"):
        return None
    return Comparison(decision.to, decision.time, decision.baseline, all_=baking or warm)


def judgement(at: Situation) -> Judgement:
    """The verdicts on what serves; none where nothing is compared."""
    found = comparison(at)
    return found.judge(at.seen.live or {}, at.verification.limits, at.now) if found else Judgement()


def watch(at: Situation) -> Watch | None:
    """What the sampler has to read: what serves, from before a switch on, and a canary that has pods."""
    found, candidate = comparison(at), at.candidate
    if not asked(at) or (found is None and candidate is None):
        return None
    versions, comparisons = [at.serving or ""], [found] if found else []
    ready = candidate is not None and at.ready(candidate.metadata.name) > 0
    if candidate is not None and ready and at.verification.metrics.source == "Pods":
        # Read before its first request, so that not a second of its bake is lost.
        versions.append(candidate.metadata.name)
    decision = at.decision
    if candidate is not None and ready and decision is not None and decision.splits:
        versions = [*dict.fromkeys((*versions, candidate.metadata.name))]
        comparisons.append(Comparison(candidate.metadata.name, decision.time, other=at.serving))
    return Watch(at.verification.metrics, at.verification.limits, tuple(versions), tuple(comparisons))


def awaited(at: Situation) -> bool:
    """Whether the old version's figures, which a switch puts on record, are still to be read for the first time."""
    return asked(at) and at.seen.live is not None and at.ready(at.serving) > 0 and at.serving not in at.seen.live


def baseline(at: Situation) -> Baseline | None:
    """The figures of what serves now, to go on record with the decision that leaves it."""
    if not asked(at) or at.serving is None or at.goal.trigger == FALLBACK:
        return None
    traffic, limits = (at.seen.live or {}).get(at.serving), at.verification.limits
    found = baseline_of(at.serving, recent(traffic, limits, at.now), limits, at.now) if traffic else None
    # A strategy with steps has put figures on record before it took pods or requests from the old version.
    kept = at.decision.baseline if at.decision is not None and at.decision.direction == "Step" else None
    return kept if kept is not None and (found is None or found.requests < limits.min_samples) else found


def bake_seconds(at: Situation) -> int:
    """How long this bake lasts, as far as can be said now: longer while traffic was too little to judge."""
    seconds, decision = at.policy.bake_seconds if at.replicas else 0, at.decision
    if not seconds or decision is None or at.now < decision.time + timedelta(seconds=seconds):
        return seconds
    return _longest(at) if at.judgement.inconclusive else seconds


def _longest(at: Situation) -> int:
    seconds, most = at.policy.bake_seconds, at.policy.max_bake_seconds
    return max(seconds, LONGER * seconds if most is None else most)


def fault(at: Situation) -> Fault | None:
    """A limit that the version that serves has broken; or that it could not be judged, where that is to end a bake."""
    found, decision = at.judgement, at.decision
    if found.breach is not None:
        return Fault(found.breach.reason, found.breach.message[:MESSAGE_LIMIT], True, at.now, True)
    baking = at.serving != at.recorded_stable
    if not (baking and found.inconclusive and decision is not None and at.policy.automatic):
        return None
    over = at.now >= decision.time + timedelta(seconds=_longest(at))
    if over and at.policy.on_inconclusive == "RollBack":
        return Fault("Inconclusive", f"live traffic was too little to judge {at.serving}: {_unclear(at)}", True, at.now)
    return None


def canary_fault(at: Situation, candidate: str, since: datetime) -> Fault | None:
    """A limit that a canary has broken since `since`, against the stable version's traffic of the same time."""
    if not asked(at) or at.serving is None:
        return None
    found = Comparison(candidate, since, other=at.serving).judge(at.seen.live or {}, at.verification.limits, at.now)
    breach = found.breach
    return Fault(breach.reason, breach.message[:MESSAGE_LIMIT], True, at.now, True) if breach else None


def cold_fault(at: Situation) -> Fault | None:
    """A limit broken after the bake with no warm version to go to: the way back begins with its pods."""
    if at.baking or at.way_back is not None:
        return None
    return fault(at)


def live_checks(at: Situation, before: Iterable[Check]) -> tuple[Check, ...]:
    """The verdicts for the status. Figures move with every request: the text stays for as long as the verdict does,
    or an idle look would write; the end of a bake tells its last figures, and what is told then stays.
    """
    old = {check.name: check for check in before if check.name.startswith(PREFIX)}
    decision = at.decision
    if decision is not None and decision.direction == "Back":
        name = REASONS.get(decision.reason)
        if name is not None and decision.leaves == "Failed":
            known = old.get(name, Check(name=name, verdict="Failed"))
            old[name] = known.model_copy(update={"verdict": "Failed", "message": decision.message, "new": None})
        return tuple(old.values())
    if at.candidate is not None and not at.baking:
        return ()
    over = at.serving == at.recorded_stable
    for check in at.judgement.checks:
        known_ = old.get(check.name)
        changed = known_ is None or known_.verdict != check.verdict
        if at.baked or ((check.verdict == "Failed" if over else True) and changed):
            old[check.name] = check
    return tuple(old.values())


def notices(at: Situation) -> Iterator[Says]:
    """Why live traffic cannot be read; nothing is decided by that."""
    wanted = watch(at)
    for version in wanted.versions if wanted else ():
        traffic = (at.seen.live or {}).get(version)
        if traffic is not None and traffic.error is not None:
            yield Says("MetricsUnavailable", "True", *traffic.error)
            return


def _unclear(at: Situation) -> str:
    unclear = (check for check in at.judgement.checks if check.verdict == "Inconclusive")
    return "; ".join(f"{check.name}: {check.message}" for check in unclear)[: MESSAGE_LIMIT - 200]
