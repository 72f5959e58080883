"""The mirror in MLflow: what it is to show while versions come and go, and that nothing waits for it."""

from __future__ import annotations

from typing import Any

import pytest
from topgraft.governance.mlflow import MAX_VALUE, Mirrored, Outcome, Registration

from .world import MODEL, World

LINEAGE = {
    "trainingDataHash": "sha256:" + "7" * 64,
    "featureParameters": {"scale": "16"},
    "hyperparameters": {"learning rate*": "0.1", "long": "x" * 4096},
}


class Mirror:
    """Plays MLflow: shows what is wanted at once, or is down."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.down = False
        self.shown: list[Registration] = []
        self.numbers: dict[str, str] = {}
        world.mirrored = Mirrored(configured=True)

    def look(self) -> Any:
        made = self.world.look()
        wanted = made.registration
        if wanted is None:
            self.world.mirrored = Mirrored(configured=True)
        elif self.down:
            error = ("MlflowUnreachable", "it is tried again")
            self.world.mirrored = Mirrored(True, Outcome(wanted.digest, error=error))
        else:
            if not self.shown or self.shown[-1] != wanted:
                self.shown.append(wanted)
            for one in wanted.records:
                self.numbers.setdefault(one.name, str(len(self.numbers) + 1))
            self.world.mirrored = Mirrored(True, Outcome(wanted.digest, dict(self.numbers)))
        return made

    def run(self, seconds: float) -> None:
        self.world.run(seconds, self.look)
        self.world.run(0, self.look)

    @property
    def aliases(self) -> dict[str, str | None]:
        return self.shown[-1].aliases


@pytest.fixture
def world() -> World:
    made = World()
    made.model(mlflow={}, rollback={"bakeSeconds": 10, "standbySeconds": 3600})
    return made


def synced(world: World) -> tuple[str, str]:
    return world.conditions("Model", MODEL)["MlflowSynced"]


def test_the_alias_follows_promotion_and_rollback(world: World) -> None:
    mirror = Mirror(world)
    world.base(lineage=LINEAGE)
    mirror.run(60)
    assert mirror.aliases == {"serving": "digits-1", "previous": None}
    world.upgrade("v2")
    mirror.run(60)
    second = world.serving
    assert mirror.aliases == {"serving": second, "previous": "digits-1"}
    world.dead.add(str(second))
    mirror.run(60)
    assert mirror.aliases == {"serving": "digits-1", "previous": None}
    assert synced(world) == ("True", "Mirrored")
    numbers = {n: b["status"]["mlflow"]["version"] for (k, n), b in world.objects.items() if k == "ModelVersion"}
    assert numbers == {"digits-1": "1", second: "2"}
    assert world.objects["Model", MODEL]["status"]["mlflow"]["registeredModel"] == "team.digits"


def test_a_record_carries_lineage_and_proof_as_tags_that_mlflow_takes(world: World) -> None:
    mirror = Mirror(world)
    world.base(lineage=LINEAGE, description="First")
    mirror.run(60)
    one = mirror.shown[-1].records[0]
    tags = dict(one.tags)
    assert tags["training_data_hash"] == LINEAGE["trainingDataHash"]
    assert (tags["feature_parameters.scale"], tags["hyperparameters.learning rate_"]) == ("16", "0.1")
    assert tags["artifact_digest"] == world.artifact
    assert one.description == "First"
    assert all(len(key) <= 250 and len(value) <= MAX_VALUE for key, value in one.tags)


def test_nothing_waits_for_a_registry_that_is_down(world: World) -> None:
    mirror = Mirror(world)
    mirror.down = True
    world.base()
    mirror.run(60)
    world.upgrade("v2")
    mirror.run(60)
    assert world.serving_tag == "v2"
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")
    assert synced(world) == ("False", "MlflowUnreachable")
    world.writes.clear()
    mirror.run(600)
    assert world.writes == [], "the outage is told once"
    mirror.down = False
    world.mirrored = Mirrored(configured=True)
    mirror.run(10)
    assert synced(world) == ("True", "Mirrored")
    assert mirror.aliases == {"serving": world.serving, "previous": "digits-1"}


def test_what_is_mirrored_is_not_asked_for_again_after_a_restart(world: World) -> None:
    mirror = Mirror(world)
    world.base()
    mirror.run(60)
    world.writes.clear()
    world.mirrored = Mirrored(configured=True)
    made = world.look()
    assert made.registration is None
    world.run(7200)
    assert world.writes == []
    world.model(mlflow={"registeredModel": "numbers"}, rollback={"bakeSeconds": 10, "standbySeconds": 3600})
    mirror.run(10)
    assert mirror.shown[-1].registered_model == "numbers"


def test_without_mlflow_nothing_is_said_or_asked(world: World) -> None:
    world.base()
    world.run(60)
    assert synced(world) == ("False", "MlflowNotConfigured")
    assert world.look().registration is None
    Mirror(world)
    world.model(rollback={"bakeSeconds": 10, "standbySeconds": 3600})
    world.run(10)
    assert "MlflowSynced" not in world.conditions("Model", MODEL)
    assert world.look().registration is None
