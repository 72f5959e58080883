"""Where a Model stands: what serves, what is stable, what is wanted. Derived anew from the objects on every look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeVar

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.model import Model, Rollout
from topgraft.api.modelversion import Failure, ModelVersion
from topgraft.api.verification import Verification
from topgraft.governance.submissions import submitted
from topgraft.rollout import (
    branches,
    condemned,
    defect,
    gate,
    health,
    live,
    mlflow,
    proof,
    quick,
    verification,
    verifying,
)
from topgraft.rollout.barepod import ATTEMPT
from topgraft.rollout.claims import exclusive
from topgraft.rollout.derive import content_of
from topgraft.rollout.ending import ending_faults
from topgraft.rollout.fallback import fallbacks
from topgraft.rollout.faults import Fault, faults_of, refusal_fault
from topgraft.rollout.observed import Observed
from topgraft.rollout.podspec import kept_digest, mount_clash, pinned_image
from topgraft.rollout.policy import RollbackPolicy, rollback_policy
from topgraft.rollout.preflight import (
    Report,
    must_recheck,
    preflight_name,
    read_recheck,
    read_report,
    recheck_name,
    with_artifact,
)
from topgraft.rollout.render import SERVICE_NAME
from topgraft.rollout.target import Target, attempt_hash, choose
from topgraft.rollout.views import CONTENT, Decision, Deployment, Object, Pod, Service

T = TypeVar("T", bound=Object)


@dataclass(frozen=True)
class Situation:
    """One look at one Model. Properties are facts; none of them decides to write anything.

    Words: `serving` is what the Service was last decided to select; `stable` the last version that ended its bake;
    they differ exactly while a new version bakes. `wanted` is the target, or what serves in its place once it failed.
    """

    seen: Observed
    model: Model
    now: datetime

    # Answers that others work out, once a look.
    refused_at_once = cached_property(proof.refused_at_once)
    refusal = cached_property(proof.refusal)
    preflighted = cached_property(proof.preflighted)
    proved = cached_property(proof.proved)
    checking = cached_property(verifying.checking)
    judgement = cached_property(live.judgement)
    serving_fault = cached_property(health.serving_fault)
    registration = cached_property(mlflow.wanted)
    branch_runs = cached_property(branches.current)
    branches = cached_property(branches.runs)
    deferred = cached_property(gate.after_bake)
    bakes_on = cached_property(gate.bakes_on)

    @cached_property
    def versions(self) -> dict[str, ModelVersion]:
        return {v.metadata.name: v for v in self.seen.versions}

    @cached_property
    def submitted(self) -> dict[str, list[ModelVersion]]:
        return submitted(self.seen.versions)

    @cached_property
    def deployments(self) -> dict[str, Deployment]:
        """By version; only those that this Model owns."""
        mine = filter(self.owns, self.seen.deployments)
        return {d.name: d for d in mine if d.version == d.name and d.metadata.deletion_timestamp is None}

    @cached_property
    def service(self) -> Service | None:
        mine = self.own(self.seen.services, self.model.metadata.name)
        return mine if mine is not None and mine.metadata.deletion_timestamp is None else None

    @cached_property
    def decision(self) -> Decision | None:
        """The last decision. Where somebody removed it, with the Service or without, the status stands in."""
        service, status = self.service, self.model.status
        if service is not None and service.decision is not None:
            return service.decision
        to = status.serving_version or (service.selects if service else None)
        if to is None:
            return None
        baking = status.stable_version is not None and status.stable_version != to
        return Decision(
            attempt=status.rollout.attempt_hash if baking and status.rollout else "",
            direction="Forward" if baking else "Back",
            to=to,
            origin=status.stable_version if baking else status.previous_version,
            reason="Repaired",
            message="the Service or its decision was gone: written again from the Model's status",
            time=self.now,
            baseline=status.baseline if baking else None,
        )

    @property
    def serving(self) -> str | None:
        return self.decision.to if self.decision else None

    @property
    def recorded_stable(self) -> str | None:
        """Trusts the decision, not the status: that alone says what was left, and why, also after a crash."""
        decision = self.decision
        if decision is None:
            return None
        ended = self.model.status.stable_version == decision.to
        return decision.to if decision.direction != "Forward" or ended else decision.origin

    @cached_property
    def baked(self) -> bool:
        """Whether this very look ends the bake: its time is over and all pods are ready."""
        ends = self.bake_ends
        if ends is None or self.now < ends or self.wanted != self.serving or self.serving_fault is not None:
            return False
        return self.ready(self.serving) >= self.replicas and (not self.recheck_due or self.recheck.artifact is not None)

    @property
    def recheck_due(self) -> bool:
        """Whether the bake is over in time and the artifacts have to be read once more before it counts.

        Where they were not read before the switch, it begins at once.
        """
        version, ends = self.versions.get(self.serving or ""), self.bake_ends
        if version is None or ends is None or (self.now < ends and not quick.unread(self)):
            return False
        return must_recheck(version) and not exclusive(self, version)

    @cached_property
    def recheck(self) -> Report:
        pod = self.own_pod(recheck_name(self.serving or ""), *self.attempts)
        return read_recheck(pod) if pod else Report()

    @property
    def stable(self) -> str | None:
        return self.serving if self.baked else self.recorded_stable

    @property
    def baking(self) -> bool:
        return self.serving != self.stable

    @property
    def previous(self) -> str | None:
        """The version that a rollback would go to."""
        decision = self.decision
        return decision.origin if decision and decision.leaves == "Standby" else None

    @cached_property
    def target(self) -> Target:
        return choose(self.model, self.versions, self.seen.upgrades, self.serving)

    def failure_of(self, version: str | None, attempt: str) -> Failure | None:
        """The remembered failure of exactly this attempt. A decision that left the version as failed counts too:
        it was written first."""
        record = self.versions.get(version or "")
        failure = record.status.failure if record else None
        if failure is not None and failure.attempt_hash == attempt:
            return failure
        decision = self.decision
        if decision and decision.leaves == "Failed" and decision.origin == version and decision.attempt == attempt:
            return Failure(attempt_hash=attempt, reason=decision.reason, message=decision.message, time=decision.time)
        reported = condemned.reported(self, version)
        return reported if reported is not None and reported.attempt_hash == attempt else None

    @cached_property
    def defect(self) -> defect.Report | None:
        """The defect report that has not acted yet, with its version."""
        report, known = defect.read(self.model.metadata.annotations)[0], self.model.status.defects
        decided = self.decision.defect if self.decision else None
        return defect.pending(report, known, decided, self.serving)

    @cached_property
    def failure(self) -> Failure | None:
        """Why the target is not what serves, if it failed."""
        return self.failure_of(self.target.version, self.target.attempt)

    @cached_property
    def goal(self) -> Target:
        """The target; after its failure the stable version, else the base under its own adapter.

        What bakes stays the goal while a gate would hold the target, or where that has failed before.
        """
        target, decision = self.target, self.decision
        if self.bakes_on and decision is not None:
            return replace(target, version=decision.to, trigger=decision.reason, attempt=decision.attempt, body=None)
        if target.version is None or self.failure is None:
            return target
        for name in fallbacks(self):
            instead = replace(target, version=name, trigger="Fallback", body=None)
            instead = replace(instead, attempt=attempt_hash(self.model, self.versions, instead))
            if name == self.recorded_stable or (name in self.versions and not self.failure_of(name, instead.attempt)):
                return instead
        return replace(target, version=None)

    @property
    def wanted(self) -> str | None:
        """The version that should serve. An undecidable target (a typo, an ambiguity) changes nothing."""
        return self.goal.version or (self.serving if self.target.version is None else self.recorded_stable)

    @cached_property
    def policy(self) -> RollbackPolicy:
        return rollback_policy(self.model, self.order)

    @property
    def order(self) -> AdapterUpgrade | None:
        """The upgrade whose rollback and verification are in force: of a bake that goes on the one that began it."""
        if not self.bakes_on:
            return self.target.order
        begun = (self.goal.version, self.goal.attempt)
        return next((u for u in self.seen.upgrades if (u.status.to_version, u.status.attempt_hash) == begun), None)

    @property
    def replicas(self) -> int:
        return self.model.spec.serving.replicas

    def pods(self, version: str | None) -> tuple[Pod, ...]:
        """Serving pods of a version that its Deployment made."""
        return tuple(self._pods.get(version or "", ()))

    @cached_property
    def _pods(self) -> dict[str, list[Pod]]:
        return health.serving_pods(self.seen.pods)

    def ready(self, version: str | None) -> int:
        """Ready serving pods of a version; pods that terminate do not count."""
        return sum(pod.ready for pod in self.pods(version))

    @cached_property
    def candidate(self) -> ModelVersion | None:
        """The version that is to be prepared: wanted, neither serving nor stable."""
        wanted = self.wanted
        if wanted is None or wanted in (self.serving, self.stable) or self.returning:
            return None
        return self.versions.get(wanted)

    @property
    def returning(self) -> bool:
        """Whether the wanted version is the standby, which was verified and baked: it needs no new proof."""
        back = self.wanted == self.previous and self.wanted != self.serving and self.ready(self.wanted) > 0
        return back and not verifying.started_anew(self)

    @property
    def warm(self) -> bool:
        """Whether the standby can take the traffic now: with no fewer ready pods than serve, up to the full size.

        One warm pod must not get the load of twenty healthy ones; where those are not healthy it may.
        """
        return self.returning and self.carries(self.wanted)

    def carries(self, version: str | None) -> bool:
        """Whether a version has enough ready pods to take over from what serves."""
        return self.ready(version) >= min(self.replicas, max(1, self.ready(self.serving)))

    def own_pod(self, name: str, *attempts: str) -> Pod | None:
        """The bare pod of that name: of this Model, for one of these attempts. Others prove nothing."""
        pod = self.own(self.seen.pods, name)
        this = pod is not None and (not attempts or pod.metadata.annotations.get(ATTEMPT) in attempts)
        return pod if this else None

    def own(self, seen: Iterable[T], name: str) -> T | None:
        """The object of that name, where it is this Model's."""
        return next((one for one in seen if one.name == name and self.owns(one)), None)

    def owns(self, child: Object) -> bool:
        return child.metadata.owned_by(self.model.metadata.uid)

    def preflight_of(self, version: ModelVersion) -> Pod | None:
        return self.own_pod(preflight_name(version.metadata.name), *self.attempts)

    @property
    def attempts(self) -> tuple[str, str]:
        """What a preflight or recheck may answer for: what is tried, and what was decided last."""
        return (self.goal.attempt, self.decision.attempt if self.decision else "")

    @property
    def rollout(self) -> Rollout | None:
        """What the status tells of this very attempt; None where it has not begun."""
        record = self.model.status.rollout
        this = (self.goal.version, self.goal.attempt)
        return record if record is not None and (record.to, record.attempt_hash) == this else None

    def report(self, version: ModelVersion) -> Report | None:
        """What the preflight found; on an exclusive volume with what the version's own pods read of the artifacts."""
        name = version.metadata.name
        if name not in self._reports:
            pod = self.preflight_of(version)
            report = read_report(pod, version) if pod else None
            self._reports[name] = (
                with_artifact(report, self.pods(name), version) if report and report.exclusive else report
            )
        return self._reports[name]

    @cached_property
    def _reports(self) -> dict[str, Report | None]:
        """By version: a look asks a dozen times, and each answer is JSON to be parsed."""
        return {}

    @cached_property
    def verification(self) -> Verification:
        return verification.verification_policy(self.model, self.order)

    @property
    def listed(self) -> frozenset[str]:
        """The addresses in the controller's slices: where the Service's requests can go."""
        mine = (s for s in self.seen.slices if s.metadata.labels.get(SERVICE_NAME) == self.model.metadata.name)
        return frozenset(address for one in mine if not one.ours for address in one.addresses)

    def parent(self, version: ModelVersion) -> ModelVersion | None:
        return self.versions.get(version.spec.parent_version or "")

    def image(self, version: ModelVersion, live: Deployment | None = None) -> str:
        """What the version's pods run. Invariant: its digest stays the one that was proved, whatever the tag became and
        whatever somebody else put into `live` (by default its Deployment in production), which counts last."""
        report, recorded = self.report(version), version.status.adapter
        digest = (report.image_digest if report else "") or (recorded.image_digest if recorded else None)
        live = live or self.deployments.get(version.metadata.name)
        return pinned_image(version, digest or (kept_digest(version, live.image) if live else ""))

    def faults(self, version: str | None) -> list[Fault]:
        """What keeps the version's pods from being made or from being ready."""
        deployment = self.deployments.get(version or "")
        found = faults_of(self.pods(version), deployment, self.seen.pod_events)
        if text := self.seen.refusals.get(f"Deployment/{version}"):
            found.append(refusal_fault(f"Deployment {version!r}", text, self.now))
        return [*found, *ending_faults(self, version)]

    @property
    def way_back(self) -> str | None:
        """Where the Service would go at once if what serves fails: a version with a ready pod, or nowhere."""
        back = self.stable if self.baking else self.previous
        return back if back and back != self.serving and self.ready(back) > 0 else None

    @cached_property
    def attempt_of_serving(self) -> str:
        """The attempt under which a failure of what serves is remembered."""
        if self.serving == self.target.version:
            return self.target.attempt
        if self.bakes_on:
            return self.goal.attempt
        other = replace(self.target, version=self.serving, trigger="Fallback")
        return attempt_hash(self.model, self.versions, other)

    @property
    def bake_ends(self) -> datetime | None:
        """When the bake is over; None outside of one. At 0 replicas there is nothing to watch."""
        if self.serving == self.recorded_stable or self.decision is None:
            return None
        return self.decision.time + timedelta(seconds=live.bake_seconds(self))

    @property
    def standby_ends(self) -> datetime | None:
        decision, finished = self.decision, self.model.status.finished_time
        if decision is None or self.previous is None:
            return None
        since = finished if finished and finished > decision.time else decision.time
        return since + timedelta(seconds=self.policy.standby_seconds)

    def replaced(self, name: str | None) -> bool:
        """Whether the record was re-created under its name with other content than its Deployment runs."""
        version, live = self.versions.get(name or ""), self.deployments.get(name or "")
        marked = live.metadata.annotations.get(CONTENT) if live else None
        return version is not None and marked is not None and marked != content_of(version)

    @property
    def involved(self) -> frozenset[str | None]:
        """The versions that anything may happen to on this look."""
        origin = self.decision.origin if self.decision else None
        return frozenset((self.serving, self.stable, origin, self.wanted, self.target.version))

    @cached_property
    def mount_clash(self) -> str:
        waits = {self.target.version} if self.bakes_on else set()
        named = sorted(filter(None, self.involved - waits))
        return mount_clash(self.model, [self.versions[name] for name in named if name in self.versions])
