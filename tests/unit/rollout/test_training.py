"""Trained by its own Job: started once, told by its codes, neither served nor upgraded before its end."""

from __future__ import annotations

from typing import Any

import pytest

from .world import MODEL, World

JOB = {"image": "registry.local/train:v1", "args": ["--out", "/out"]}


def world_with(*versions: str, **info: Any) -> World:
    world = World()
    world.model()
    for revision, name in enumerate(versions):
        world.base(name, tag=name, revision=revision, trainInfo={"job": JOB, **info})
    world.run(10)
    return world


def set_job(world: World, version: str, **status: Any) -> None:
    world.objects["Job", f"{version}-train"]["status"] = status
    world.run(10)


def ended(kind: str, reason: str = "", message: str = "") -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": "True", "reason": reason, "message": message}]}


def code(world: World, version: str) -> tuple[int, str]:
    status = world.objects["ModelVersion", version]["status"]
    return status["code"], status["name"]


def jobs_made(world: World) -> list[str]:
    return [name for verb, kind, name in world.writes if (verb, kind) == ("apply", "Job")]


def test_a_version_that_came_with_its_artifacts_is_trained() -> None:
    world = World()
    world.model()
    world.base()
    world.run(200)
    world.upgrade("v2")
    world.run(200)
    for version in ("digits-1", world.serving or ""):
        assert code(world, version) == (21100, "MODEL_TRAINED")


@pytest.mark.parametrize(
    ("status", "expected", "ready"),
    [
        ({}, (21103, "MODEL_QUEUED_FOR_TRAINING"), ("Unknown", "TrainingQueued")),
        ({"active": 1, "ready": 0}, (21103, "MODEL_QUEUED_FOR_TRAINING"), ("Unknown", "TrainingQueued")),
        ({"active": 1, "ready": 1}, (21101, "MODEL_TRAINING"), ("Unknown", "Training")),
        ({"active": 1, "failed": 1}, (21101, "MODEL_TRAINING"), ("Unknown", "Training")),
        (ended("Failed", "BackoffLimitExceeded"), (21106, "MODEL_TRAINING_FAILED"), ("False", "TrainingFailed")),
        (ended("Failed", "DeadlineExceeded"), (21113, "MODEL_TRAINING_TIMED_OUT"), ("False", "TrainingFailed")),
    ],
)
def test_the_code_follows_the_job(status: dict[str, Any], expected: tuple[int, str], ready: tuple[str, str]) -> None:
    world = world_with("digits-1")
    set_job(world, "digits-1", **status)
    assert code(world, "digits-1") == expected
    assert world.conditions("ModelVersion", "digits-1")["Ready"] == ready
    assert world.serving is None
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "WorkflowRequireTrainedModel")
    message = next(c["message"] for c in world.objects["Model", MODEL]["status"]["conditions"] if c["type"] == "Ready")
    assert f"({expected[0]} {expected[1]})" in message
    assert "(22002 WORKFLOW_REQUIRE_TRAINED_MODEL)" in message


def test_it_serves_when_the_training_has_ended_well() -> None:
    world = world_with("digits-1")
    set_job(world, "digits-1", ready=1)
    set_job(world, "digits-1", **ended("Complete"))
    assert code(world, "digits-1") == (21100, "MODEL_TRAINED")
    world.run(120)
    assert world.serving == "digits-1"
    assert "Stalled" not in world.conditions("Model", MODEL)


def test_a_pod_that_ends_is_no_step_back() -> None:
    world = world_with("digits-1")
    set_job(world, "digits-1", ready=1)
    world.writes.clear()
    set_job(world, "digits-1", active=0)
    assert code(world, "digits-1") == (21101, "MODEL_TRAINING")
    assert world.writes == []


def test_each_version_is_trained_by_its_own_job_alone() -> None:
    world = World()
    world.model()
    for revision, name in enumerate(("digits-1", "digits-2")):
        world.base(name, revision=revision, trainInfo={"job": {**JOB, "suspend": True}})
    world.run(10)
    for name in ("digits-1", "digits-2"):
        assert code(world, name) == (21102, "MODEL_UNTRAINED")
        assert world.conditions("ModelVersion", name)["Ready"] == ("Unknown", "Untrained")
    world.objects["Job", "digits-1-train"]["spec"]["suspend"] = False
    set_job(world, "digits-1", **ended("Complete"))
    assert code(world, "digits-1") == (21100, "MODEL_TRAINED")
    assert code(world, "digits-2") == (21102, "MODEL_UNTRAINED")
    world.run(120)
    assert world.serving == "digits-1"


