"""Send smoke requests and golden requests to a new version before traffic moves to it, and judge the answers."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import traceback
from dataclasses import replace
from time import monotonic

from topgraft.checks import config, latency
from topgraft.checks.client import Client, connects
from topgraft.checks.config import Config
from topgraft.checks.failure import CheckError
from topgraft.checks.findings import SHOWN_DIFFERENCES
from topgraft.checks.goldenfile import GoldenFile
from topgraft.checks.replay import Replay
from topgraft.checks.report import Report, write
from topgraft.checks.smoke import Smoke

GRACE_SECONDS = 5
"""After the deadline, for what does not look at the clock: a regular expression can take for ever."""


def run(text: str) -> int:
    """Verify as the JSON `text` says; the report goes to stdout, its summary to the termination log.

    The exit status is 0 when no check failed, 1 for an error, 3 for a failed check.
    """
    report = Report()
    try:
        settings = config.read(text)
        report.title = f"verification of {settings.model}"
        report.secrets = settings.secrets()
        _set_alarm(settings.deadline + GRACE_SECONDS)
        asyncio.run(verify(settings, report))
    except CheckError as error:
        report.error = error
    except Exception as error:
        # Its text could hold what an adapter answered or what a request carried.
        where = traceback.extract_tb(error.__traceback__)[-1]
        report.error = CheckError(
            "VerificationCrashed",
            f"a defect of topgraft verify: {type(error).__name__} in {os.path.basename(where.filename)}:{where.lineno}"
            "; please report it",
        )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    write(report)
    return report.status()


async def verify(settings: Config, report: Report) -> None:
    """Put into the report what is found; raises CheckError for what is no fault of the candidate."""
    end = monotonic() + settings.deadline
    smoke = Smoke(settings.smoke, report.secrets)
    file = GoldenFile(settings.golden.file, settings.golden.may_change) if settings.golden else None
    if settings.smoke:
        await _smoke(settings, smoke, report)
    if not file:
        return
    if report.status():
        report.notes.append("Golden requests were not sent, because a smoke request failed.")
        return
    await _replay(settings, file, end, report)


async def _smoke(settings: Config, smoke: Smoke, report: Report) -> None:
    for address in settings.candidate:
        if problem := await connects(address):
            raise CheckError(
                "CandidateUnreachable",
                f"the candidate's pod {address} cannot be reached: {problem}; it must be running, and NetworkPolicies "
                "must let the verification pod connect",
            )
    async with Client() as client:
        async with asyncio.timeout(settings.deadline):
            report.checks += await smoke.run(client, settings.candidate)


async def _replay(settings: Config, file: GoldenFile, end: float, report: Report) -> None:
    assert settings.golden
    replay = Replay(settings, settings.golden, file, end)
    began = monotonic()
    # What is in memory by now stays: to look through it while an answer is on its way would count as the answer's time.
    gc.freeze()
    async with Client(replay.max_answer_bytes) as client:
        complete = await replay.run(client)
    findings = replay.findings
    checks = findings.checks() if findings.sent else []
    if settings.serving and complete and not findings.hopeless():
        checks.append(latency.judge(replay.latencies, settings.limits))
    checks += latency.told(replay.latencies)
    report.notes += [
        f"{len(file):,} golden requests from {file.path}, {findings.sent:,} requests to each version in "
        f"{monotonic() - began:.1f} s, {replay.latencies.rounds} rounds."
    ]
    if findings.differences:
        report.notes += [f"The first {SHOWN_DIFFERENCES} answers that differ at most:"]
        report.notes += [f"  {difference}" for difference in findings.differences]
    if not complete:
        told = f"; after {findings.sent:,} of {len(file):,} requests the deadline came"
        checks = [
            check if check.verdict == "Failed" else replace(check, verdict="Inconclusive", message=check.message + told)
            for check in checks
        ]
    report.checks += checks
    if not complete and report.status() == 0:
        raise CheckError(
            "VerificationDeadlineExceeded",
            f"{findings.sent:,} of {len(file):,} golden requests were answered within {settings.deadline:g} s; raise "
            "verification.deadlineSeconds or golden.concurrency, or send fewer requests",
        )


def _set_alarm(seconds: float) -> None:
    def ring(*_: object) -> None:
        raise CheckError(
            "VerificationDeadlineExceeded",
            f"the checks were still computing after {seconds:g} s; look for a regular expression in expect.jsonPath "
            "that backtracks, or raise verification.deadlineSeconds",
        )

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
