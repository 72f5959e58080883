"""The slim view of a Job, by which a version is trained."""

from __future__ import annotations

from topgraft.rollout.views import Object, View


class JobCondition(View):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class JobStatus(View):
    ready: int = 0
    failed: int = 0
    succeeded: int = 0
    conditions: tuple[JobCondition, ...] = ()


class JobSpec(View):
    suspend: bool = False


class Job(Object):
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()

    def condition(self, kind: str) -> JobCondition | None:
        return next((c for c in self.status.conditions if c.type == kind and c.status == "True"), None)

    @property
    def failed(self) -> JobCondition | None:
        return self.condition("Failed")
