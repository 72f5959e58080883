"""The mirror against a real MLflow server: what the core wants is what the registry shows."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from support.mlflowserver import Server
from topgraft.cluster.mlflow import MlflowError
from topgraft.cluster.mlflowsync import Mlflow
from topgraft.governance.mlflow import ADOPT, MAX_KEY, MAX_VALUE, Mirrored, Outcome, Record, Registration
from unit.rollout.world import MODEL, World

LINEAGE = {
    "trainingDataHash": "sha256:" + "7" * 64,
    "featureParameters": {"scale": "16"},
    "hyperparameters": {"learning rate*": "0.1", "k" * 250: "x" * 4096},
}


def mirrored(world: World, mlflow: Mlflow, seconds: float) -> None:
    """Time passes, and whatever the core wants is brought to the server at once."""

    def look() -> Any:
        made = world.look()
        if made.registration is None:
            world.mirrored = Mirrored(configured=True)
        elif world.mirrored.outcome is None or world.mirrored.outcome.digest != made.registration.digest:
            wanted = made.registration
            try:
                outcome = Outcome(wanted.digest, mlflow(wanted))
            except MlflowError as error:
                outcome = Outcome(wanted.digest, error=(error.reason, str(error)))
            world.mirrored = Mirrored(True, outcome)
        return made

    world.run(seconds, look)
    world.run(0, look)


def world_of(name: str) -> World:
    made = World(mirrored=Mirrored(configured=True))
    made.model(mlflow={"registeredModel": name}, rollback={"bakeSeconds": 10, "standbySeconds": 3600})
    return made


def shown(mlflow: Mlflow, name: str) -> tuple[dict[str, str], dict[str, Any]]:
    """(alias → ModelVersion, ModelVersion → MLflow's version) as the server answers."""
    versions = {v.tags["topgraft.dev/version"]: v for v in mlflow._client.search_model_versions(f"name='{name}'")}
    numbers = {str(v.version): one for one, v in versions.items()}
    aliases = mlflow._client.get_registered_model(name).aliases
    return {alias: numbers[str(number)] for alias, number in aliases.items()}, versions


def test_the_alias_follows_promotion_and_rollback_and_lineage_is_in_the_tags(mlflow: Mlflow) -> None:
    world = world_of("digits")
    world.base(lineage=LINEAGE, description="First")
    mirrored(world, mlflow, 60)
    aliases, versions = shown(mlflow, "digits")
    assert aliases == {"serving": "digits-1"}
    first = versions["digits-1"]
    assert (str(first.version), first.status, first.description) == ("1", "READY", "First")
    assert first.tags["training_data_hash"] == LINEAGE["trainingDataHash"]
    assert (first.tags["feature_parameters.scale"], first.tags["hyperparameters.learning rate_"]) == ("16", "0.1")
    assert first.tags["artifact_digest"] == world.artifact
    world.upgrade("v2")
    mirrored(world, mlflow, 60)
    second = str(world.serving)
    assert shown(mlflow, "digits")[0] == {"serving": second, "previous": "digits-1"}
    world.dead.add(second)
    mirrored(world, mlflow, 60)
    assert world.serving == "digits-1"
    aliases, versions = shown(mlflow, "digits")
    assert aliases == {"serving": "digits-1"}
    assert str(versions[second].version) == "2"
    assert versions[second].tags["parent_version"] == "digits-1"
    assert world.conditions("Model", MODEL)["MlflowSynced"] == ("True", "Mirrored")
    told = world.objects["ModelVersion", second]["status"]["mlflow"]
    assert told == {"version": "2"}


def registration(name: str, *versions: str, owner: str = "team/a", serving: str | None = None) -> Registration:
    records = tuple(
        Record(
            v,
            "c",
            f"kubernetes://team/modelversions/{v}",
            "",
            (("topgraft.dev/content", "c"), ("topgraft.dev/version", v)),
        )
        for v in versions
    )
    return Registration(name, owner, "", records, serving, None)


def test_what_is_there_is_found_again_and_not_written_again(mlflow: Mlflow) -> None:
    wanted = registration("again", "a-1", "a-2", serving="a-2")
    assert mlflow(wanted) == {"a-1": "1", "a-2": "2"}
    before = mlflow._client.get_registered_model("again").last_updated_timestamp
    time.sleep(0.01)
    assert mlflow(wanted) == {"a-1": "1", "a-2": "2"}, "also where no status knows the numbers"
    assert mlflow._client.get_registered_model("again").last_updated_timestamp == before
    other = replace(
        wanted.records[0], content="d", tags=(("topgraft.dev/content", "d"), ("topgraft.dev/version", "a-1"))
    )
    assert mlflow(replace(wanted, records=(other, wanted.records[1])))["a-1"] == "3", "another one of its name"


def test_a_model_of_others_is_left_alone_until_its_owner_gives_it(mlflow: Mlflow) -> None:
    mlflow(registration("owned", "a-1"))
    with pytest.raises(MlflowError, match="of another Model") as refused:
        mlflow(registration("owned", "b-1", owner="team/b"))
    assert (refused.value.reason, refused.value.everybody) == ("RegisteredModelTaken", False)
    assert set(shown(mlflow, "owned")[1]) == {"a-1"}
    mlflow._client.create_registered_model("free", description="by hand")
    with pytest.raises(MlflowError, match=r"the tag topgraft\.dev/adopt=team/a"):
        mlflow(registration("free", "a-1", serving="a-1"))
    assert shown(mlflow, "free") == ({}, {})
    mlflow._client.set_registered_model_tag("free", ADOPT, "team/a")
    mlflow(registration("free", "a-1", serving="a-1"))
    assert shown(mlflow, "free")[0] == {"serving": "a-1"}
    assert mlflow._client.get_registered_model("free").description == "by hand"


def test_the_longest_tags_are_taken(mlflow: Mlflow) -> None:
    one = registration("long", "a-1")
    tags = (*one.records[0].tags, ("k" * MAX_KEY, "v" * MAX_VALUE), ("a-b_c.d e:f/g", "语" * MAX_VALUE))
    assert mlflow(replace(one, records=(replace(one.records[0], tags=tags),))) == {"a-1": "1"}
    assert shown(mlflow, "long")[1]["a-1"].tags["k" * MAX_KEY] == "v" * MAX_VALUE


def test_a_server_that_is_down_is_told_and_rollouts_go_on(mlflow: Mlflow, server: Server) -> None:
    world = world_of("down")
    world.base()
    mirrored(world, mlflow, 60)
    server.stop()
    began = time.monotonic()
    with pytest.raises(MlflowError) as failed:
        mlflow(registration("down", "a-1"))
    assert failed.value.everybody
    assert time.monotonic() - began < 10
    world.upgrade("v2")
    mirrored(world, mlflow, 60)
    assert world.serving_tag == "v2"
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")
    assert world.conditions("Model", MODEL)["MlflowSynced"] == ("False", "MlflowUnreachable")
    server.start()
    world.mirrored = Mirrored(configured=True)
    mirrored(world, mlflow, 10)
    assert world.conditions("Model", MODEL)["MlflowSynced"] == ("True", "Mirrored")
    assert shown(mlflow, "down")[0] == {"serving": str(world.serving), "previous": "digits-1"}
