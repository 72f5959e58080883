"""What GitOps tools make of an object: Argo CD by our health script, Flux and Helm by kstatus.

Tests that make statuses (by hand or by `plan`) feed them to `argo_health`, `kstatus` and `contract_violations`.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any, NamedTuple

from lupa import lua51  # type: ignore[import-untyped]

HEALTH_LUA = Path(__file__).parents[2] / "manifests" / "argocd" / "health.lua"

# Argo CD opens these libraries for scripts of argocd-cm; everything else is nil there.
_FORBIDDEN = ("string", "math", "io", "debug", "coroutine", "require", "dofile", "loadfile")
_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_TELLING = ("Ready", "Reconciling", "Stalled", "Suspended")
"""Conditions whose message a tool shows to its user."""

Object = dict[str, Any]


class Health(NamedTuple):
    status: str
    """Healthy, Progressing, Degraded or Suspended."""
    message: str


@functools.cache
def _script() -> tuple[Any, Any]:
    """A Lua 5.1 state (the version that Argo CD embeds) as Argo CD opens it, and the script as a function of obj."""
    runtime = lua51.LuaRuntime(unpack_returned_tuples=True)
    for name in _FORBIDDEN:
        runtime.globals()[name] = None
    return runtime, runtime.execute(f"return function(obj)\n{HEALTH_LUA.read_text()}\nend")


def argo_health(obj: Object) -> Health:
    """The health that Argo CD shows, by manifests/argocd/health.lua."""
    runtime, judge = _script()
    answer = judge(runtime.table_from(obj, recursive=True))
    return Health(answer["status"], answer["message"])


def kstatus(obj: Object) -> str:
    """InProgress, Current, Failed or Terminating, by the published rules of kstatus for a kind it does not know.

    Source of the rules: kubernetes-sigs/cli-utils, pkg/kstatus, README.md ("The status of a resource") and the order of
    `status.Compute`: deletion, generation, Reconciling and Stalled as they are listed, Ready, else Current.
    """
    metadata, status = obj["metadata"], obj.get("status", {})
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    observed = status.get("observedGeneration")
    if observed is not None and observed != metadata["generation"]:
        return "InProgress"
    conditions = status.get("conditions", [])
    for condition in conditions:
        if condition["status"] == "True" and condition["type"] in ("Reconciling", "Stalled"):
            return "InProgress" if condition["type"] == "Reconciling" else "Failed"
    for condition in conditions:
        if condition["type"] == "Ready":
            return "Current" if condition["status"] == "True" else "InProgress"
    return "Current"


AGREEMENT = {"Healthy": "Current", "Degraded": "Failed", "Progressing": "InProgress", "Suspended": "InProgress"}
"""What kstatus must say where Argo CD says the key; kstatus knows no suspension."""


def contract_violations(obj: Object) -> list[str]:
    """What a status written by the operator does wrong, in words; empty when it keeps the contract.

    The contract, under which no tool waits for ever on something that failed or calls it healthy: Ready is always
    there; False means Stalled or Reconciling, Unknown means Reconciling or Suspended; Stalled and Reconciling are
    there only when True, never both, and nothing is Stalled and Ready.
    """
    status = obj["status"]
    conditions = {condition["type"]: condition for condition in status.get("conditions", [])}
    found = _malformed(status.get("conditions", []))
    if status.get("observedGeneration", -1) == -1:
        return found
    state = {name: conditions.get(name, {}).get("status") for name in ("Ready", "Stalled", "Reconciling", "Suspended")}
    if state["Ready"] is None:
        found.append("Ready is missing")
    for name in ("Stalled", "Reconciling"):
        if state[name] not in (None, "True"):
            found.append(f"{name} is there although it is {state[name]}")
    if state["Stalled"] and state["Reconciling"]:
        found.append("both Stalled and Reconciling: a tool shows whichever comes first")
    if state["Ready"] == "True" and state["Stalled"]:
        found.append("Ready although Stalled")
    if state["Ready"] == "False" and not (state["Stalled"] or state["Reconciling"]):
        found.append("Ready=False without Stalled or Reconciling: kstatus would wait for ever")
    if state["Ready"] == "Unknown" and not (state["Reconciling"] or state["Suspended"] == "True"):
        found.append("Ready=Unknown without Reconciling or Suspended: Argo CD would be Progressing for ever")
    health, computed = argo_health(obj).status, kstatus(obj)
    if not found and AGREEMENT[health] != computed:
        found.append(f"Argo CD says {health}, kstatus says {computed}")
    return found


def _malformed(conditions: list[Object]) -> list[str]:
    found = []
    for condition in conditions:
        name = condition.get("type", "?")
        if not _REASON.fullmatch(condition.get("reason", "")):
            found.append(f"{name} has no CamelCase reason")
        if condition.get("status") not in ("True", "False", "Unknown"):
            found.append(f"{name} has status {condition.get('status')!r}")
        if name in _TELLING and not condition.get("message"):
            found.append(f"{name} has no message")
        if "observedGeneration" not in condition or "lastTransitionTime" not in condition:
            found.append(f"{name} lacks observedGeneration or lastTransitionTime")
    if len({condition.get("type") for condition in conditions}) != len(conditions):
        found.append("a condition type is listed twice")
    return found
