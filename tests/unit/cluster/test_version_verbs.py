"""patch-version, info and versions, against an API server."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from fakeapi import FakeApi
from test_user_verbs import ROOT, kubeconfig, put_model, put_version, run

__all__ = ["kubeconfig"]

INFO = {
    "data": {"concepts": [{"id": "zero"}]},
    "outputConfig": {"maxConcepts": 20},
    "params": {"threshold": "0.5", "mode": "fast"},
}


async def patch(config: Path, tmp_path: Path, text: str, *arguments: str) -> int:
    file = tmp_path / "patch.yaml"
    file.write_text(text)
    return await run(config, "patch-version", "digits", "digits-1", "-f", str(file), *arguments)


def spec_of(api: FakeApi) -> dict[str, Any]:
    spec: dict[str, Any] = api.objects[f"{ROOT}/modelversions/digits-1"]["spec"]
    return spec


@pytest.mark.parametrize(
    ("action", "text", "params"),
    [
        ("merge", "outputInfo: {params: {threshold: '0.9'}}", {"threshold": "0.9", "mode": "fast"}),
        ("merge", '{"spec": {"outputInfo": {"params": {"new": "1"}}}}', {**INFO["params"], "new": "1"}),  # type: ignore[dict-item]
        ("remove", "outputInfo: {params: {mode: true}}", {"threshold": "0.5"}),
        ("overwrite", "outputInfo: {params: {a: '1'}}", {"a": "1"}),
    ],
)
async def test_params_are_patched(
    api: FakeApi, kubeconfig: Path, tmp_path: Path, action: str, text: str, params: dict[str, str]
) -> None:
    put_version(api, "digits-1", outputInfo=INFO, license="MIT")
    assert await patch(kubeconfig, tmp_path, text, "--action", action) == 0
    assert spec_of(api)["outputInfo"]["params"] == params
    assert spec_of(api)["outputInfo"]["data"] == INFO["data"]
    assert spec_of(api)["license"] == "MIT"


async def test_a_patch_that_changes_nothing_writes_nothing(
    api: FakeApi, kubeconfig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_version(api, "digits-1", outputInfo=INFO)
    assert await patch(kubeconfig, tmp_path, "outputInfo: {params: {mode: fast}}") == 0
    assert {method for method, _ in api.requests} == {"GET"}
    assert capsys.readouterr().err == "modelversion/digits-1 unchanged\n"


async def test_a_dry_run_shows_the_fields_and_writes_nothing(
    api: FakeApi, kubeconfig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_version(api, "digits-1", license="MIT")
    assert await patch(kubeconfig, tmp_path, "{license: true}", "--action", "remove", "--dry-run") == 0
    assert {method for method, _ in api.requests} == {"GET"}
    assert capsys.readouterr() == ("license: null\n", "modelversion/digits-1 would be patched (license)\n")


async def test_a_change_meanwhile_is_not_overwritten(
    api: FakeApi, kubeconfig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_version(api, "digits-1")

    async def somebody_else(request: Any) -> None:
        if request.method == "PATCH":
            api.objects[f"{ROOT}/modelversions/digits-1"]["metadata"]["resourceVersion"] = "8"

    api.faults.append(somebody_else)
    assert await patch(kubeconfig, tmp_path, "license: MIT") == 1
    assert "modified" in capsys.readouterr().err
    assert "license" not in spec_of(api)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "trainInfo: {params: {a: '1'}}",
            "spec.trainInfo is immutable on a ModelVersion (21202 MODEL_INVALID_ARGUMENT)",
        ),
        ("output_info: {}", "write outputInfo"),
        ("- 1", "must hold an object"),
        ("1: a", "must hold an object"),
        ("{", "cannot read"),
        ("a: !!python/object/apply:os.getcwd []", "cannot read"),
        ("[" * 5000, "cannot read"),
        ("\x00", "cannot read"),
        ("description: " + "x" * (1024 * 1024), "longer than 1048576 bytes"),
    ],
)
async def test_what_cannot_be_patched_is_told_and_nothing_written(
    api: FakeApi, kubeconfig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    put_version(api, "digits-1")
    assert await patch(kubeconfig, tmp_path, text) == 1
    assert told in capsys.readouterr().err
    assert not [method for method, _ in api.requests if method != "GET"]


async def test_a_version_of_another_model_is_left_alone(
    api: FakeApi, kubeconfig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_version(api, "digits-1", of="other")
    assert await patch(kubeconfig, tmp_path, "license: MIT") == 1
    assert "is one of Model 'other', not 'digits'" in capsys.readouterr().err


async def test_a_patch_from_standard_input(api: FakeApi, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_version(api, "digits-1")
    monkeypatch.setattr("sys.stdin", io.StringIO("license: MIT"))
    assert await run(kubeconfig, "patch-version", "digits", "digits-1", "-f", "-") == 0
    assert spec_of(api)["license"] == "MIT"


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("model.model_version.output_info.output_config", {"maxConcepts": 20}),
        ("model_version.output_info.output_config.max_concepts", 20),
        ("outputInfo.params.mode", "fast"),
        ("", {"outputInfo": INFO}),
    ],
)
async def test_the_infos_of_what_serves(
    api: FakeApi, kubeconfig: Path, capsys: pytest.CaptureFixture[str], field: str, found: object
) -> None:
    put_model(api, {"servingVersion": "digits-1"})
    put_version(api, "digits-1", outputInfo=INFO)
    assert await run(kubeconfig, "info", "digits", *([field] if field else [])) == 0
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.parametrize(
    ("field", "told"),
    [
        (
            "model.output_info.output_config",
            "model.output_info.output_config has moved: read model.model_version.output_info.output_config, "
            "which is spec.outputInfo.outputConfig of ModelVersion 'digits-1'",
        ),
        ("output_info.output_config", "read model.model_version.output_info.output_config"),
        ("model.outputInfo", "read model.model_version.output_info, which is spec.outputInfo of"),
        ("train_info.params", "read model.model_version.train_info.params"),
        ("outputInfo.params.none", "has no 'outputInfo.params.none'"),
        ("outputInfo.params.mode.none", "has no"),
    ],
)
async def test_readers_of_the_old_place_are_told_the_new_one(
    api: FakeApi, kubeconfig: Path, capsys: pytest.CaptureFixture[str], field: str, told: str
) -> None:
    put_model(api, {"servingVersion": "digits-1"})
    put_version(api, "digits-1", outputInfo=INFO)
    assert await run(kubeconfig, "info", "digits", field) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "listed"),
    [
        ([], ["digits-3", "digits-2", "digits-1"]),
        (["--gettable", "Org"], ["digits-3", "digits-2"]),
        (["digits", "--gettable", "Public"], []),
    ],
)
async def test_versions_are_listed_for_a_caller_of_a_level(
    api: FakeApi, kubeconfig: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], listed: list[str]
) -> None:
    put_model(api, {"servingVersion": "digits-2"}, visibility="Org")
    put_version(api, "digits-1", visibility="Private")
    put_version(api, "digits-2", description="two\nlines \x1b[31mred")
    put_version(api, "digits-3", visibility="Public")
    put_version(api, "other-1", of="other")
    assert await run(kubeconfig, "versions", *arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[1:]] == listed
    if "digits-2" in listed:
        assert next(line for line in lines if "digits-2" in line).split()[2:] == [
            "Org",
            "yes",
            "two",
            "lines",
            "[31mred",
        ]
