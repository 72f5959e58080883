"""Releases of modeling objectives: which one counts in an environment, why one does not, and what was released when.

S0's rules P26 and P27. What was released once stays released: a figure edited later, a review taken back or a check
added afterwards never moves traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.api.objective import Environment, Objective, ObjectiveRecord, Release, ReleaseRecord
from topgraft.governance.admission import objection
from topgraft.governance.submissions import judge, submission_to

ENVIRONMENTS: tuple[Environment, ...] = ("Production", "Staging")
HISTORY = 64
RECORDS = 16
Versions = Mapping[str, ModelVersion]


@dataclass(frozen=True)
class Blocked:
    """Why a release has no effect: a reason for conditions, and a text with the field and the remedy."""

    release: Release
    objective: str
    reason: str
    message: str


@dataclass(frozen=True)
class Standing:
    """What counts in an environment: the newest release that nothing blocks; and the newest one, if it is blocked."""

    current: Release | None = None
    blocked: Blocked | None = None


def standing(model: Model, versions: Versions, objective: Objective, environment: Environment) -> Standing:
    """The release of an environment. Every release was tried in Staging first, so Production's count there too."""
    given = [r for r in objective.releases if environment in ("Staging", r.environment)]
    blocked = None
    for release in sorted(given, key=lambda r: -r.number):
        found = (
            None
            if _was_released(model, objective, release, environment)
            else _blocked(model, versions, objective, release, environment)
        )
        if found is None:
            return Standing(release, blocked)
        blocked = blocked or found
    return Standing(None, blocked)


def production(model: Model, versions: Versions) -> Standing:
    """What selects the Model's base; neither where no objective releases to Production. At most one does (CEL)."""
    for objective in model.spec.objectives:
        if any(release.environment == "Production" for release in objective.releases):
            return standing(model, versions, objective, "Production")
    return Standing()


def waiting(model: Model, versions: Versions) -> Blocked | None:
    """The first release that has no effect yet, Production's before others."""
    pairs = [(objective, environment) for environment in ENVIRONMENTS for objective in model.spec.objectives]
    found = (standing(model, versions, *pair).blocked for pair in pairs)
    return next((one for one in found if one is not None), None)


def _recorded(model: Model, objective: str) -> ObjectiveRecord | None:
    return next((record for record in model.status.objectives if record.name == objective), None)


def _was_released(model: Model, objective: Objective, release: Release, environment: Environment) -> bool:
    record, wanted = _recorded(model, objective.name), (release.number, release.version)
    told = record.history if record else ()
    return any((e.number, e.version) == wanted and e.environment in ("Production", environment) for e in told)


def _blocked(
    model: Model, versions: Versions, objective: Objective, release: Release, environment: Environment
) -> Blocked | None:
    version = versions.get(release.version)
    what = f"release {release.number} of objective {objective.name!r}"
    if version is None:
        text = f"{what} names ModelVersion {release.version!r}, which does not exist: create it or release another one"
        return Blocked(release, objective.name, "VersionNotFound", text)
    submission = submission_to(version, objective.name)
    if submission is None:
        text = f"{what}: add it to spec.objectives of ModelVersion {release.version!r}, which is not submitted"
        return Blocked(release, objective.name, "NotSubmitted", text)
    if environment == "Staging":
        return None
    if (found := objection(model, version)) is not None:
        return Blocked(release, objective.name, found.reason, f"{what}: {found.message}")
    for check in objective.checks:
        if check.required and not check.archived and (result := judge(check, submission, version)).state != "Passed":
            text = f"ModelVersion {release.version!r}: required check {check.name} is {result.state}: {result.message}"
            return Blocked(release, objective.name, "CheckNotPassed", f"{what}: {text}")
    return None


def released(model: Model, version: str) -> frozenset[str]:
    """The objectives that a version was released of, now or ever; what is released now may not be on record yet."""
    return frozenset(o.name for o in model.status.objectives if any(e.version == version for e in o.history))


def named(model: Model) -> frozenset[str]:
    """The versions that a release names, now or as the last word of an environment: they are not pruned."""
    now = {release.version for objective in model.spec.objectives for release in objective.releases}
    return frozenset(now | {e.version for o in model.status.objectives for e in o.history if e.end_time is None})


def records(model: Model, versions: Versions, now: datetime) -> list[ObjectiveRecord]:
    """The releases of each objective with their history; an objective that is gone keeps its own, ended."""
    made = []
    for objective in model.spec.objectives:
        old = _recorded(model, objective.name)
        current = {where: standing(model, versions, objective, where).current for where in ENVIRONMENTS}
        history = list(old.history) if old else []
        for where, release in current.items():
            history = _continued(history, release, where, now)
        if old is not None or history:
            numbers = {where: release.number if release else None for where, release in current.items()}
            record = ObjectiveRecord(
                name=objective.name,
                production=numbers["Production"],
                staging=numbers["Staging"],
                history=tuple(_shortened(history)),
            )
            made.append(record)
    given = {objective.name for objective in model.spec.objectives}
    gone = [record for record in model.status.objectives if record.name not in given]
    made += [ObjectiveRecord(name=o.name, history=tuple(_ended(e, now) for e in o.history)) for o in gone]
    return made[:RECORDS]


def _shortened(history: list[ReleaseRecord]) -> list[ReleaseRecord]:
    """What is in force is never forgotten, however old it is."""
    ended = [entry for entry in history if entry.end_time is not None]
    dropped = ended[len(ended) - max(0, len(history) - HISTORY) :]
    return [entry for entry in history if entry not in dropped]


def _continued(
    history: list[ReleaseRecord], release: Release | None, environment: Environment, now: datetime
) -> list[ReleaseRecord]:
    """The history with `release` in force in the environment; what was in force there before has ended."""

    def meant(entry: ReleaseRecord) -> bool:
        same = release is not None and (entry.number, entry.version) == (release.number, release.version)
        return same and entry.environment == environment

    kept = [e if meant(e) or e.environment != environment else _ended(e, now) for e in history]
    going_on = any(meant(entry) and entry.end_time is None for entry in kept)
    # What went straight to Production counts in Staging too, but was never released there.
    if release is None or going_on or environment not in ("Production", release.environment):
        return kept
    entry = ReleaseRecord(
        number=release.number,
        version=release.version,
        environment=environment,
        time=now.replace(microsecond=0),
        note=release.note,
        tags=release.tags,
    )
    return [entry, *kept]


def _ended(entry: ReleaseRecord, now: datetime) -> ReleaseRecord:
    return entry if entry.end_time else entry.model_copy(update={"end_time": now.replace(microsecond=0)})
