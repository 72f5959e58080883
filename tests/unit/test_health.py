"""Argo CD and kstatus over every state: never healthy while something is wrong, never waiting for ever."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.health import AGREEMENT, HEALTH_LUA, argo_health, contract_violations, kstatus

Ends = Literal["", "deadline", "object", "queue", "user"]


class State(NamedTuple):
    """A state of an object, and what must be seen of it."""

    kind: str
    name: str
    conditions: dict[str, tuple[str, str]]
    """Type -> (status, reason)."""
    argo: str
    kstatus: str
    wrong: bool = False
    """Somebody must look at it."""
    ends: Ends = ""
    """What ends a state of waiting: a time limit, a missing object that arrives, a free place, the user's own go."""
    spec: dict[str, Any] = {}  # noqa: RUF012
    generation: int = 3
    observed: int = 3


def ready(reason: str, **more: tuple[str, str]) -> dict[str, tuple[str, str]]:
    return {"Ready": ("True", reason), **more}


def waiting(reason: str, status: str = "False", **more: tuple[str, str]) -> dict[str, tuple[str, str]]:
    return {"Ready": (status, reason), "Reconciling": ("True", reason), **more}


def stalled(reason: str, **more: tuple[str, str]) -> dict[str, tuple[str, str]]:
    return {"Ready": ("False", reason), "Stalled": ("True", reason), **more}


def held(reason: str) -> dict[str, tuple[str, str]]:
    return {"Ready": ("Unknown", reason), "Suspended": ("True", reason)}


def upgrade_failed(reason: str) -> dict[str, tuple[str, str]]:
    return stalled(reason, Succeeded=("False", reason), RolledBack=("True", reason))


REFUSED = (
    "AdapterRepositoryChanged",
    "ModuleMismatch",
    "ClassMismatch",
    "ApiIncompatible",
    "ContractMissing",
    "LoadFailed",
    "ArtifactsChanged",
    "InvalidImageName",
    "ImageNotFound",
    "ImageRunsAsRoot",
    "CrashLoop",
    "RunContainerError",
)
ENVIRONMENT = (
    "Unschedulable",
    "QuotaExceeded",
    "VolumeNotMounted",
    "PersistentVolumeClaimNotFound",
    "ConfigMapNotFound",
    "SecretNotFound",
    "RegistryUnavailable",
)
KINDS = ("Model", "ModelVersion", "AdapterUpgrade")

