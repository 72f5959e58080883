"""The verdicts in the statuses: the list of checks, and the conditions that sum it up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.verification import Check
from topgraft.rollout import live, verdicts, verifying
from topgraft.rollout.conditions import Says, recorded
from topgraft.rollout.content import wire
from topgraft.rollout.instructions import Event
from topgraft.rollout.situation import Situation

MESSAGE_LIMIT = 1024


def model_checks(at: Situation) -> tuple[Check, ...]:
    """The verdicts on the version that is brought in, or was last; they stay when their pods are gone."""
    old, now = at.model.status, at.checking
    version, found = verifying.found_checks(at)
    if now is not None and now.gate:
        begun = old.rollout is not None and old.rollout.attempt_hash == now.mark
        return found or (old.checks if begun else ())
    return _with_live(at, _merged(old.checks, found) if version is not None else old.checks)


def upgrade_checks(at: Situation, upgrade: AdapterUpgrade, *, same: bool) -> tuple[Check, ...]:
    """The verdicts on the version that the upgrade asks for. `same`: its status tells of this attempt."""
    version, found = verifying.found_checks(at)
    kept = upgrade.status.checks if same else ()
    kept = _merged(kept, found) if version is not None and version == at.target.version else kept
    decision = at.decision
    told = decision is not None and at.target.version in (decision.to, decision.origin)
    return _with_live(at, kept) if told else kept


def _with_live(at: Situation, checks: Sequence[Check]) -> tuple[Check, ...]:
    others = [check for check in checks if not check.name.startswith(live.PREFIX)]
    return _merged(others, live.live_checks(at, checks))


def _merged(old: Sequence[Check], new: Sequence[Check]) -> tuple[Check, ...]:
    named = {check.name: check for check in (*old, *new)}
    return tuple(named.values())[: verdicts.CHECK_LIMIT]


def on_wire(checks: Sequence[Check]) -> list[dict[str, Any]] | None:
    return [wire(check) for check in checks] or None


def verified_says(at: Situation, checks: Sequence[Check], *, current: bool) -> Iterator[Says]:
    """Verified, for as long as there is anything to say. `current`: the status tells of what is checked now."""
    checks = [check for check in checks if not check.name.startswith(live.PREFIX)]
    bad, unclear = verdicts.failed(checks), verdicts.inconclusive(checks)
    now = at.checking if current else None
    obstacle = next(iter(verifying.obstacles(at)), None) if now is not None else None
    if bad:
        text = "; ".join(verdicts.told(check) for check in bad)
        yield Says("Verified", "False", verdicts.reason_of(bad[0]), text[:MESSAGE_LIMIT])
    elif obstacle is not None and (checks or now is not None):
        yield Says("Verified", "Unknown", obstacle.reason, obstacle.message)
    elif now is not None and not all(outcome.clear for _, outcome in verifying.outcomes(at, now)):
        yield Says("Verified", "Unknown", "Verifying", f"{now.name} is verified")
    elif unclear:
        yield Says("Verified", "Unknown", "Inconclusive", "; ".join(map(verdicts.told, unclear))[:MESSAGE_LIMIT])
    elif checks:
        yield Says("Verified", "True", "ChecksPassed", f"{len(checks)} checks passed")


def validated_says(at: Situation) -> Iterator[Says]:
    """Validated: whether the tests pass on what serves again after a return. Traffic stays in any case."""
    decision, suite = at.decision, verifying.policy_of(at, at.serving).test_suite
    if decision is None or not verifying.came_back(at) or suite is None:
        return
    old = recorded(at.model.status.conditions, "Validated")
    if old is not None and verifying.validated(at):
        yield Says("Validated", old.status, old.reason, old.message)
        return
    now = at.checking
    if now is None or now.gate:
        return
    name, outcome = verifying.outcomes(at, now)[-1]
    obstacle = next(iter(verifying.obstacles(at)), None)
    if obstacle is not None:
        yield Says("Validated", "Unknown", obstacle.reason, obstacle.message)
    elif not outcome.ended:
        yield Says("Validated", "Unknown", "TestsRunning", f"pod {name} tests {now.name}, which serves again")
    elif fault := verdicts.failure(outcome.checks, name, at.now):
        yield Says("Validated", "False", fault.reason, f"{now.name} serves again and stays: {fault.message}")
    else:
        yield Says("Validated", "True", "TestsPassed", f"the tests of {now.name}, which serves again, passed")


def report_event(at: Situation, regarding: dict[str, str]) -> Iterator[Event]:
    """The end of a verification that holds nothing up, told once: with the status write that records it."""
    now = at.checking
    if now is None or now.gate:
        return
    for name, outcome in verifying.outcomes(at, now):
        if not outcome.ended or outcome.error is not None:
            continue
        if fault := verdicts.failure(outcome.checks, name, at.now):
            yield Event(regarding, "Warning", fault.reason, f"{now.name} serves and stays: {fault.message}")
        elif name.endswith("-test"):
            yield Event(regarding, "Normal", "TestsPassed", f"the tests of {now.name}, which serves, passed")
