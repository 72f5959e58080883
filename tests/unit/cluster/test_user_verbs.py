"""The verbs for users, against an API server: what they write, what they print, what they refuse."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakeapi import CREATED, FakeApi
from topgraft import cli

Body = dict[str, Any]
ROOT = "/apis/topgraft.dev/v1alpha1/namespaces/team"


@pytest.fixture
def kubeconfig(api: FakeApi, tmp_path: Path) -> Path:
    """A user's login whose context names the namespace."""
    file = tmp_path / "config"
    context = {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "team"}}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [context, {"name": "bare", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": api.url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    file.write_text(json.dumps(content))
    return file


def put(api: FakeApi, plural: str, name: str, spec: Body, status: Body | None = None) -> None:
    meta = {
        "name": name,
        "namespace": "team",
        "uid": f"uid-{name}",
        "resourceVersion": "7",
        "creationTimestamp": CREATED,
    }
    kind = {"models": "Model", "modelversions": "ModelVersion"}[plural]
    body = {"apiVersion": "topgraft.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}
    api.objects[f"{ROOT}/{plural}/{name}"] = body | ({"status": status} if status else {})


def put_model(api: FakeApi, status: Body | None = None, **spec: Any) -> None:
    put(api, "models", "digits", {"modelTypeId": "classifier", **spec}, status)


def put_version(api: FakeApi, name: str, status: Body | None = None, *, of: str = "digits", **spec: Any) -> None:
    artifact = {"volumes": [{"name": "weights", "mountPath": "/weights", "configMap": {"name": "weights"}}]}
    adapter = {"image": "registry.local/digits:v1"}
    given = {"modelRef": {"name": of}, "artifact": artifact, "adapter": adapter, **spec}
    put(api, "modelversions", name, given, status)


async def run(kubeconfig: Path, *arguments: str) -> int:
    return await asyncio.to_thread(cli.main, [*arguments, "--kubeconfig", str(kubeconfig)])


async def test_a_defect_is_reported_against_what_serves(
    api: FakeApi, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_model(api, {"servingVersion": "digits-2"})
    assert await run(kubeconfig, "report-defect", "digits", "--id", "BUG-1") == 0
    annotations = api.objects[f"{ROOT}/models/digits"]["metadata"]["annotations"]
    assert annotations == {"topgraft.dev/defect": "P0:BUG-1@digits-2"}
    assert capsys.readouterr().out == "P0 BUG-1 reported against digits-2: it is left\n"
    patch = next(path for method, path in api.requests if method == "PATCH")
    assert "fieldManager=topgraft-cli" in patch


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--id", "BUG 1"], "is not of the form"),
        (["--id", "BUG-1", "--version", "other-1"], "Model 'digits' has no ModelVersion 'other-1'"),
    ],
)
async def test_what_cannot_be_reported_is_told_and_nothing_written(
    api: FakeApi, kubeconfig: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    put_model(api, {"servingVersion": "digits-2"})
    put_version(api, "other-1", of="other")
    assert await run(kubeconfig, "report-defect", "digits", *arguments) == 1
    assert told in capsys.readouterr().err
    assert {method for method, _ in api.requests} == {"GET"}


async def test_the_words_of_the_api_server_reach_the_user(
    api: FakeApi, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(kubeconfig, "report-defect", "digits", "--id", "BUG-1", "--context", "bare") == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert {path.split("?")[0] for _, path in api.requests} == {
        "/apis/topgraft.dev/v1alpha1/namespaces/default/models/digits"
    }


async def test_without_a_kubeconfig_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(tmp_path / "none", "report-defect", "digits", "--id", "BUG-1") == 1
    assert capsys.readouterr().err.startswith("error: ")


COMMITS = {"digits-1": "a" * 40, "digits-2": "b" * 40}


def put_two(api: FakeApi, **status: Any) -> None:
    put_model(api, {"servingVersion": "digits-2", "previousVersion": "digits-1", "observedGeneration": 0, **status})
    for name, commit in COMMITS.items():
        digests = {"artifact": {"digest": "sha256:" + "c" * 64}, "adapter": {"commit": commit}}
        put_version(api, name, digests, adapter={"image": f"registry.local/digits:{name}"})


async def test_diff_tells_what_differs_and_takes_aliases(
    api: FakeApi, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_two(api)
    assert await run(kubeconfig, "diff", "digits", "previous") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "digits-1 → digits-2"
    assert f"  commit: {'a' * 40} → {'b' * 40}" in told
    assert "  image: registry.local/digits:digits-1 → registry.local/digits:digits-2" in told
    assert told[-1] == "  artifact: the same bytes"
    assert await run(kubeconfig, "diff", "digits", "test_baseline") == 1
    assert "has no version or alias 'test_baseline'; versions: digits-1, digits-2" in capsys.readouterr().err


async def test_rollback_goes_in_order_and_says_each_step(
    api: FakeApi, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_two(api)
    model = api.objects[f"{ROOT}/models/digits"]
    model["spec"]["verification"] = {"testSuite": {}}

    async def operator() -> None:
        while api.objects[f"{ROOT}/models/digits"]["spec"].get("serving") != {"version": "digits-1"}:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        api.objects[f"{ROOT}/models/digits"]["status"]["servingVersion"] = "digits-1"
        told = {"type": "Validated", "status": "True", "reason": "TestsPassed", "lastTransitionTime": CREATED}
        told["message"] = "the tests of digits-1, which serves again, passed"
        api.objects[f"{ROOT}/models/digits"]["status"]["conditions"] = [told]

    code, _ = await asyncio.gather(run(kubeconfig, "rollback", "digits", "--commit", "aaaaaaaa"), operator())
    assert code == 0
    assert capsys.readouterr().out.splitlines() == [
        f"1/3 dataset: DATASET_VERSION=aaaaaaaa: artifacts sha256:{'c' * 64}",
        "2/3 deploy: digits-1 serves, digits-2 did before",
        f"3/3 tests: V{'a' * 40}_validation: passed",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--commit", "ffffffff"], "no version is of commit ffffffff; known: aaaaaaaa (digits-1), bbbbbbbb (digits-2)"),
        (["--commit", "xyz"], "'xyz' is no commit"),
        (["--version", "nothing"], "has no version or alias 'nothing'"),
    ],
)
async def test_a_rollback_to_nothing_is_told_and_nothing_written(
    api: FakeApi, kubeconfig: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    put_two(api)
    assert await run(kubeconfig, "rollback", "digits", *arguments) == 1
    assert told in capsys.readouterr().err
    assert {method for method, _ in api.requests} == {"GET"}


async def test_a_rollback_that_cannot_be_followed_fails(
    api: FakeApi, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "LineageMissing", "lastTransitionTime": CREATED}
    put_two(api, conditions=[{**stalled, "message": "it lacks"}])
    assert await run(kubeconfig, "rollback", "digits", "--version", "previous") == 1
    assert capsys.readouterr().out.splitlines()[1] == "2/3 deploy: failed: LineageMissing: it lacks"


async def test_a_patch_for_git_writes_nothing(
    api: FakeApi, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_two(api)
    assert await run(kubeconfig, "rollback", "digits", "--commit", "a" * 40, "--patch") == 0
    assert json.loads(capsys.readouterr().out) == {"spec": {"serving": {"version": "digits-1"}}}
    assert {method for method, _ in api.requests} == {"GET"}


READ = {"artifact": {"digest": "sha256:" + "a" * 64}, "adapter": {"imageDigest": "sha256:" + "b" * 64}}


async def test_a_promotion_is_held_to_the_bytes_and_the_image(
    api: FakeApi, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_version(
        api, "digits-1", READ, revision=3, objectives=[{"name": "quality"}], lineage={"hyperparameters": {"rate": "1"}}
    )
    assert await run(kubeconfig, "promote", "digits-1", "--to", "letters") == 0
    body = yaml.safe_load(capsys.readouterr().out)
    assert body["metadata"] == {"name": "letters-digits-1", "namespace": "team"}
    assert body["spec"] == {
        "modelRef": {"name": "letters"},
        "source": {"type": "Promoted", "promoted": {"model": "digits", "version": "digits-1"}},
        "artifact": {
            "volumes": [{"name": "weights", "mountPath": "/weights", "configMap": {"name": "weights"}}],
            "digest": READ["artifact"]["digest"],
        },
        "adapter": {"image": f"registry.local/digits:v1@{READ['adapter']['imageDigest']}"},
        "lineage": {"hyperparameters": {"rate": "1"}},
    }


@pytest.mark.parametrize(
    ("status", "to", "spec", "why"),
    [
        (None, "letters", {}, "was never verified"),
        (READ, "digits", {}, "a version of Model 'digits' already"),
        (READ, "letters", {"trainInfo": {"job": {"image": "train:v1"}}}, "is not trained"),
        (READ, "l" * 60, {}, "give --name"),
    ],
)
async def test_what_cannot_be_promoted(
    api: FakeApi,
    kubeconfig: Path,
    capsys: pytest.CaptureFixture[str],
    status: Body | None,
    to: str,
    spec: Body,
    why: str,
) -> None:
    put_version(api, "digits-1", status, **spec)
    assert await run(kubeconfig, "promote", "digits-1", "--to", to) == 1
    said = capsys.readouterr()
    assert why in said.err
    assert said.out == ""


async def test_a_promotion_does_not_train_again(
    api: FakeApi, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = {"job": {"image": "train:v1"}, "params": {"epochs": "3"}}
    put_version(api, "digits-1", {**READ, "code": 21100}, trainInfo=info)
    assert await run(kubeconfig, "promote", "digits-1", "--to", "letters", "--name", "letters-1") == 0
    assert yaml.safe_load(capsys.readouterr().out)["spec"]["trainInfo"] == {"params": {"epochs": "3"}}