def test_no_training_starts_because_the_model_or_another_version_changed() -> None:
    world = world_with("digits-1")
    assert jobs_made(world) == ["digits-1-train"]
    set_job(world, "digits-1", **ended("Complete"))
    world.remove("Job", "digits-1-train")
    world.model(description="new", serving={"replicas": 3})
    world.base("digits-2", tag="v2", revision=5)
    world.upgrade("v3")
    world.run(300)
    assert jobs_made(world) == ["digits-1-train"]
    assert code(world, "digits-1") == (21100, "MODEL_TRAINED"), "its Job may be cleaned up"


def test_a_newer_version_takes_over_only_when_it_is_trained() -> None:
    world = World()
    world.model()
    world.base(revision=1)
    world.run(200)
    world.base("digits-2", tag="v2", revision=2, trainInfo={"job": JOB})
    world.run(200)
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")
    set_job(world, "digits-2", **ended("Complete"))
    world.run(200)
    assert world.serving == "digits-2"


def test_an_untrained_version_can_neither_be_pinned_nor_upgraded() -> None:
    world = World()
    world.model()
    world.base(revision=1)
    world.run(200)
    world.base("digits-2", tag="v2", revision=2, trainInfo={"job": JOB})
    world.model(serving={"version": "digits-2"})
    world.run(60)
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "WorkflowRequireTrainedModel")
    world.model()
    world.upgrade("v9", fromVersion="digits-2")
    world.run(60)
    assert world.serving == "digits-1"
    ready = world.conditions("AdapterUpgrade", MODEL)["Ready"]
    assert ready == ("Unknown", "WorkflowRequireTrainedModel")
    assert {name for kind, name in world.objects if kind == "ModelVersion"} == {"digits-1", "digits-2"}
    set_job(world, "digits-2", **ended("Complete"))
    world.run(200)
    assert world.serving_tag == "v9"


def test_a_derived_version_trains_nothing() -> None:
    world = world_with("digits-1", params={"epochs": "3"})
    set_job(world, "digits-1", **ended("Complete"))
    world.run(200)
    world.upgrade("v2")
    world.run(200)
    assert world.serving_tag == "v2"
    assert world.objects["ModelVersion", world.serving or ""]["spec"]["trainInfo"] == {"params": {"epochs": "3"}}
    assert jobs_made(world) == ["digits-1-train"]


def test_a_failed_training_is_tried_again_when_somebody_asks() -> None:
    world = world_with("digits-1")
    set_job(world, "digits-1", **ended("Failed", "BackoffLimitExceeded", "out of memory"))
    world.run(3600)
    assert jobs_made(world) == ["digits-1-train"]
    assert "out of memory" in world.objects["ModelVersion", "digits-1"]["status"]["description"]
    world.annotations("ModelVersion", "digits-1")["topgraft.dev/retry-at"] = "now"
    world.run(10)
    assert jobs_made(world) == ["digits-1-train"] * 2
    assert code(world, "digits-1")[0] == 21103
    world.run(3600)
    assert jobs_made(world) == ["digits-1-train"] * 2


def test_a_failure_stays_told_when_its_job_is_cleaned_up() -> None:
    world = world_with("digits-1")
    set_job(world, "digits-1", **ended("Failed", "BackoffLimitExceeded", "out of memory"))
    world.remove("Job", "digits-1-train")
    world.run(60)
    assert code(world, "digits-1") == (21106, "MODEL_TRAINING_FAILED")
    assert "out of memory" in world.objects["ModelVersion", "digits-1"]["status"]["description"]
    assert jobs_made(world) == ["digits-1-train"]


def test_a_deleted_job_is_no_order_to_train_again() -> None:
    world = world_with("digits-1")
    set_job(world, "digits-1", ready=1)
    world.remove("Job", "digits-1-train")
    world.run(600)
    assert code(world, "digits-1") == (21102, "MODEL_UNTRAINED")
    assert world.conditions("ModelVersion", "digits-1")["Ready"] == ("False", "TrainingLost")
    assert jobs_made(world) == ["digits-1-train"]
    world.annotations("ModelVersion", "digits-1")["topgraft.dev/retry-at"] = "1"
    world.run(10)
    assert jobs_made(world) == ["digits-1-train"] * 2


