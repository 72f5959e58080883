"""The course of verification: which version is checked now, by which pods, and what they have found so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from topgraft.api.modelversion import ModelVersion
from topgraft.api.verification import Check, Verification
from topgraft.rollout import candidate, checkpods, routing, verdicts
from topgraft.rollout.barepod import ATTEMPT
from topgraft.rollout.claims import exclusive, on_one_node, shares_node
from topgraft.rollout.conditions import recorded
from topgraft.rollout.faults import Fault, faults_of, refusal_fault
from topgraft.rollout.instructions import Apply, Write
from topgraft.rollout.strategy import by_route, pods_before_requests, strategy
from topgraft.rollout.verdicts import Outcome
from topgraft.rollout.verification import asks_requests, verification_policy
from topgraft.rollout.views import Pod

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

SHORTEST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(seconds=30)
STARTING = timedelta(seconds=60)
"""How long a pod may take to get its container before the progress deadline counts again."""
SETTLED = timedelta(seconds=30)
"""After this time a pod has got over what kept the one before it from a verdict."""
SUITE = "tests"


@dataclass(frozen=True)
class Checking:
    """One version under verification. `gate`: traffic waits for the verdicts; else they are reported only.

    `mark` is what the pods carry, so that an earlier attempt's pods prove nothing.
    """

    version: ModelVersion
    mark: str
    gate: bool
    policy: Verification
    requests: bool
    suite: bool
    first: bool = False
    """Whether the tests come first, beside the old pods: afterwards every second of them is one without an answer."""
    unrunnable: str = ""
    """Why the tests cannot be run."""

    @property
    def name(self) -> str:
        return self.version.metadata.name


def checking(at: Situation) -> Checking | None:
    """What is to be verified now; None where nothing is asked for or all has been told."""
    record = at.candidate
    if at.decision is None or at.baking or record is None:
        return _reporting(at)
    policy = at.verification
    asked = Checking(record, at.goal.attempt, True, policy, asks_requests(policy), policy.test_suite is not None)
    if goes_back(at, record) or not (asked.requests or asked.suite):
        return None
    return replace(asked, first=strategy(at) == "Recreate", unrunnable=_no_place_for_tests(at, record))


def _no_place_for_tests(at: Situation, version: ModelVersion) -> str:
    if exclusive(at, version):
        return "not run: one pod alone may mount the artifacts (ReadWriteOncePod)"
    if strategy(at) == "Recreate" and at.model.spec.strategy.type != "Recreate":
        return "not run: no node has room for a pod beside those that serve"
    return ""


def goes_back(at: Situation, version: ModelVersion) -> bool:
    """Whether the candidate is where the Model was before: an older version that ended its bake, or the fallback.

    Whoever reverts in an incident gets what he had: the version that he leaves is no measure for it.
    """
    if at.goal.trigger == "Fallback":
        return True
    serving = at.versions.get(at.serving or "")
    succeeded = {entry.version for entry in at.model.status.history if entry.outcome == "Succeeded"}
    older = serving is not None and version.metadata.creation_timestamp < serving.metadata.creation_timestamp
    return older and version.metadata.name in succeeded


def started_anew(at: Situation) -> bool:
    """Whether the previous version, which is wanted again, is no standby any more and newer than what serves.

    It then comes in as any new version does: what was found against it since may stand in the verification by now.
    """
    version, live, decision = at.versions.get(at.wanted or ""), at.deployments.get(at.wanted or ""), at.decision
    if version is None or live is None or decision is None or live.metadata.creation_timestamp <= decision.time:
        return False
    asked = asks_requests(at.verification) or at.verification.test_suite is not None
    return asked and not goes_back(at, version)


def _reporting(at: Situation) -> Checking | None:
    """What serves without having passed a gate: the first version, and after a return the version gone back to."""
    decision, version = at.decision, at.versions.get(at.serving or "")
    if decision is None or version is None or at.baking or at.candidate is not None or at.replicas == 0:
        return None
    policy = policy_of(at, at.serving)
    mark = f"{decision.attempt}.{decision.time.timestamp():.0f}"
    if decision.direction == "First":
        known = {check.name.partition("/")[0] for check in at.model.status.checks}
        requests = asks_requests(policy) and not known & {"smoke", "golden"}
        suite = policy.test_suite is not None and SUITE not in known
        why = _no_place_for_tests(at, version)
        asked = Checking(version, mark, False, policy, requests, suite, unrunnable=why)
        return asked if requests or suite else None
    suite = came_back(at) and decision.reason != "Repaired" and policy.test_suite is not None
    if suite and not validated(at) and not exclusive(at, version):
        return Checking(version, mark, False, policy, False, suite=True)
    return None


def came_back(at: Situation) -> bool:
    """Whether what serves is what was there before: by a return to a warm version, or by a pin to a cold one."""
    decision = at.decision
    if decision is None or decision.direction != "Forward" or decision.reason != "Pin" or at.baking:
        return decision is not None and decision.direction == "Back"
    version, left = at.versions.get(decision.to), at.versions.get(decision.origin or "")
    return (
        version is not None
        and left is not None
        and version.metadata.creation_timestamp < left.metadata.creation_timestamp
    )


def policy_of(at: Situation, version: str | None) -> Verification:
    ordered = version == (at.serving if at.bakes_on else at.target.version)
    return at.verification if ordered else verification_policy(at.model, None)


def validated(at: Situation) -> bool:
    """Whether the tests have been run since traffic went back: the condition says so, also after a crash."""
    told, decision = recorded(at.model.status.conditions, "Validated"), at.decision
    if told is None or decision is None or told.status == "Unknown":
        return False
    return told.last_transition_time >= decision.time.replace(microsecond=0)


# -- what the pods have found ---------------------------------------------------------------------------------------
def outcomes(at: Situation, now: Checking) -> list[tuple[str, Outcome]]:
    """(pod's name, what it has found) of each pod that this verification needs, in the order of the work.

    The tests come once the requests are clear, because a busy test suite would slow down what is measured; where the
    old pods end first they come before that.
    """
    found = []
    if now.requests:
        name = checkpods.verify_name(now.name)
        found.append((name, verdicts.read_verify(at.own_pod(name, now.mark))))
    if now.suite and now.policy.test_suite is not None:
        name = checkpods.suite_name(now.name)
        tests = verdicts.read_tests(at.own_pod(name, now.mark), now.policy.test_suite)
        if now.unrunnable:
            check = Check(name=SUITE, verdict="Inconclusive", message=now.unrunnable)
            tests = Outcome((check,), ended=True)
        found.insert(0 if now.first else len(found), (name, tests))
    return found


def rehearsed(at: Situation) -> bool:
    """Whether all has been found that can be before the old pods end, where they end before the new ones start."""
    now = at.checking
    if now is None or not now.gate or not (now.first and now.suite):
        return True
    return outcomes(at, now)[0][1].clear and failing(at) is None


def passed(at: Situation) -> bool:
    """Whether all that is asked of the candidate before it gets any request has been found."""
    now = at.checking
    if now is None or not now.gate:
        return True
    return all(outcome.clear for _, outcome in outcomes(at, now)) and failing(at) is None


def failing(at: Situation) -> Fault | None:
    """Why the candidate is refused: a failed check, or one without verdict where the policy says that this refuses."""
    now = at.checking
    if now is None or not now.gate:
        return None
    for pod, outcome in outcomes(at, now):
        if outcome.error is None and (fault := verdicts.failure(outcome.checks, pod, at.now)):
            return fault
        unclear = verdicts.inconclusive(outcome.checks)
        if outcome.clear and unclear and at.policy.on_inconclusive == "RollBack":
            text = f"{verdicts.told(unclear[0])}; spec.rollback.onInconclusive is RollBack; see kubectl logs {pod}"
            return Fault("Inconclusive", text, True, at.now, True)
    return None


def obstacles(at: Situation) -> list[Fault]:
    """What keeps verification from a verdict, of the environment: nothing is blamed on the version."""
    now = at.checking
    if now is None:
        return []
    found = []
    for name, outcome in outcomes(at, now):
        if text := at.seen.refusals.get(f"Pod/{name}"):
            found.append(refusal_fault(f"Pod {name!r}", text, at.now))
        if outcome.error is not None:
            found.append(Fault(*outcome.error, False, at.now))
        pod = at.own_pod(name, now.mark)
        if pod is not None and pod.status.phase == "Pending":
            # The candidate's pods run the same image: that this one cannot be pulled here is the node's affair.
            found += [replace(f, content=False) for f in faults_of([pod], None, at.seen.pod_events)]
    if now.gate and (text := at.seen.refusals.get(f"Service/{candidate.candidate_name(at.model)}")):
        found.append(refusal_fault(f"Service {candidate.candidate_name(at.model)!r}", text, at.now))
    return found or _told_before(at, now)


def _told_before(at: Situation, now: Checking) -> list[Fault]:
    """The obstacle of the last try, while the next one starts: a reason that comes and goes would wake somebody."""
    record = at.model.status.rollout
    if now.gate and (record is None or record.attempt_hash != now.mark):
        return []
    name, outcome = next(((n, o) for n, o in outcomes(at, now) if not o.ended), ("", Outcome(ended=True)))
    pod = at.own_pod(name, now.mark)
    if outcome.ended or (pod is not None and at.now - pod.metadata.creation_timestamp >= SETTLED):
        return []
    kind = "Verified" if now.gate or now.requests else "Validated"
    told = recorded(at.model.status.conditions, kind)
    if told is None or told.status != "Unknown" or told.reason in ("Verifying", "Inconclusive", "TestsRunning"):
        return []
    return [Fault(told.reason, told.message, False, at.now)]


def busy(at: Situation) -> bool:
    """Whether a verification pod works or is about to: its own deadline counts then, not that of the rollout."""
    now = at.checking
    name = next((n for n, outcome in outcomes(at, now) if not outcome.clear), None) if now else None
    if now is None or name is None or not _may_run(at, now, name):
        return False
    pod = at.own_pod(name, now.mark)
    if pod is None:
        return f"Pod/{name}" not in at.seen.refusals
    starting = pod.status.phase == "Pending" and at.now - pod.metadata.creation_timestamp < STARTING
    return pod.status.phase == "Running" or starting


def progress_text(at: Situation) -> str:
    """What verification does now; "" while it has nothing to do."""
    now = at.checking
    waiting = next((name for name, outcome in outcomes(at, now) if not outcome.clear), None) if now else None
    if now is None or not now.gate or waiting is None or not _may_run(at, now, waiting):
        return ""
    return f"{now.name} is verified by pod {waiting}; {at.serving} serves"


# -- what is made and removed ---------------------------------------------------------------------------------------
def _stands(at: Situation, now: Checking) -> bool:
    """Whether the version is complete, so that it can be asked."""
    return (at.proved or not now.gate) and at.ready(now.name) >= (
        pods_before_requests(at) if now.gate else max(1, at.replicas)
    )


def _may_run(at: Situation, now: Checking, pod: str) -> bool:
    early = now.first and pod == checkpods.suite_name(now.name)
    return at.preflighted if early else _stands(at, now)


def verification_writes(at: Situation, *, preparing: bool) -> Iterator[Write]:
    """The candidate's Service and the next pod; none while the version has too few ready pods to be asked."""
    now = at.checking
    active = now is not None and (preparing or not now.gate)
    asked = now.name if now is not None and active and now.gate else None
    shared = at.candidate.metadata.name if at.candidate is not None and preparing and by_route(at) else None
    yield from candidate.candidate_writes(at, routing.lingering(at) or asked or shared)
    if now is None or not active:
        return
    for name, outcome in outcomes(at, now):
        if not outcome.ended and not _may_run(at, now, name):
            return
        if not outcome.ended and at.own_pod(name) is None:
            body = _suite_pod(at, now) if name == checkpods.suite_name(now.name) else _verify_pod(at, now)
            yield Apply(body, new=True)
        if (now.gate and not outcome.clear) or not outcome.ended:
            return


def _verify_pod(at: Situation, now: Checking) -> dict[str, object]:
    model, policy = at.model, now.policy
    serving = at.pods(at.serving) if now.gate else ()
    told = checkpods.config(model, policy, candidate.candidate_url(model), at.pods(now.name), serving)
    golden = policy.golden.persistent_volume_claim if policy.golden else None
    image, one_node = at.seen.settings.image, shares_node(at, now.version, golden.claim_name if golden else None)
    return checkpods.verify_pod(model, now.version, now.mark, policy, told, image=image, one_node=one_node)


def _suite_pod(at: Situation, now: Checking) -> dict[str, object]:
    version, suite, report = now.version, now.policy.test_suite, at.report(now.version)
    assert suite is not None
    commit = report.contract.commit if report and report.contract else None
    image, one_node = at.image(version), on_one_node(at, version)
    return checkpods.suite_pod(at.model, version, now.mark, suite, image=image, commit=commit, one_node=one_node)


def verifies(pod: Pod) -> bool:
    """Whether this is a verification pod, by its name."""
    version = pod.version or ""
    return pod.name in (checkpods.verify_name(version), checkpods.suite_name(version))


def superfluous(at: Situation, pod: Pod, *, preparing: bool) -> bool:
    """Whether a verification pod may go. It stays while it is needed, and with its log while its verdict is bad."""
    now, mark = at.checking, pod.metadata.annotations.get(ATTEMPT)
    if now is not None and now.name == pod.version:
        if mark != now.mark or (now.gate and not preparing):
            return True
        mine = next((outcome for name, outcome in outcomes(at, now) if name == pod.name), None)
        if mine is not None:
            return mine.error is not None and at.now - pod.metadata.creation_timestamp >= _pause(at, pod)
    version, decision = at.versions.get(pod.version or ""), at.decision
    if version is None or decision is None:
        return True
    if at.candidate is not None and preparing:
        return True
    failure = version.status.failure
    if (failure is not None and failure.attempt_hash == mark) or (pod.version == at.serving and at.baking):
        return False
    current = mark is not None and mark.startswith(f"{decision.attempt}.") and pod.version == at.serving
    return not (current and _bad(at))


def _bad(at: Situation) -> bool:
    """Whether what serves was reported as bad."""
    told = {c.type: c.status for c in at.model.status.conditions}
    return "False" in (told.get("Verified"), told.get("Validated"))


def _pause(at: Situation, pod: Pod) -> timedelta:
    """How long a pod without a verdict stands before the next try: the longer it has been tried the longer."""
    record, decision = at.model.status.rollout, at.decision
    began = record.start_time if record else decision.time if decision else at.now
    return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, (pod.metadata.creation_timestamp - began) / 4))


def retry_time(at: Situation) -> datetime | None:
    """When a pod that came to no verdict is made anew."""
    now = at.checking
    pods = [at.own_pod(name, now.mark) for name, o in outcomes(at, now) if o.error] if now else []
    return min((p.metadata.creation_timestamp + _pause(at, p) for p in pods if p), default=None)


def found_checks(at: Situation) -> tuple[str | None, tuple[Check, ...]]:
    """(version, verdicts) as the pods tell them now; none once the pods are gone."""
    now = at.checking
    if now is not None and not now.gate and came_back(at):
        # Told by the condition Validated: the verdicts in the status are those on the version that was left.
        return None, ()
    if now is None and at.baking and (version := at.versions.get(at.serving or "")) and at.decision:
        policy = policy_of(at, at.serving)
        suite = policy.test_suite is not None
        now = Checking(version, at.decision.attempt, True, policy, asks_requests(policy), suite)
    if now is None:
        return None, ()
    return now.name, tuple(check for _, outcome in outcomes(at, now) for check in outcome.checks)
