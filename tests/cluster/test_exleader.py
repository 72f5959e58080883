"""An operator that is stopped in the middle of a write and wakes up when another one has done the work."""

from __future__ import annotations

from pathlib import Path

from support.gate import Gate
from support.live import Operator, wait_until
from support.stage import STEADY_SECONDS, Stage, condition, model, open_stage, upgrade, version

NAME = "digits"


def test_an_ex_leader_that_wakes_up_changes_nothing(crds: None, tmp_path: Path) -> None:
    """Stopped with its write of the Service on the way; the write arrives after another operator has done the work."""
    with Gate().running() as gate, open_stage(tmp_path, prefix="load", make=gate.operator) as stage:
        other = Operator(stage.namespace, tmp_path / "other.log", name="other")
        stage.kubectl.apply(model(NAME), version(NAME, "v1", adapter={"pullPolicy": "Always"}))
        stage.until_serves(NAME)
        gate.hold = lambda request: request.method == "PATCH" and request.path.endswith(f"/services/{NAME}")
        stage.kubectl.apply(upgrade(NAME, "v2"))
        assert gate.holds.wait(60), stage.story(NAME)
        stage.operator.pause()
        try:
            other.start(60)
            stage.until_ready("AdapterUpgrade", NAME, "True", "UpgradeSucceeded")
            stage.until_serves(NAME)
            wait_until(lambda: len(_candidates(stage)) == 0, STEADY_SECONDS, "the preflight pod is gone")
            before = _revisions(stage)
            gate.let_go()
            wait_until(lambda: gate.late, STEADY_SECONDS, "the late write is answered")
            assert gate.late == 409
            written = len(gate.written)
            stage.operator.resume()
            assert stage.operator.wait(30) == 1
            assert "another process decides" in stage.operator.tail()
            assert gate.written[written:] == []
            assert _revisions(stage) == before
            assert condition(stage.watched.live("Model", NAME)) == ("True", "Serving")
        finally:
            other.stop()


def _candidates(stage: Stage) -> list[str]:
    pods = stage.watched.all("Pod", model=NAME, role="preflight")
    return [states[-1].body["metadata"]["name"] for states in pods if not states[-1].gone]


def _revisions(stage: Stage) -> dict[str, str]:
    kinds = ("models", "modelversions", "adapterupgrades", "deployments", "services")
    return {
        f"{kind}/{body['metadata']['name']}": body["metadata"]["resourceVersion"]
        for kind in kinds
        for body in stage.kubectl.list(kind)
    }