def test_a_training_version_says_no_more_than_it_must() -> None:
    world = world_with("digits-1")
    set_job(world, "digits-1", ready=1)
    world.writes.clear()
    world.run(7200)
    assert world.writes == []


def test_a_refused_job_is_told_and_goes_on_when_it_may() -> None:
    world = World(refusals={"Job/digits-1-train": "exceeded quota: gpus"})
    world.model()
    world.base(trainInfo={"job": JOB})
    world.run(60)
    assert world.conditions("ModelVersion", "digits-1")["Ready"] == ("False", "TrainingRefused")
    assert "exceeded quota: gpus" in world.objects["ModelVersion", "digits-1"]["status"]["description"]
    world.refusals.clear()
    world.run(60)
    assert code(world, "digits-1")[0] == 21103


def test_a_suspended_training_that_had_begun_waits_for_its_turn() -> None:
    world = world_with("digits-1")
    set_job(world, "digits-1", ready=1)
    world.objects["Job", "digits-1-train"]["spec"]["suspend"] = True
    set_job(world, "digits-1")
    assert code(world, "digits-1") == (21103, "MODEL_QUEUED_FOR_TRAINING")


def test_a_patch_of_a_version_keeps_its_code() -> None:
    world = world_with("digits-1")
    set_job(world, "digits-1", ready=1)
    body = world.objects["ModelVersion", "digits-1"]
    world.put("ModelVersion", "digits-1", {**body["spec"], "description": "new", "notes": "n"})
    world.run(10)
    assert code(world, "digits-1") == (21101, "MODEL_TRAINING")


