"""`topgraft rollback`: go back to a commit or version, in the order dataset, deploy, tests."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

from topgraft.api.model import Model
from topgraft.cluster.kinds import MODEL
from topgraft.governance.recovery import Recovery, recovery_of, rollback_model
from topgraft.rollout.conditions import recorded
from topgraft.verbs import session
from topgraft.verbs.naming import version_named

PAUSE_SECONDS = 1.0
_PINNED = "spec.serving.version pins {0} until it is taken out: kubectl edit model {1}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="the Model")
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--commit", help="the commit of the version's code, or its first seven digits or more")
    chosen.add_argument("--version", metavar="NAME", help="a version, or an alias such as previous")
    parser.add_argument("--patch", action="store_true", help="print the patch, for a Git repository, and write nothing")
    parser.add_argument("--timeout", type=int, default=900, metavar="SECONDS", help="how long to wait; default 900")
    session.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    async def work(to: session.Session) -> int:
        model, versions = await to.model(options.model), await to.versions(options.model)
        try:
            way = (
                rollback_model(options.commit, versions)
                if options.commit
                else recovery_of(version_named(options.version, model, versions))
            )
        except ValueError as wrong:
            raise session.Mistaken(str(wrong)) from None
        if options.patch:
            sys.stdout.write(json.dumps(way.patch()) + "\n")
            return 0
        return await _go(to, model, way, time.monotonic() + options.timeout)

    return session.run(options, work)


async def _go(to: session.Session, model: Model, way: Recovery, deadline: float) -> int:
    name, told = model.metadata.name, dict(way.steps)
    _say(1, "dataset", told["dataset"])
    patched = Model.model_validate(await to.merge(MODEL, name, way.patch()))
    sys.stderr.write(f"note: {_PINNED.format(way.version, name)}\n")
    before, generation = model.status.serving_version, patched.metadata.generation
    seen = patched
    while not (seen.status.serving_version == way.version and seen.status.observed_generation >= generation):
        if stuck := _stuck(seen, generation):
            _say(2, "deploy", f"failed: {stuck}")
            return 1
        seen = await _next(to, name, deadline, f"{way.version} to serve")
    _say(2, "deploy", f"{way.version} serves" + (f", {before} did before" if before != way.version else ", as before"))
    if seen.spec.verification.test_suite is None:
        _say(3, "tests", "none: spec.verification.testSuite asks for none")
        return 0
    if before == way.version:
        _say(3, "tests", "not run again: nothing has changed")
        return 0
    while (verdict := _validated(seen, way.version)) is None:
        seen = await _next(to, name, deadline, f"the tests {way.tests}")
    _say(3, "tests", f"{way.tests}: {'passed' if verdict[0] else 'FAILED: ' + verdict[1]}")
    return 0 if verdict[0] else 1


def _say(number: int, step: str, text: str) -> None:
    sys.stdout.write(f"{number}/3 {step}: {text}\n")
    sys.stdout.flush()


async def _next(to: session.Session, name: str, deadline: float, what: str) -> Model:
    if time.monotonic() >= deadline:
        raise session.Mistaken(f"still waiting for {what}: kubectl describe models.topgraft.dev {name} says why")
    await asyncio.sleep(PAUSE_SECONDS)
    return await to.model(name)


def _stuck(model: Model, generation: int) -> str:
    """Why the order cannot be followed; "" while it can. What was said of an earlier generation counts for nothing."""
    if model.status.observed_generation < generation:
        return ""
    told = {c.type: c for c in model.status.conditions}
    stalled = told.get("Stalled")
    return f"{stalled.reason}: {stalled.message}" if stalled is not None else ""


def _validated(model: Model, version: str) -> tuple[bool, str] | None:
    """The verdict of the tests on `version`; None while there is none."""
    told = recorded(model.status.conditions, "Validated")
    if told is None or told.status == "Unknown" or version not in told.message:
        return None
    return told.status == "True", told.message