STATES = [
    *(State(k, "created, not seen yet", {}, "Progressing", "InProgress", ends="deadline", observed=-1) for k in KINDS),
    *(
        State(k, "edited, not seen yet", ready("Serving"), "Progressing", "InProgress", ends="deadline", observed=2)
        for k in KINDS
    ),
    *(
        State(
            k, "edited after a failure", stalled("CrashLoop"), "Progressing", "InProgress", ends="deadline", observed=2
        )
        for k in KINDS
    ),
    # AdapterUpgrade
    State(
        "AdapterUpgrade", "suspended", held("Suspended"), "Suspended", "InProgress", ends="user", spec={"suspend": True}
    ),
    State(
        "AdapterUpgrade",
        "suspended, not seen yet",
        {},
        "Suspended",
        "InProgress",
        ends="user",
        spec={"suspend": True},
        observed=-1,
    ),
    State("AdapterUpgrade", "under a pin", held("Pinned"), "Suspended", "InProgress", ends="user"),
    State("AdapterUpgrade", "queued", waiting("Queued", "Unknown"), "Progressing", "InProgress", ends="queue"),
    *(
        State(
            "AdapterUpgrade",
            step,
            waiting(step, "Unknown", Succeeded=("Unknown", step)),
            "Progressing",
            "InProgress",
            ends="deadline",
        )
        for step in ("Deriving", "Verifying", "Starting", "Switching", "Baking")
    ),
    State("AdapterUpgrade", "succeeded", ready("Succeeded", Succeeded=("True", "Succeeded")), "Healthy", "Current"),
    State("AdapterUpgrade", "already at target", ready("AlreadyAtTarget"), "Healthy", "Current"),
    State("AdapterUpgrade", "superseded", ready("Superseded"), "Healthy", "Current"),
    State("AdapterUpgrade", "overtaken", ready("Overtaken"), "Healthy", "Current"),
    State(
        "AdapterUpgrade", "rolled back after the switch", upgrade_failed("NotReady"), "Degraded", "Failed", wrong=True
    ),
    State(
        "AdapterUpgrade", "standby taken long after", upgrade_failed("NoReadyPods"), "Degraded", "Failed", wrong=True
    ),
    State("AdapterUpgrade", "unhealthy, rollback not automatic", stalled("NotReady"), "Degraded", "Failed", wrong=True),
    *(State("AdapterUpgrade", f"refused: {r}", upgrade_failed(r), "Degraded", "Failed", wrong=True) for r in REFUSED),
    *(
        State(
            "AdapterUpgrade", f"environment: {r}", waiting(r, "Unknown"), "Progressing", "InProgress", ends="deadline"
        )
        for r in ENVIRONMENT
    ),
    State(
        "AdapterUpgrade",
        "environment past its deadline",
        stalled("EnvironmentNotReady"),
        "Degraded",
        "Failed",
        wrong=True,
    ),
    State("AdapterUpgrade", "no such Model", waiting("ModelNotFound"), "Progressing", "InProgress", ends="object"),
    State(
        "AdapterUpgrade", "no such fromVersion", waiting("VersionNotFound"), "Progressing", "InProgress", ends="object"
    ),
    State("AdapterUpgrade", "base ambiguous", stalled("BaseAmbiguous"), "Degraded", "Failed", wrong=True),
    # Model
    State("Model", "no version yet", waiting("NoVersion"), "Progressing", "InProgress", ends="object"),
    State("Model", "pin names no version", waiting("VersionNotFound"), "Progressing", "InProgress", ends="object"),
    State("Model", "first deployment", waiting("Starting"), "Progressing", "InProgress", ends="deadline"),
    State(
        "Model",
        "serving, nothing to go back to",
        ready("Serving", RollbackReady=("False", "RollbackTargetMissing")),
        "Healthy",
        "Current",
    ),
    State("Model", "serving", ready("Serving", RollbackReady=("True", "StandbyReady")), "Healthy", "Current"),
    State("Model", "scaled to nothing", ready("ScaledToZero"), "Healthy", "Current"),
    State(
        "Model",
        "rollout in progress",
        waiting("Baking", "Unknown", Available=("True", "PodsReady")),
        "Progressing",
        "InProgress",
        ends="deadline",
    ),
    State(
        "Model",
        "upgrade rolled back, stable version serves",
        stalled("ClassMismatch", Available=("True", "PodsReady")),
        "Degraded",
        "Failed",
        wrong=True,
    ),
    State("Model", "ungoverned", ready("Serving", Ungoverned=("True", "UpgradeDeleted")), "Healthy", "Current"),
    State(
        "Model",
        "adapter overridden",
        ready("Serving", AdapterOverridden=("True", "UpgradeGoverns")),
        "Healthy",
        "Current",
    ),
    State("Model", "pinned or new base version failed", stalled("TargetFailed"), "Degraded", "Failed", wrong=True),
    State("Model", "no ready pod", waiting("NotReady"), "Progressing", "InProgress", ends="deadline"),
    State("Model", "no ready pod past the deadline", stalled("NotReady"), "Degraded", "Failed", wrong=True),
    State(
        "Model",
        "serving change stalls, old pods serve",
        stalled("ServingChangeStalled"),
        "Degraded",
        "Failed",
        wrong=True,
    ),
    State("Model", "Service of another", stalled("ServiceNotOwned"), "Degraded", "Failed", wrong=True),
    State("Model", "base ambiguous", stalled("BaseAmbiguous"), "Degraded", "Failed", wrong=True),
    State("Model", "environment past its deadline", stalled("EnvironmentNotReady"), "Degraded", "Failed", wrong=True),
    *(
        State("Model", f"environment: {r}", waiting(r), "Progressing", "InProgress", ends="deadline")
        for r in ENVIRONMENT
    ),
    # ModelVersion
    State("ModelVersion", "no such Model", waiting("ModelNotFound"), "Progressing", "InProgress", ends="object"),
    State("ModelVersion", "not the target", ready("Recorded", Serving=("False", "NotSelected")), "Healthy", "Current"),
    State("ModelVersion", "checked", waiting("Verifying", "Unknown"), "Progressing", "InProgress", ends="deadline"),
    State("ModelVersion", "serving", ready("Serving", Serving=("True", "Selected")), "Healthy", "Current"),
    *(State("ModelVersion", f"refused: {r}", stalled(r), "Degraded", "Failed", wrong=True) for r in REFUSED),
]


