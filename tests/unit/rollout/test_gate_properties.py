"""The random users of `test_properties`, who also close gates, approve, and report defects."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from topgraft.rollout.instructions import Plan
from topgraft.rollout.views import APPROVED_VERSION, DECISION, DEFECT

from .test_properties import EXAMPLES, Rollouts
from .world import MODEL

PARTS = 2
NEVER = {"days": ["Mon"], "start": "00:00", "hours": 1, "timeZone": "Mars/Phobos"}


class GatedRollouts(Rollouts):
    """What no gate may let through, and what none may hold."""

    def __init__(self) -> None:
        super().__init__()
        self.strategy: dict[str, Any] = {}

    def _look(self) -> Plan:
        world = self.world
        model = world.objects["Model", MODEL]
        decided, record = self._decision(), dict(model.get("status", {}).get("rollout") or {})
        made = super()._look()
        now = self._decision()
        if decided is not None and decided["direction"] == "Forward" and now != decided:
            self._leaves_the_bake_for_what_may_come(decided, now or decided)
        if now is None or now == decided or now["direction"] != "Forward" or now["reason"] not in ("Upgrade", "Base"):
            return made
        if decided is not None and decided.get("from") == now["to"] and decided["leaves"] == "Standby":
            return made  # back to the previous version
        if self.strategy.get("requireApproval"):
            assert model["metadata"].get("annotations", {}).get(APPROVED_VERSION) == now["to"]
            assert not self.strategy.get("windows"), "closed for ever"
        if self.strategy.get("windows"):
            assert record.get("to") == now["to"], "it began before the window was closed"
        return made

    def _leaves_the_bake_for_what_may_come(self, decided: dict[str, Any], now: dict[str, Any]) -> None:
        """An order that a gate would hold does not take back what another one let through."""
        wanted, _, why = now["message"].partition(" is wanted: ")
        if now["reason"] != "Superseded" or not why.startswith(("asked for", "it is the base")):
            return
        if wanted in (now["to"], decided.get("from")):
            return  # the way back
        assert not self.strategy.get("windows"), "closed for ever"
        approved = self.world.objects["Model", MODEL]["metadata"].get("annotations", {}).get(APPROVED_VERSION)
        assert approved == wanted or not self.strategy.get("requireApproval")

    def _decision(self) -> dict[str, Any] | None:
        service = self.world.objects.get(("Service", MODEL))
        text = service["metadata"].get("annotations", {}).get(DECISION) if service else None
        return json.loads(text) if text else None

    @rule(approval=st.booleans(), closed=st.booleans())
    def set_gates(self, approval: bool, closed: bool) -> None:
        self.strategy = {**self.strategy, "requireApproval": approval, "windows": [NEVER] if closed else []}
        spec = self.world.objects["Model", MODEL]["spec"]
        self.world.put("Model", MODEL, {**spec, "strategy": self.strategy})
        self._remember()

    @rule()
    def approve(self) -> None:
        if name := self.world.objects["Model", MODEL].get("status", {}).get("candidateVersion"):
            self.world.annotations("Model", MODEL)[APPROVED_VERSION] = name

    @rule(
        severity=st.sampled_from(("P0", "P0", "P1", "nonsense")),
        number=st.integers(1, 3),
        which=st.sampled_from(("", "serving", "candidate", "previous")),
    )
    def report_a_defect(self, severity: str, number: int, which: str) -> None:
        status = self.world.objects["Model", MODEL].get("status", {})
        version = status.get(f"{which}Version")
        self.world.annotations("Model", MODEL)[DEFECT] = f"{severity}:BUG-{number}" + (f"@{version}" if version else "")

    def teardown(self) -> None:
        self.set_gates(approval=False, closed=False)
        super().teardown()


SETTINGS = settings(
    max_examples=max(1, EXAMPLES // 4 // PARTS),
    stateful_step_count=50,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.mark.parametrize("part", range(PARTS))
def test_random_users_with_gates_and_defects(part: int) -> None:
    run_state_machine_as_test(seed(2000 + part)(GatedRollouts), settings=SETTINGS)
