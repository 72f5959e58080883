"""The course of a sandbox: any version of the Model started aside, its tests run once, all gone after its time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from topgraft.api.modelversion import ModelVersion
from topgraft.api.sandbox import SandboxStatus
from topgraft.api.verification import Check, TestSuite
from topgraft.governance import training
from topgraft.rollout import sandboxpods, verdicts
from topgraft.rollout.barepod import ATTEMPT
from topgraft.rollout.claims import exclusive, on_one_node
from topgraft.rollout.conditions import Says, rfc3339
from topgraft.rollout.content import digest, wire
from topgraft.rollout.derive import content_of
from topgraft.rollout.faults import Fault, faults_of, refusal_fault
from topgraft.rollout.instructions import Apply, Delete, Event, Write
from topgraft.rollout.podspec import mount_clash
from topgraft.rollout.verdicts import Outcome
from topgraft.rollout.views import NetworkPolicy, Pod

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

PAUSE = timedelta(seconds=60)
"""How long a pod that ended stands before the next one is made: a node that rejects it would reject that, too."""


@dataclass(frozen=True)
class Run:
    """One run of a version. `start` counts once it is on record: pods are made only then, and carry it."""

    version: ModelVersion
    start: datetime
    ends: datetime
    recorded: bool
    over: bool

    @property
    def name(self) -> str:
        return self.version.metadata.name

    @property
    def mark(self) -> str:
        """What the pods carry: those of another run, or of other content under the same name, prove nothing."""
        return f"{content_of(self.version)}.{self.start.timestamp():.0f}"


def run_of(at: Situation) -> Run | None:
    """The run that is asked for; None where none is, or its version does not exist or is not trained yet."""
    asked = at.model.spec.sandbox
    version = at.versions.get(asked.version) if asked else None
    if asked is None or version is None or training.objection(version) is not None:
        return None
    old = _recorded(at, asked.version)
    begun = old.start_time if old is not None else None
    start = begun or at.now.replace(microsecond=0)
    ends = start + timedelta(seconds=asked.ttl_seconds)
    return Run(version, start, ends, recorded=begun is not None, over=at.now >= ends)


def _recorded(at: Situation, name: str) -> SandboxStatus | None:
    """The record of the run of this very version; of other content under its name it says nothing.

    One without content is an older release's: nothing ends because of a newer one.
    """
    old, version = at.model.status.sandbox, at.versions.get(name)
    if old is None or old.version != name:
        return None
    return old if version is None or old.content in (None, content_of(version)) else None


def used_version(at: Situation) -> str | None:
    """The version that must not be pruned for the sandbox."""
    return at.model.spec.sandbox.version if at.model.spec.sandbox else None


def look_again(at: Situation) -> list[datetime]:
    """When time alone changes what is to be done."""
    run = run_of(at)
    if run is None or run.over:
        return []
    pods = (_pod(at, run, name) for name in (sandboxpods.pod_name(run.name), sandboxpods.suite_name(run.name)))
    tries = [p.metadata.creation_timestamp + PAUSE for p in pods if p is not None and _spent(p)]
    return [run.ends, *tries]


# -- what is made and removed ---------------------------------------------------------------------------------------
def sandbox_writes(at: Situation) -> Iterator[Write]:
    """Pods of this run that are missing, and the end of all others."""
    run = run_of(at)
    active = run is not None and run.recorded and not run.over
    # Rather no sandbox than one that others reach: a policy that cannot be written again takes the pods with it.
    exposed = _policy(at) in at.seen.refusals and not _isolated(at)
    for pod in at.seen.pods:
        mine = pod.role == sandboxpods.ROLE and at.owns(pod) and pod.metadata.deletion_timestamp is None
        current = active and run is not None and pod.metadata.annotations.get(ATTEMPT) == run.mark
        if mine and (exposed or not current or (_spent(pod) and at.now - pod.metadata.creation_timestamp >= PAUSE)):
            yield Delete("Pod", pod.metadata.namespace, pod.name, pod.metadata.uid)
    if active and run is not None:
        yield from _missing(at, run)


def _missing(at: Situation, run: Run) -> Iterator[Write]:
    server, suite, image = at.own_pod(sandboxpods.pod_name(run.name)), _suite(at), at.image(run.version)
    if server is None and _unfit(at, run) is not None:
        return
    if not _isolated(at):
        # Before its pod: there is no moment in which others reach it.
        yield Apply(sandboxpods.network_policy(at.model), new=_live_policy(at) is None)
        if _policy(at) in at.seen.refusals:
            return
    if server is None:
        one_node = on_one_node(at, run.version)
        yield Apply(sandboxpods.server_pod(at.model, run.version, run.mark, image, one_node=one_node), new=True)
        return
    tested = _verdict(at, run) is not None or at.own_pod(sandboxpods.suite_name(run.name)) is not None
    if suite is not None and server.ready and not tested:
        one_node = on_one_node(at, run.version)
        body = sandboxpods.suite_pod(at.model, run.version, run.mark, suite, server, image=image, one_node=one_node)
        yield Apply(body, new=True)


def _unfit(at: Situation, run: Run) -> tuple[str, str] | None:
    """Why the version cannot run beside what serves."""
    if text := mount_clash(at.model, [run.version]):
        return "MountPathTaken", text
    if not exclusive(at, run.version):
        return None
    text = f"one pod alone may mount the artifacts of {run.name} (ReadWriteOncePod): it cannot run beside"
    return "VolumeExclusive", text


def _policy(at: Situation) -> str:
    return f"NetworkPolicy/{sandboxpods.policy_name(at.model.metadata.name)}"


def _live_policy(at: Situation) -> NetworkPolicy | None:
    return at.own(at.seen.policies, sandboxpods.policy_name(at.model.metadata.name))


def _isolated(at: Situation) -> bool:
    """Whether the policy stands, as it should be."""
    live = _live_policy(at)
    return live is not None and live.content == digest(sandboxpods.network_policy(at.model)["spec"])


def _suite(at: Situation) -> TestSuite | None:
    asked = at.model.spec.sandbox
    return (asked.test_suite if asked else None) or at.model.spec.verification.test_suite


def _pod(at: Situation, run: Run, name: str) -> Pod | None:
    return at.own_pod(name, run.mark)


def _spent(pod: Pod) -> bool:
    """Whether a pod ended without having told anything: evicted, rejected, its node gone."""
    if pod.name.endswith("-sandbox"):
        return pod.status.phase in ("Failed", "Succeeded")
    return _outcome(pod, TestSuite()).error is not None


def _outcome(pod: Pod | None, suite: TestSuite) -> Outcome:
    return verdicts.read_tests(pod, suite)


def _told(at: Situation) -> Check | None:
    """The verdict that is on record: it stays when its pod is gone, and the tests are not run again."""
    asked = at.model.spec.sandbox
    old = _recorded(at, asked.version) if asked is not None else None
    return old.tests if old is not None else None


def _verdict(at: Situation, run: Run) -> Check | None:
    suite = _suite(at)
    if (known := _told(at)) is not None or suite is None:
        return known
    outcome = _outcome(_pod(at, run, sandboxpods.suite_name(run.name)), suite)
    return next(iter(outcome.checks), None) if outcome.ended and outcome.error is None else None


# -- what is told ---------------------------------------------------------------------------------------------------
def sandbox_status(at: Situation) -> dict[str, Any] | None:
    asked, run = at.model.spec.sandbox, run_of(at)
    if asked is None:
        return None
    if run is None:
        return {"version": asked.version}
    verdict = _verdict(at, run)
    told = {
        "version": run.name,
        "content": content_of(run.version),
        "startTime": rfc3339(run.start),
        "expireTime": rfc3339(run.ends),
    }
    if not run.over:
        told["pod"] = sandboxpods.pod_name(run.name)
    return told | ({"tests": wire(verdict)} if verdict is not None else {})


def sandbox_says(at: Situation) -> Iterator[Says]:
    """SandboxReady while a sandbox is asked for, SandboxTested while there is anything to say of its tests."""
    asked, run = at.model.spec.sandbox, run_of(at)
    if asked is None:
        return
    if run is None:
        version = at.versions.get(asked.version)
        if version is not None and (found := training.objection(version)) is not None:
            yield Says("SandboxReady", "False", found.reason, found.message)
            return
        text = f"spec.sandbox.version names ModelVersion {asked.version!r}, which this Model does not have: create it"
        yield Says("SandboxReady", "False", "VersionNotFound", text)
        return
    yield _ready_says(at, run)
    verdict = _verdict(at, run)
    if verdict is not None:
        passed = verdict.verdict == "Passed"
        text = f"the tests of {run.name}: {verdicts.told(verdict)}"
        yield Says("SandboxTested", "True" if passed else "False", "TestsPassed" if passed else "TestsFailed", text)
    elif (suite := _suite(at)) is not None and not run.over:
        yield _tests_says(at, run, suite)


def _ready_says(at: Situation, run: Run) -> Says:
    kind, name = "SandboxReady", sandboxpods.pod_name(run.name)
    if run.over:
        text = f"its time was over at {rfc3339(run.ends)}: another version, or more spec.sandbox.ttlSeconds, starts it"
        return Says(kind, "False", "SandboxExpired", f"the sandbox of {run.name} is gone: {text}")
    pod = _pod(at, run, name)
    if pod is None and (unfit := _unfit(at, run)):
        return Says(kind, "False", *unfit)
    if fault := next(iter(_faults(at, pod, name)), None):
        return Says(kind, "False", fault.reason, fault.message)
    if pod is not None and not _isolated(at):
        text = f"others may reach pod {name}: its NetworkPolicy was deleted or changed, and is being written again"
        return Says(kind, "False", "NotIsolated", text)
    if pod is not None and pod.ready:
        text = f"pod {name} runs {run.name} until {rfc3339(run.ends)}; kubectl port-forward reaches it"
        return Says(kind, "True", "SandboxRunning", text)
    return Says(kind, "Unknown", "SandboxStarting", f"pod {name} starts")


def _faults(at: Situation, pod: Pod | None, name: str) -> list[Fault]:
    targets = ((f"Pod/{name}", f"Pod {name!r}"), (_policy(at), "the sandbox's NetworkPolicy"))
    found = [refusal_fault(told, text, at.now) for key, told in targets if (text := at.seen.refusals.get(key))]
    return found + (faults_of([pod], None, at.seen.pod_events) if pod is not None else [])


def _tests_says(at: Situation, run: Run, suite: TestSuite) -> Says:
    name = sandboxpods.suite_name(run.name)
    pod = _pod(at, run, name)
    if text := at.seen.refusals.get(f"Pod/{name}"):
        fault = refusal_fault(f"Pod {name!r}", text, at.now)
        return Says("SandboxTested", "Unknown", fault.reason, fault.message)
    if pod is None:
        return Says("SandboxTested", "Unknown", "SandboxStarting", f"the tests begin once {run.name} is ready")
    error = _outcome(pod, suite).error
    if error is not None:
        return Says("SandboxTested", "Unknown", *error)
    return Says("SandboxTested", "Unknown", "TestsRunning", f"pod {name} tests {run.name}")


def sandbox_events(at: Situation, about: dict[str, str]) -> Iterator[Event]:
    """The verdict and the end, each told once: the status that records it comes with it."""
    run = run_of(at)
    if run is None:
        return
    if _told(at) is None and (verdict := _verdict(at, run)) is not None:
        passed, text = verdict.verdict == "Passed", f"sandbox of {run.name}: {verdicts.told(verdict)}"
        yield Event(about, "Normal" if passed else "Warning", "TestsPassed" if passed else "TestsFailed", text)
    told = {c.type: c.reason for c in at.model.status.conditions}.get("SandboxReady")
    if run.over and run.recorded and told != "SandboxExpired":
        yield Event(about, "Normal", "SandboxExpired", f"the sandbox of {run.name} is gone")
