import base64
import json
import os
import subprocess
import sys
import zlib

import pytest
from conftest import command, environment

from topgraft_adapter import inspection, termination
from topgraft_adapter.contract import find_contract
from topgraft_adapter.errors import FatalError


def found(named):
    os.environ["TOPGRAFT_ADAPTER"] = named
    try:
        return find_contract()
    finally:
        del os.environ["TOPGRAFT_ADAPTER"]


def inspect(artifacts, adapter="adapters:Scale", **more):
    done = subprocess.run(
        command("inspect"),
        env=environment(adapter, artifacts, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    message = (artifacts.parent / "termination-log").read_bytes()
    assert len(message) <= 4096
    assert json.loads(message) == json.loads(done.stdout)
    return done.returncode, json.loads(message)


def test_finds_the_class():
    contract = found("adapters:Scale")
    assert (contract.module, contract.class_name, contract.adapter.__name__) == ("adapters", "Scale", "Scale")


@pytest.mark.parametrize(
    ("named", "reason", "message"),
    [
        ("", "ContractMissing", "set it in the image to module:ClassName"),
        ("adapters", "ContractMissing", "set it in the image"),
        ("no_such_module:Scale", "ContractMissing", "not installed"),
        ("adapters:Missing", "ContractMissing", "no class Missing"),
        ("adapters:NotAnAdapter", "ContractMissing", "derives from ModelAdapter"),
        ("adapters:np", "ContractMissing", "no class np"),
        ("adapters:Unfinished", "ContractMissing", "does not define load, predict"),
        ("adapters:WrongArguments", "ContractMissing", "predict() takes no argument 'x'"),
        ("adapters:BadApi", "ContractMissing", "no outputs"),
        ("broken_imports:Adapter", "ImportFailed", "ModuleNotFoundError: No module named 'not_there'"),
        ("exiting_import:Adapter", "ImportFailed", "SystemExit: no licence"),
    ],
)
def test_says_what_is_missing(named, reason, message, tmp_path, monkeypatch):
    (tmp_path / "broken_imports.py").write_text("import not_there")
    (tmp_path / "exiting_import.py").write_text("import sys; sys.exit('no licence')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FatalError) as raised:
        found(named)
    assert raised.value.reason == reason
    assert message in str(raised.value)


def test_inspect_tells_class_api_and_requirements(artifacts):
    code, told = inspect(artifacts, TOPGRAFT_COMMIT="8f3c", TOPGRAFT_TAG="v1")
    assert code == 0
    assert (told["module"], told["className"], told["commit"], told["tag"]) == ("adapters", "Scale", "8f3c", "v1")
    assert told["api"]["inputs"][0] == {
        "name": "x",
        "type": "array",
        "required": True,
        "dataType": "float",
        "shape": [-1, 4],
    }
    assert told["apiDigest"].startswith("sha256:")
    assert told["requirementsDigest"].startswith("sha256:")
    assert any(requirement.startswith("numpy==") for requirement in told["requirements"])


def test_inspect_does_not_load(artifacts):
    assert inspect(artifacts, "adapters:BadLoad")[0] == 0


def test_what_is_too_long_is_left_out_but_the_digests_stay(artifacts):
    code, told = inspect(artifacts, "adapters:WideApi")
    assert code == 0
    assert "api" not in told
    assert "requirements" not in told
    assert told["apiDigest"].startswith("sha256:")
    assert told["requirementsDigest"].startswith("sha256:")


def test_a_long_list_of_packages_is_packed(artifacts, monkeypatch):
    monkeypatch.setenv("TOPGRAFT_ADAPTER", "adapters:Scale")
    monkeypatch.setenv("TOPGRAFT_ARTIFACT_DIR", str(artifacts))
    many = [f"package-{number:03d}==1.{number}.0" for number in range(200)]
    monkeypatch.setattr(inspection, "installed", lambda: many)
    told = inspection.inspect_image()
    assert "requirements" not in told
    assert "api" in told
    assert termination.fits(told)
    assert zlib.decompress(base64.b64decode(told["requirementsPacked"])).decode().split("\n") == many


def test_inspect_fails_with_a_reason(artifacts):
    code, told = inspect(artifacts, "adapters:Unfinished")
    assert (code, told["error"]["reason"]) == (1, "ContractMissing")
    code, told = inspect(artifacts, TOPGRAFT_ARTIFACT_DIR=str(artifacts / "nowhere"))
    assert (code, told["error"]["reason"]) == (1, "ArtifactUnreadable")
    assert "TOPGRAFT_ARTIFACT_DIR" in told["error"]["message"]
    code, told = inspect(artifacts, TOPGRAFT_ARTIFACT_DIR="")
    assert (code, told["error"]["reason"]) == (1, "ArtifactUnreadable")


def test_inspect_imports_no_web_server(artifacts):
    code = "import sys; from topgraft_adapter.cli import main; main(['inspect']); sys.exit('uvicorn' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment("adapters:Scale", artifacts),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TOPGRAFT_PORT", "http"),
        ("TOPGRAFT_PORT", "0"),
        ("TOPGRAFT_PORT", "65536"),
        ("TOPGRAFT_MAX_CONNECTION_AGE_SECONDS", "-1"),
        ("TOPGRAFT_MAX_CONNECTION_AGE_SECONDS", "nan"),
        ("TOPGRAFT_DRAIN_SECONDS", "soon"),
        ("TOPGRAFT_MODEL", ""),
        ("TOPGRAFT_VERSION", "a/b"),
    ],
)
def test_a_bad_setting_names_the_variable_and_the_value(artifacts, variable, value):
    env = environment("adapters:Scale", artifacts, **{variable: value})
    done = subprocess.run(command("serve"), env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    error = json.loads(done.stderr)["error"]
    assert error["reason"] == "SettingInvalid"
    assert error["message"].startswith(f"{variable}={value!r}: set it to")
