"""`topgraft verify`, as it runs in a verification pod."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from adapters import adapters, says
from topgraft.checks import config
from topgraft.checks.failure import CheckError
from topgraft.checks.report import MAX_SUMMARY_BYTES, Report
from topgraft.checks.verdict import Check


async def run(
    log: Path, *arguments: str, environment: dict[str, str] | None = None
) -> tuple[int | None, str, dict[str, Any], str]:
    """Exit status, report, summary, and what went to stderr."""
    prepare(log)
    env = {**os.environ, "TOPGRAFT_TERMINATION_LOG": str(log), **(environment or {})}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "topgraft.cli", "verify", *arguments, env=env, stdout=-1, stderr=-1
    )
    out, error = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), summary_in(log), error.decode()


def prepare(log: Path) -> None:
    log.write_text("from an earlier try, longer than what is to come" * 100)


def summary_in(log: Path) -> dict[str, Any]:
    text = log.read_text()
    return json.loads(text) if text.startswith("{") else {}


def told(address: str, **more: Any) -> str:
    smoke = [{"name": "a", "path": "/", "expect": {"jsonPath": [{"path": "$.a", "equals": "1"}]}}]
    return json.dumps(
        {"candidate": {"addresses": [address]}, "model": "m", "smoke": smoke, "deadlineSeconds": 20} | more
    )


async def test_exit_statuses_and_where_the_result_goes(tmp_path: Path) -> None:
    async with adapters(says({"a": 1}), says({"a": 2}), None) as (good, bad, down):
        text = told(good)
        passed = await run(tmp_path / "1", f"--config={text[:40]}", f"--config={text[40:]}")
        failed = await run(tmp_path / "2", environment={"TOPGRAFT_VERIFICATION": told(bad)})
        error = await run(tmp_path / "3", "--config", told(down))
        wrong = await run(tmp_path / "4", environment={"TOPGRAFT_VERIFICATION": ""})
    assert passed[0] == 0, passed
    assert passed[2]["checks"][0] | {"message": ""} == {
        "name": "smoke/a",
        "verdict": "Passed",
        "message": "",
        "new": "status 200",
        "limit": "status 200",
    }
    assert passed[1].startswith("verification of m: no check failed\n")
    assert failed[0] == 3, failed
    assert failed[2]["checks"][0]["message"] == "GET /: $.a is 2, not 1"
    assert error[0] == 1, error
    assert error[2]["error"]["reason"] == "CandidateUnreachable"
    assert "CandidateUnreachable: the candidate's pod" in error[1]
    assert wrong[0] == 2
    assert "give --config or set TOPGRAFT_VERIFICATION" in wrong[3]


async def test_a_regular_expression_that_never_ends_does(tmp_path: Path) -> None:
    condition = {"path": "$.a", "matches": "^(a+)+$"}
    smoke = [{"name": "a", "path": "/", "expect": {"jsonPath": [condition]}}]
    began = time.monotonic()
    async with adapters(says({"a": "a" * 60 + "b"})) as (address,):
        done = await run(tmp_path / "log", "--config", told(address, smoke=smoke, deadlineSeconds=0.5))
    assert done[0] == 1, done
    assert done[2]["error"]["reason"] == "VerificationDeadlineExceeded"
    assert time.monotonic() - began < 30


async def test_nothing_heavy_is_imported_for_a_digest() -> None:
    code = (
        "import sys, topgraft.cli; print([m for m in ('numpy', 'aiohttp', 'asyncio', 'jsonpath') if m in sys.modules])"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=-1)
    assert (await process.communicate())[0] == b"[]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not an object"),
        ("{}", "model is not text"),
        ('{"model": "m"}', "candidate is not an object"),
        ('{"model": "m", "candidate": {}}', "candidate.addresses is empty"),
        ('{"model": "m", "candidate": {"addresses": ["x"]}}', "candidate.addresses has 'x', which is not host:port"),
        ('{"model": "m", "candidate": {"addresses": "x:1"}}', "candidate.addresses is not a list"),
        ('{"model": "m", "candidate": {"url": "http://x:1"}, "smoke": [7]}', "smoke[0] is not an object"),
        ('{"model": "m", "candidate": {"url": "http://x:1"}, "golden": {}}', "golden.file is not text"),
        (
            '{"model": "m", "candidate": {"url": "http://x:1"}, "golden": {"file": "f", "compare": "Similar"}}',
            "golden.compare is 'Similar'; it must be one of Exact, Tolerance, TopOne, None",
        ),
        (
            '{"model": "m", "candidate": {"url": "http://x:1"}, "limits": {"maxKLDivergence": "NaN"}}',
            "limits.maxKLDivergence is 'NaN', not a number that is not negative",
        ),
    ],
)
def test_a_wrong_configuration_names_its_field(text: str, said: str) -> None:
    with pytest.raises(CheckError) as caught:
        config.read(text)
    assert caught.value.reason == "VerificationConfigInvalid"
    assert said in str(caught.value)


def test_a_long_report_is_cut_to_what_the_kubelet_takes() -> None:
    checks = [Check(f"smoke/{'x' * 60}-{n}", "Passed", "ü" * 900, limit="y" * 200) for n in range(60)]
    report = Report(checks=[*checks, Check("golden/output", "Failed", "why")])
    summary = report.summary()
    assert len(summary.encode()) <= MAX_SUMMARY_BYTES
    names = [check["name"] for check in json.loads(summary)["checks"]]
    assert names[0] == "golden/output"
    assert len(names) > 5
    assert report.status() == 3
    assert "ü" * 900 in report.text()
