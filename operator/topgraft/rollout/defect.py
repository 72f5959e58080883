"""Defects that people report: one annotation on the Model, which the operator reads and never writes.

The annotation `topgraft.dev/defect` is `<severity>:<id>[@<version>]`. P0 against the version that serves, or that is
being brought in, is an order to leave it; anything else is recorded. Each report acts once: afterwards it stands in the
decision or in `status.defects`, so neither a crash nor a left-over annotation repeats it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from topgraft.api.model import Defect
from topgraft.rollout.conditions import rfc3339
from topgraft.rollout.content import wire
from topgraft.rollout.termination import clean
from topgraft.rollout.views import DEFECT

FORM = "<severity>:<id>[@<version>], such as P0:BUG-1234@digits-1a2b3c4d"
LIMIT = 10
SHOWN = 100
ORDERS_ROLLBACK = "P0"
REASON = "DefectReported"

_REPORT = re.compile(r"(P[0-9]):([A-Za-z0-9][A-Za-z0-9._/#+-]{0,127})(?:@([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?))?")


@dataclass(frozen=True)
class Report:
    """A defect `id` of a `severity` from P0 (worst) to P9; `version` is None where what serves is meant."""

    severity: str
    id: str
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.severity}:{self.id}" + (f"@{self.version}" if self.version else "")

    def covers(self, other: Report) -> bool:
        """Whether `other`, which may leave its version open, is this very report again."""
        same = (self.severity, self.id) == (other.severity, other.id)
        return same and other.version in (None, self.version)


def parse(text: str) -> Report:
    """Read an annotation's value; raises ValueError that names the value and the form."""
    found = _REPORT.fullmatch(text)
    if found is None:
        raise ValueError(f"{clean(text, SHOWN)!r} is not of the form {FORM}")
    return Report(*found.groups())


def report_defect(defect_id: str, severity: str = ORDERS_ROLLBACK, version: str | None = None) -> dict[str, Any]:
    """The merge patch of a Model that reports a defect.

    `severity` is P0 to P9, `version` the name of a ModelVersion; without it the one that serves when the operator
    sees the report. P0 makes the operator leave that version. Raises ValueError for what no annotation can say.

    >>> report_defect("BUG-1234", "P0", "digits-1a2b3c4d")
    {'metadata': {'annotations': {'topgraft.dev/defect': 'P0:BUG-1234@digits-1a2b3c4d'}}}
    """
    report = Report(severity, defect_id, version)
    if parse(str(report)) != report:
        raise ValueError(f"{clean(str(report), SHOWN)!r} is not of the form {FORM}")
    return {"metadata": {"annotations": {DEFECT: str(report)}}}


def read(annotations: dict[str, str]) -> tuple[Report | None, str]:
    """The report that stands on a Model, and what is wrong with it."""
    text = annotations.get(DEFECT)
    if text is None:
        return None, ""
    try:
        return parse(text), ""
    except ValueError as wrong:
        return None, f"annotation {DEFECT}: {wrong}; nothing was done"


def pending(report: Report | None, known: Iterable[Defect], decided: str | None, serving: str | None) -> Report | None:
    """The report with its version, unless it has acted already: by `known` or by the decision's `decided`.

    Where nothing serves, a report without a version is about nothing, and never will be about what comes later.
    """
    if report is None:
        return None
    told = [Report(one.severity, one.id, one.version) for one in known]
    if (one := _decided(decided)) is not None:
        told.append(one)
    if any(one.covers(report) for one in told):
        return None
    return Report(report.severity, report.id, report.version or serving or "")


def recorded(
    known: Iterable[Defect], decided: tuple[str, datetime] | None, new: Report | None, now: datetime
) -> list[dict[str, Any]]:
    """`status.defects`: what was known, what the decision tells, what is new; the newest first."""
    entries = list(known)
    for report, time in ((_decided(decided[0]), decided[1]) if decided else (None, now), (new, now)):
        if report is not None and not any(Report(e.severity, e.id, e.version).covers(report) for e in entries):
            made = {"id": report.id, "severity": report.severity, "version": report.version or "", "time": time}
            entries.append(Defect.model_validate(made))
    # By time, so that a decision older than ten newer reports does not come back with every look.
    entries.sort(key=lambda entry: entry.time, reverse=True)
    return [wire(entry) | {"time": rfc3339(entry.time)} for entry in entries[:LIMIT]]


def _decided(text: str | None) -> Report | None:
    """The report in a decision; others can write the Service, so it may be anything."""
    found = _REPORT.fullmatch(text or "")
    return Report(*found.groups()) if found else None


def failure_text(report: Report) -> str:
    """What the version's record, the decision and the upgrade say of it."""
    return f"defect {report.id} ({report.severity}) was reported against {report.version}"