def body(state: State) -> dict[str, Any]:
    conditions = [
        {
            "type": name,
            "status": status,
            "reason": reason,
            "message": f"{reason} in words",
            "observedGeneration": state.observed,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for name, (status, reason) in state.conditions.items()
    ]
    return {
        "apiVersion": "topgraft.dev/v1alpha1",
        "kind": state.kind,
        "metadata": {"name": "digits", "namespace": "default", "generation": state.generation},
        "spec": state.spec,
        "status": {"observedGeneration": state.observed, "conditions": conditions},
    }


@pytest.mark.parametrize("state", STATES, ids=lambda s: f"{s.kind}: {s.name}")
class TestEveryState:
    def test_argo_and_kstatus_say_what_the_table_says(self, state: State) -> None:
        assert (argo_health(body(state)).status, kstatus(body(state))) == (state.argo, state.kstatus)

    def test_never_healthy_while_something_is_wrong(self, state: State) -> None:
        if state.wrong:
            assert (argo_health(body(state)).status, kstatus(body(state))) == ("Degraded", "Failed")

    def test_never_waiting_for_ever(self, state: State) -> None:
        waits = argo_health(body(state)).status in ("Progressing", "Suspended") or kstatus(body(state)) == "InProgress"
        assert waits == bool(state.ends)

    def test_the_status_keeps_the_contract(self, state: State) -> None:
        assert contract_violations(body(state)) == []

    def test_the_message_is_the_condition_that_decides(self, state: State) -> None:
        if state.observed == state.generation and not state.spec:
            assert argo_health(body(state)).message.endswith(" in words")


def test_an_object_without_any_status_waits() -> None:
    obj = {"metadata": {"generation": 1}, "spec": {}}
    assert argo_health(obj).status == "Progressing"


@pytest.mark.parametrize(
    ("conditions", "complaint"),
    [
        ({"Ready": ("False", "NotReady")}, "kstatus would wait for ever"),
        ({"Ready": ("Unknown", "Pinned")}, "Progressing for ever"),
        (ready("Serving", Stalled=("True", "CrashLoop")), "Ready although Stalled"),
        ({**waiting("A"), **stalled("B")}, "both Stalled and Reconciling"),
        (ready("Serving", Reconciling=("False", "Done")), "Reconciling is there although"),
        ({"Succeeded": ("True", "Succeeded")}, "Ready is missing"),
        (ready("not CamelCase"), "no CamelCase reason"),
    ],
)
def test_the_contract_finds(conditions: dict[str, tuple[str, str]], complaint: str) -> None:
    found = contract_violations(body(State("Model", "", conditions, "", "")))
    assert any(complaint in violation for violation in found), found


statuses = st.sampled_from(["True", "False", "Unknown"])
any_conditions = st.dictionaries(
    st.sampled_from(["Ready", "Reconciling", "Stalled", "Suspended", "Succeeded", "Healthy", "RolledBack"]),
    st.tuples(statuses, st.just("Reason")),
)


@given(any_conditions)
def test_whatever_keeps_the_contract_looks_the_same_to_both(conditions: dict[str, tuple[str, str]]) -> None:
    obj = body(State("Model", "", conditions, "", ""))
    if not contract_violations(obj):
        assert AGREEMENT[argo_health(obj).status] == kstatus(obj)
        if conditions.get("Stalled"):
            assert argo_health(obj).status == "Degraded"


def test_argocd_cm_carries_this_script_for_the_whole_group() -> None:
    config = yaml.safe_load((HEALTH_LUA.parent / "argocd-cm.yaml").read_text())
    customizations = yaml.safe_load(config["data"]["resource.customizations"])
    assert config["metadata"]["name"] == "argocd-cm"
    assert customizations["topgraft.dev/*"]["health.lua"].strip() == HEALTH_LUA.read_text().strip()
