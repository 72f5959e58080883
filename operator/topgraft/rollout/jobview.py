"""The slim view of a Job, by which a version is trained."""

from __future__ import annotations

from topgraft.rollout.views import Condition, Object, View, holding


class JobStatus(View):
    ready: int = 0
    failed: int = 0
    succeeded: int = 0
    conditions: tuple[Condition, ...] = ()


class JobSpec(View):
    suspend: bool = False


class Job(Object):
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()

    def condition(self, kind: str) -> Condition | None:
        return holding(self.status.conditions, kind)

    @property
    def failed(self) -> Condition | None:
        return self.condition("Failed")
