"""A version with PEFT adapters on its way: refused for faults of its own, waiting for those of others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from topgraft.api.model import Model
from topgraft.governance.peft import Neighbours

from .world import MODEL, World

ADAPTER: dict[str, Any] = {
    "type": "project",
    "name": "sql",
    "baseModelRef": {"name": MODEL},
    "location": "adapters/sql",
}


def artifact(*adapters: dict[str, Any], claim: str | None = None) -> dict[str, Any]:
    source = {"persistentVolumeClaim": {"claimName": claim}} if claim else {"configMap": {"name": "weights"}}
    return {"volumes": [{"name": "weights", "mountPath": "/weights", **source}], "adapters": list(adapters)}


@pytest.fixture
def world() -> World:
    made = World()
    made.model(fineTuningJobs=[{"id": "j", "adapterName": "sql", "datasetFraction": "0.5"}])
    return made


def accepted(world: World, name: str = "digits-1") -> tuple[str, str]:
    return world.conditions("ModelVersion", name)["AdaptersAccepted"]


def base_models(world: World, **holders: str) -> Neighbours:
    return Neighbours({MODEL: Model.model_validate(world.objects["Model", MODEL])}, holders)


def test_an_adapter_is_read_told_of_and_given_to_the_pods(world: World) -> None:
    two = {**ADAPTER, "name": "$(two)", "type": "model_registry", "cmlRegisteredModelId": "m", "location": None}
    world.base(artifact=artifact(ADAPTER, {k: v for k, v in two.items() if v}))
    world.run(120)
    assert world.serving == "digits-1"
    assert accepted(world) == ("True", "AdaptersValid")
    first, second = world.objects["ModelVersion", "digits-1"]["status"]["adapters"]
    assert (first["peftType"], first["rank"], first["modulesMatched"]) == ("LORA", 16, 4)
    assert first["datasetSplit"] == {"datasetFraction": "0.5", "trainTestSplit": "0.9", "source": "Job"}
    assert second["datasetSplit"] == {"datasetFraction": "1.0", "trainTestSplit": "0.9", "source": "Default"}
    assert "peftType" not in second
    container = world.objects["Deployment", "digits-1"]["spec"]["template"]["spec"]["containers"][0]
    text = next(item["value"] for item in container["env"] if item["name"] == "TOPGRAFT_ADAPTERS")
    assert "$" not in text
    given = json.loads(text)
    assert [one["name"] for one in given] == ["sql", "$(two)"]
    assert given[0]["path"] == "/weights/adapters/sql"
    assert given[0]["id"] == first["id"]
    world.writes.clear()
    world.run(3600)
    assert world.writes == []


def test_a_version_without_adapters_is_as_it_was(world: World) -> None:
    world.base()
    world.run(120)
    status = world.objects["ModelVersion", "digits-1"]["status"]
    assert "adapters" not in status
    assert "AdaptersAccepted" not in world.conditions("ModelVersion", "digits-1")
    assert "TOPGRAFT_ADAPTERS" not in json.dumps(world.objects["Deployment", "digits-1"])


OWN = [
    ({"directory": False}, "LocationNotDirectory", "Location 'adapters/two' must be a valid directory."),
    (
        {"directory": True, "error": {"reason": "AdapterMatchesNothing", "message": "none of the 4 modules"}},
        "AdapterMatchesNothing",
        "none of the 4 modules",
    ),
    ({"error": {"reason": "FetchFailed", "message": "is in no volume"}}, "FetchFailed", "is in no volume"),
]


@pytest.mark.parametrize(("said", "reason", "text"), OWN)
def test_a_fault_of_the_files_refuses_the_version_for_good(
    world: World, said: dict[str, Any], reason: str, text: str
) -> None:
    world.base()
    world.run(120)
    world.peft["adapters/two"] = said
    world.base(
        "digits-2", revision=2, artifact=artifact(ADAPTER, {**ADAPTER, "name": "two", "location": "adapters/two"})
    )
    world.run(30)
    assert world.serving == "digits-1"
    assert accepted(world, "digits-2") == ("False", reason)
    failure = world.objects["ModelVersion", "digits-2"]["status"]["failure"]
    assert failure["reason"] == reason
    assert f"spec.artifact.adapters[1]: {text}" in failure["message"]
    world.writes.clear()
    world.run(7200)
    assert world.writes == []
    assert accepted(world, "digits-2") == ("False", reason), "also when the pod that read the files is gone"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"baseModelRef": {"name": "llama"}}, "BaseModelNotFound"),
        ({"name": "taken"}, "AdapterNameTaken"),
        ({"fineTuningJobRef": {"id": "j9"}}, "FineTuningJobNotFound"),
        ({"promptRef": {"id": "p9"}}, "PromptNotFound"),
    ],
)
def test_what_another_object_lacks_is_waited_for(world: World, change: dict[str, Any], reason: str) -> None:
    world.base()
    world.run(120)
    world.neighbours = base_models(world, taken="other")
    world.base("digits-2", revision=2, artifact=artifact({**ADAPTER, **change}))
    world.run(60)
    assert world.serving == "digits-1"
    assert accepted(world, "digits-2") == ("False", reason)
    assert world.conditions("Model", MODEL)["Reconciling"] == ("True", reason)
    assert "failure" not in world.objects["ModelVersion", "digits-2"]["status"]
    world.model(fineTuningJobs=[{"id": "j9"}], prompts=[{"id": "p9"}])
    world.neighbours = base_models(world)
    world.neighbours = Neighbours({**world.neighbours.models, "llama": world.neighbours.models[MODEL]})
    world.run(120)
    assert world.serving == "digits-2"
    assert accepted(world, "digits-2") == ("True", "AdaptersValid")


def test_a_version_that_serves_goes_on_when_its_base_model_is_deleted_and_says_so(world: World) -> None:
    world.base(artifact=artifact(ADAPTER))
    world.run(120)
    world.neighbours = Neighbours()
    world.run(10)
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")
    assert accepted(world) == ("False", "BaseModelNotFound")
    world.neighbours = None
    world.run(10)
    assert accepted(world) == ("True", "AdaptersValid")


def test_a_derived_version_shares_its_bases_adapters(world: World) -> None:
    world.base(artifact=artifact(ADAPTER))
    world.run(120)
    world.neighbours = base_models(world, sql=MODEL)
    world.upgrade("v2")
    world.run(120)
    assert world.serving_tag == "v2"
    assert world.serving is not None
    assert accepted(world, world.serving) == ("True", "AdaptersValid")
    statuses = [world.objects["ModelVersion", name]["status"]["adapters"] for name in ("digits-1", world.serving)]
    assert statuses[0] == statuses[1]


@pytest.mark.parametrize("matched", [True, False])
def test_on_an_exclusive_volume_the_versions_own_pods_read_the_files(world: World, matched: bool) -> None:
    world.claims = {"weights": "ReadWriteOncePod"}
    world.model(serving={"replicas": 1})
    if not matched:
        world.peft["adapters/sql"] = {"directory": True, "error": {"reason": "AdapterMatchesNothing", "message": "x"}}
    world.base(artifact=artifact(ADAPTER, claim="weights"))
    world.run(120)
    if matched:
        assert world.serving == "digits-1"
        assert accepted(world) == ("True", "AdaptersValid")
    else:
        assert world.serving is None
        assert accepted(world) == ("False", "AdapterMatchesNothing")


def test_a_reading_that_was_killed_is_made_again(world: World) -> None:
    world.base(artifact=artifact(ADAPTER))
    world.turn()
    world.settle()
    pod = world.objects["Pod", "digits-1-preflight"]
    statuses = pod["status"]["containerStatuses"]
    killed = {"exitCode": 137, "reason": "OOMKilled", "message": ""}
    next(s for s in statuses if s["name"] == "peft")["state"] = {"terminated": killed}
    pod["status"]["phase"] = "Failed"
    world.turn()
    assert "failure" not in world.objects["ModelVersion", "digits-1"].get("status", {})
    world.run(180)
    assert world.serving == "digits-1"
