"""The summary that people, Argo CD and kstatus read first: Ready, and Reconciling or Stalled where True."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from topgraft.api.branch import State
from topgraft.governance.training import UNTRAINED_REASON
from topgraft.rollout.conditions import Says
from topgraft.rollout.progress import Phase, Progress

AWAITED = ("NoVersion", "VersionNotFound", "NotSubmitted", "CheckNotPassed", UNTRAINED_REASON)
"""Reasons of waiting for an object or a word that only a user can bring, or for the end of a training."""
ACTIVE = (Phase.PREPARING, Phase.WAITING, Phase.QUEUED, Phase.CLOSED, Phase.HELD, Phase.SETTLING, Phase.BAKING)
STUCK = (Phase.BLOCKED, Phase.BACKOFF, Phase.REQUEUED, Phase.RETRYING)
HISTORY_LIMIT = 10
CONTRACT_NONE = "spec.adapter.contract is None: class and API are not checked"


def without_nulls(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}


def state_of(ready: int, replicas: int, *, faulty: bool) -> State:
    """The state of pods that are wanted, in S0's word (P23). With 0 replicas it is ACTIVE, and nothing is ready."""
    if ready >= replicas:
        return "ACTIVE"
    if ready == 0:
        return "FAILED" if faulty else "STARTING"
    return "DEGRADED"


def ready_says(step: Progress) -> Iterator[Says]:
    """Ready, and Reconciling, Stalled or Suspended where True: what Argo CD and kstatus read."""
    match step.phase:
        case Phase.CLOSED | Phase.HELD:
            yield Says("Ready", "Unknown", step.reason, step.message)
            yield Says("Suspended", "True", step.reason, step.message)
        case Phase.STEADY:
            yield Says("Ready", "True", step.reason, step.message)
        case Phase.UNDECIDED if step.reason in AWAITED:
            yield Says("Ready", "False", step.reason, step.message)
            yield Says("Reconciling", "True", step.reason, step.message)
        case Phase.UNDECIDED | Phase.FAILED:
            yield Says("Ready", "False", step.reason, step.message)
            yield Says("Stalled", "True", step.reason, step.message)
        case phase if phase in STUCK:
            yield Says("Ready", "False", step.reason, step.message)
            yield Says("Stalled", "True", step.reason, step.message)
        case _:
            yield Says("Ready", "Unknown", step.reason, step.message)
            yield Says("Reconciling", "True", step.reason, step.message)