def test_the_job_gets_what_it_needs_and_belongs_to_the_version() -> None:
    world = World()
    world.model(serving={"imagePullSecrets": [{"name": "registry"}], "podSecurityContext": {"fsGroup": 65532}})
    job = {
        **JOB,
        "env": [{"name": "DATASET_VERSION", "value": "mine"}],
        "volumes": [
            {"name": "out", "mountPath": "/out", "persistentVolumeClaim": {"claimName": "weights", "subPath": "v2"}},
            {
                "name": "data",
                "mountPath": "/data",
                "persistentVolumeClaim": {"claimName": "data"},
                "readOnly": True,
            },
            {"name": "keys", "mountPath": "/keys", "secret": {"secretName": "keys"}},
        ],
        "activeDeadlineSeconds": 60,
        "labels": {"kueue.x-k8s.io/queue-name": "gpus"},
    }
    info = {"params": {"epochs": "3"}, "dataset": {"name": "mnist", "version": "abc"}, "job": job}
    world.base(trainInfo={**info, "resumeFromModel": {"model": "digits", "version": "digits-0"}})
    world.run(10)
    made = world.objects["Job", "digits-1-train"]
    assert made["metadata"]["ownerReferences"][0]["uid"] == world.objects["ModelVersion", "digits-1"]["metadata"]["uid"]
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert (made["spec"]["backoffLimit"], made["spec"]["activeDeadlineSeconds"]) == (0, 60)
    pod = made["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["securityContext"]["fsGroup"] == 65532
    container = pod["containers"][0]
    env = {item["name"]: item["value"] for item in container["env"]}
    assert env["TOPGRAFT_TRAIN_PARAMS"] == '{"epochs": "3"}'
    assert (env["DATASET_NAME"], env["DATASET_VERSION"]) == ("mnist", "mine")
    assert (env["RESUME_FROM_MODEL"], env["RESUME_FROM_VERSION"]) == ("digits", "digits-0")
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert mounts["/out"] == {"name": "train-out", "mountPath": "/out", "subPath": "v2"}
    assert mounts["/data"]["readOnly"] is True
    assert made["spec"]["template"]["metadata"]["labels"]["topgraft.dev/role"] == "training"
    assert "topgraft.dev/model" not in made["spec"]["template"]["metadata"]["labels"]


def test_names_of_jobs_fit_and_differ() -> None:
    names = {"a" * 63, "a" * 62 + "b", "a" * 57, "digits-1"}
    world = World()
    world.model()
    for revision, name in enumerate(sorted(names)):
        world.base(name, revision=revision, trainInfo={"job": JOB})
    world.run(10)
    made = set(jobs_made(world))
    assert len(made) == len(names)
    assert max(map(len, made)) <= 63


CLAIM = {"claimName": "weights"}
OUT = {"name": "out", "mountPath": "/out", "persistentVolumeClaim": CLAIM}
WEIGHTS = {"name": "weights", "mountPath": "/weights", "persistentVolumeClaim": CLAIM}


def at_place(name: str, path: str | None) -> dict[str, Any]:
    """A volume of the claim, in a directory of its own where `path` is given."""
    base = OUT if name == "out" else WEIGHTS
    return {**base, "persistentVolumeClaim": {**CLAIM, **({"subPath": path} if path else {})}}


def make(world: World, name: str = "digits-1", path: str | None = None, out: str | None = None, **info: Any) -> None:
    """A version that is trained into the claim that it serves."""
    job = {**JOB, "volumes": [at_place("out", out)]}
    artifact = {"volumes": [at_place("weights", path)]}
    world.base(name, revision=1, trainInfo={"job": job, **info}, artifact=artifact)


def trained_on_a_claim(path: str | None = None) -> World:
    world = World(claims={"weights": "ReadWriteMany"})
    world.model()
    make(world, path=path)
    world.run(10)
    set_job(world, "digits-1", **ended("Complete"))
    world.run(200)
    assert world.serving == "digits-1"
    world.writes.clear()
    return world


@pytest.mark.parametrize("upgraded", [False, True])
@pytest.mark.parametrize("absent", [0, 60])
def test_a_trained_version_that_is_made_anew_is_not_trained_again(upgraded: bool, absent: float) -> None:
    world = trained_on_a_claim()
    if upgraded:
        world.upgrade("v2")
        world.run(900)
        assert world.serving_tag == "v2"
    serving, ready = world.serving, world.conditions("Model", MODEL)["Ready"]
    world.remove("ModelVersion", "digits-1")
    world.run(absent)
    world.writes.clear()
    make(world)
    world.run(60)
    assert jobs_made(world) == []
    assert code(world, "digits-1") == (21100, "MODEL_TRAINED")
    assert world.serving == serving
    assert world.conditions("Model", MODEL)["Ready"] == ready
    assert not any(verb == "switch" or kind == "Deployment" for verb, kind, _ in world.writes)
    world.writes.clear()
    world.run(600)
    assert world.writes == []


def test_another_order_under_its_name_does_not_write_over_what_serves() -> None:
    world = trained_on_a_claim()
    world.remove("ModelVersion", "digits-1")
    make(world, params={"epochs": "9"})
    world.run(60)
    assert jobs_made(world) == []
    assert code(world, "digits-1") == (21102, "MODEL_UNTRAINED")
    description = world.objects["ModelVersion", "digits-1"]["status"]["description"]
    assert "would write over the artifacts of digits-1" in description
    assert world.serving == "digits-1"
    world.annotations("ModelVersion", "digits-1")["topgraft.dev/retry-at"] = "yes"
    world.run(10)
    assert jobs_made(world) == ["digits-1-train"]
    assert world.objects["Model", MODEL]["status"].get("trained") is None, "what was trained is not there any more"


@pytest.mark.parametrize(
    ("first", "second", "out", "made"),
    [
        (None, None, None, False),
        ("v1", "v2", None, True),
        ("v1", "v2", "v2", True),
        ("v1", "v1/more", None, False),
        ("v1", None, None, False),
        ("v1", "v2", "v1", False),
        ("v1", "v10", "v10", True),
    ],
)
def test_a_job_writes_over_nothing_that_has_pods(
    first: str | None, second: str | None, out: str | None, made: bool
) -> None:
    world = trained_on_a_claim(first)
    make(world, "digits-2", second, out)
    world.run(60)
    assert bool(jobs_made(world)) == made
    if not made:
        assert world.conditions("ModelVersion", "digits-2")["Ready"] == ("False", "TrainingWouldOverwrite")
        assert world.conditions("ModelVersion", "digits-2")["Stalled"][0] == "True"
    assert world.serving == "digits-1"


def test_records_of_trainings_are_bounded_and_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topgraft.rollout.trained.TRAINED_LIMIT", 2)
    world = world_with("digits-1", "digits-2", "digits-3")
    for name in ("digits-1", "digits-2", "digits-3"):
        set_job(world, name, **ended("Complete"))
    world.run(2000)
    told = world.objects["Model", MODEL]["status"]["trained"]
    assert [record["version"] for record in told] == ["digits-3", "digits-2"]
    world.writes.clear()
    world.run(600)
    assert world.writes == []
