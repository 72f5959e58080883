"""What the verification pods found: verdicts on the version, or why there are none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from topgraft.api.verification import Check, TestSuite
from topgraft.rollout.faults import Fault
from topgraft.rollout.termination import MESSAGE_LIMIT, clean, parse
from topgraft.rollout.views import Pod, Terminated

REASONS = {
    "smoke/": "SmokeFailed",
    "golden/errors": "ErrorsIncreased",
    "golden/output": "GoldenMismatch",
    "golden/accuracy": "AccuracyDropped",
    "golden/kl": "DistributionShifted",
    "golden/latency": "LatencyIncreased",
    "tests": "TestsFailed",
}
"""How a check's name begins → the reason when it fails. Of several the first one here is told: the cause, not what
follows from it."""
CHECK_LIMIT = 64
PYTEST = {2: "was interrupted", 3: "internal error", 4: "wrong use, or a path that does not exist", 5: "no test found"}
TAIL = 400
"""Characters of a test suite's last output that stand in its verdict."""
VERDICTS = get_args(Check.model_fields["verdict"].annotation)


@dataclass(frozen=True)
class Outcome:
    """`error`: (reason, text) of what kept the pod from a verdict; the version is not to blame for it."""

    checks: tuple[Check, ...] = ()
    error: tuple[str, str] | None = None
    ended: bool = False

    @property
    def clear(self) -> bool:
        """Whether there are verdicts and none of them is bad."""
        return self.ended and self.error is None and not failed(self.checks)


def failed(checks: Iterable[Check]) -> tuple[Check, ...]:
    """The failed checks, the one to tell first."""
    return tuple(sorted((c for c in checks if c.verdict == "Failed"), key=lambda c: (_rank(c), c.name)))


def inconclusive(checks: Iterable[Check]) -> tuple[Check, ...]:
    return tuple(check for check in checks if check.verdict == "Inconclusive")


def _rank(check: Check) -> int:
    return next((i for i, start in enumerate(REASONS) if check.name.startswith(start)), len(REASONS))


def reason_of(check: Check) -> str:
    return next((reason for start, reason in REASONS.items() if check.name.startswith(start)), "CheckFailed")


def told(check: Check) -> str:
    """One check in words: name, figures, limit, and what the program said of it."""
    figures = [f"{name} {value}" for name in ("old", "new", "limit") if (value := getattr(check, name))]
    return ": ".join(filter(None, (check.name, ", ".join(figures), check.message)))


def failure(checks: Iterable[Check], pod: str, now: datetime) -> Fault | None:
    """The fault of a version with failed checks; `pod` is where the whole report can be read."""
    bad = failed(checks)
    if not bad:
        return None
    more = f"; {len(bad) - 1} more failed" if len(bad) > 1 else ""
    where = f"{more}; the whole report: kubectl logs {pod}"
    return Fault(reason_of(bad[0]), clean(told(bad[0]), MESSAGE_LIMIT - len(where)) + where, True, now, True)


def read_verify(pod: Pod | None) -> Outcome:
    """The verification program's termination message. Its figures come from answers of adapters: all is bounded."""
    ended = _ended(pod, "verify")
    if pod is None or ended is None:
        return _lost(pod)
    said = parse(ended.message)
    checks = _checks(said)
    if ended.exit_code == 0 and checks and not failed(checks):
        return Outcome(checks, ended=True)
    if ended.exit_code == 3 and failed(checks):
        return Outcome(checks, ended=True)
    return Outcome(checks, _error(pod, said, ended), ended=True)


def _lost(pod: Pod | None) -> Outcome:
    """A pod that ended without its container having said anything: rejected, evicted, its node gone."""
    if pod is None or pod.status.phase != "Failed":
        return Outcome()
    text = f"pod {pod.name}: {pod.status.reason or 'Failed'}: {pod.status.message or 'it ended without a report'}"
    return Outcome(error=("VerificationLost", clean(text, MESSAGE_LIMIT)), ended=True)


def _ended(pod: Pod | None, container: str) -> Terminated | None:
    statuses = pod.status.container_statuses if pod else ()
    return next((s.state.terminated for s in statuses if s.name == container), None)


def _error(pod: Pod, said: dict[str, Any] | None, ended: Terminated) -> tuple[str, str]:
    error = said.get("error") if said else None
    if isinstance(error, dict) and re.fullmatch("[A-Z][A-Za-z]{2,63}", str(error.get("reason"))):
        return str(error["reason"]), clean(f"{error.get('message', '')}; log: {pod.name}", MESSAGE_LIMIT)
    why = clean(pod.status.reason or ended.reason, 64)
    text = (
        f"pod {pod.name} ended with exit code {ended.exit_code} ({why}) without a report: {clean(ended.message, 300)}"
    )
    return "VerificationLost", text.rstrip(": ")


def _checks(said: dict[str, Any] | None) -> tuple[Check, ...]:
    """The checks of a report, each under one name, every text cut to what a status may hold."""
    found: dict[str, Check] = {}
    listed = said.get("checks") if said else None
    for one in listed[:CHECK_LIMIT] if isinstance(listed, list) else ():
        if isinstance(one, dict) and one.get("name") and one.get("verdict") in VERDICTS:
            texts = {k: clean(str(one[k]), 256) for k in ("old", "new", "limit") if one.get(k) is not None}
            message = clean(str(one["message"]), MESSAGE_LIMIT) if one.get("message") else None
            name = clean(str(one["name"]), 128)
            found[name] = Check(name=name, verdict=one["verdict"], message=message, **texts)
    return tuple(found.values())


def read_tests(pod: Pod | None, suite: TestSuite) -> Outcome:
    """The test suite's exit code. One that does not end in its time has failed; one that never ran has not."""
    ended = _ended(pod, "test")
    if pod is None or pod.status.phase not in ("Succeeded", "Failed"):
        return Outcome()
    late = pod.status.reason == "DeadlineExceeded"
    if ended is None and not (late and _ran(pod)):
        return _lost(pod)
    if not late and pod.status.reason:
        # Evicted, or the node went away: its containers were killed for no fault of their own.
        return _lost(pod)
    code = ended.exit_code if ended else None
    text = _last_words(ended, suite)
    if late:
        text = f"did not end within spec.verification.testSuite.timeoutSeconds ({suite.timeout_seconds} s); {text}"
    passed = code == 0 and not late
    check = Check(
        name="tests",
        new="not ended" if late or code is None else f"exit code {code}",
        limit="exit code 0",
        verdict="Passed" if passed else "Failed",
        message=None if passed else text.rstrip("; ") or None,
    )
    return Outcome((check,), ended=True)


def _ran(pod: Pod) -> bool:
    return any(s.state.running is not None or s.state.terminated for s in pod.status.container_statuses)


def _last_words(ended: Terminated | None, suite: TestSuite) -> str:
    if ended is None:
        return ""
    hint = PYTEST.get(ended.exit_code, "") if suite.command[:1] == ("pytest",) else ""
    why = "" if ended.reason in ("", "Error", "Completed") else clean(ended.reason, 64)
    return "; ".join(filter(None, (why, hint, clean(ended.message[-TAIL:], TAIL))))
