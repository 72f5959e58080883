"""init, preflight and test, as a user runs them."""

import json
import os
import subprocess
import sys

import pytest
from conftest import command, environment

from topgraft_adapter.api import Array, Column, FileSystem, Object, Parameter, Tabular
from topgraft_adapter.preflight import zeros


def run(*arguments, cwd, **more):
    given = {**environment("adapters:Scale", cwd / "artifacts"), "TOPGRAFT_TERMINATION_LOG": str(cwd / "log"), **more}
    return subprocess.run(
        command(*arguments), env=given, cwd=cwd, capture_output=True, text=True, timeout=100, check=False
    )


def test_a_new_project_passes_its_own_tests(tmp_path):
    made = run("init", "my-model", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    project = tmp_path / "my-model"
    assert {"my_model_adapter.py", "Dockerfile", "sample.json"} <= {path.name for path in project.iterdir()}
    own = dict(line.split("=", 1) for line in (project / "environment").read_text().splitlines())
    given = {**os.environ, **own, "PYTHONPATH": str(project)}
    subprocess.run([sys.executable, "train.py"], cwd=project, env=given, check=True, timeout=60)
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider"], cwd=project, env=given, check=True)
    tested = run("test", "--sample", "sample.json", cwd=project, **own)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert len(tested.stdout.splitlines()) == 7
    assert all(line.startswith("ok ") for line in tested.stdout.splitlines())
    again = run("init", "my-model", cwd=tmp_path)
    assert (again.returncode, "not an empty directory" in again.stderr) == (2, True)
    assert run("init", "Wrong Name", cwd=tmp_path).returncode == 2


def test_preflight_loads_and_answers(artifacts):
    at = artifacts.parent
    done = run("preflight", cwd=at)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["answer"] == {"output": {"y": [[0.0, 0.0, 0.0, 0.0]]}}
    (at / "sample.json").write_text('{"input": {"x": [[1, 2, 3, 4]]}}')
    assert json.loads(run("preflight", "--sample", "sample.json", cwd=at).stdout)["answer"]["output"]["y"] == [
        [2.0, 4.0, 6.0, 8.0]
    ]


@pytest.mark.parametrize(
    ("adapter", "sample", "code", "reason"),
    [
        ("adapters:Missing", None, 1, "ContractMissing"),
        ("adapters:BadLoad", None, 3, "LoadFailed"),
        ("adapters:Scale", '{"input": {"x": [[1]]}}', 4, "SampleFailed"),
        ("adapters:Scale", "{", 2, "SettingInvalid"),
        ("adapters:Scale", "[]", 2, "SettingInvalid"),
    ],
)
def test_exit_codes(artifacts, adapter, sample, code, reason):
    at = artifacts.parent
    if sample is not None:
        (at / "sample.json").write_text(sample)
    arguments = ["--sample", "sample.json"] if sample is not None else []
    done = run("preflight", *arguments, cwd=at, TOPGRAFT_ADAPTER=adapter)
    assert done.returncode == code
    assert json.loads(done.stderr)["error"]["reason"] == reason
    assert "Traceback" not in done.stderr


def test_a_sample_of_zeros_fits_every_type():
    columns = (Column("a", "map<string,long>"), Column("b", "date"), Column("c", "any", required=False))
    inputs = {
        "p": Parameter("array<long>"),
        "q": Parameter("long", default=3),
        "t": Tabular(columns),
        "a": Array("string", (-1, 2)),
        "o": Object(),
        "f": FileSystem(),
    }
    assert zeros(inputs) == {
        "p": [],
        "t": [{"a": {}, "b": "2026-01-31", "c": None}],
        "a": [["", ""]],
        "o": {},
        "f": {},
    }
