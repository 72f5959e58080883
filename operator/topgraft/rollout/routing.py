"""The Model's HTTPRoute: what it says, whether Gateways have taken it over, and how the share of a canary leaves it.

The Service's decision names the step; the route follows it. A weight counts from the moment when every Gateway that the
route is attached to has accepted the very generation that carries it, as the route's status tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from topgraft.api.route import HeaderMatch, HttpRoute, ParentRef
from topgraft.rollout.candidate import candidate_name, live_service
from topgraft.rollout.conditions import Says, recorded
from topgraft.rollout.derive import owner_of
from topgraft.rollout.faults import Fault
from topgraft.rollout.instructions import Apply, Delete, Write
from topgraft.rollout.podspec import ports
from topgraft.rollout.render import stamped
from topgraft.rollout.routeview import GatewayApi, HTTPRoute, RouteParent
from topgraft.rollout.views import APPLIED, BRANCH_LABEL, MODEL_LABEL, Decision

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

API = "gateway.networking.k8s.io"
WHOLE = 100
"""The weight of what gets all requests."""
GRACE = timedelta(seconds=10)
"""A Gateway accepts a route some moments before its data plane follows; so long the pods that it leaves stay."""
PATIENCE = timedelta(seconds=5)
"""How long an answer to a new weight may take before it is told of."""
UNUSABLE = {
    GatewayApi.OFF: "spec.serving.httpRoute is given, and the operator runs without --gateway-api: set the Helm value "
    "operator.gatewayApi to true",
    GatewayApi.MISSING: f"spec.serving.httpRoute is given, and the cluster does not serve httproutes.{API}/v1: install "
    "the Gateway API (https://gateway-api.sigs.k8s.io) and a controller for it",
    GatewayApi.FORBIDDEN: f"spec.serving.httpRoute is given, and the operator may not read httproutes.{API}: set the "
    "Helm value operator.gatewayApi to true, or grant it by a role of your own",
}


def asked(at: Situation) -> HttpRoute | None:
    return at.model.spec.serving.http_route


def route_of(at: Situation) -> HTTPRoute | None:
    """The route as it is in the cluster; None where there is none of ours."""
    mine = at.own(at.seen.routes, at.model.metadata.name)
    return mine if mine is not None and mine.metadata.deletion_timestamp is None else None


def split(at: Situation) -> Decision | None:
    """The step by which the route, and not the Service, gives a share of the requests to the candidate."""
    decision = at.decision
    return decision if decision is not None and decision.routed and decision.splits else None


# -- what it says ---------------------------------------------------------------------------------------------------
def weight(at: Situation) -> int | None:
    """Percent for the candidate's Service; 0 while Gateways may still send it requests, None where it is not named."""
    begun, live = split(at), route_of(at)
    named = live.weight(candidate_name(at.model)) if live else None
    if begun is None:
        return None if named is None or settled(at) else 0
    canary = at.model.spec.strategy.canary
    if canary is None:
        return named or 0
    return canary.steps[min(begun.step or 0, len(canary.steps) - 1)].weight


def _parent(ref: ParentRef) -> dict[str, Any]:
    given = {"namespace": ref.namespace, "sectionName": ref.section_name, "port": ref.port}
    return {"group": API, "kind": "Gateway", "name": ref.name} | {k: v for k, v in given.items() if v is not None}


def route(at: Situation, wanted: HttpRoute) -> dict[str, Any]:
    """The whole route, with the fields that the API server would fill in: a look tells what somebody changed."""
    model, share = at.model, weight(at)
    refs = [_backend(at, model.metadata.name, WHOLE - (share or 0))]
    if share is not None:
        refs.append(_backend(at, candidate_name(model), share))
    spec: dict[str, Any] = {"parentRefs": [_parent(ref) for ref in wanted.parent_refs]}
    if wanted.hostnames:
        spec["hostnames"] = list(wanted.hostnames)
    path = {"type": "PathPrefix", "value": wanted.path_prefix}
    sends = [(match, _branch_service(at, match.branch)) for match in wanted.header_matches if not _apart(at, match)]
    spec["rules"] = [
        *({"matches": [_match(path, one)], "backendRefs": [_backend(at, name, WHOLE)]} for one, name in sends),
        {"matches": [{"path": path}], "backendRefs": refs},
    ]
    return stamped(
        {
            "apiVersion": f"{API}/v1",
            "kind": "HTTPRoute",
            "metadata": {
                "name": model.metadata.name,
                "namespace": model.metadata.namespace,
                "labels": {MODEL_LABEL: model.metadata.name, "app.kubernetes.io/managed-by": "topgraft"},
                "ownerReferences": owner_of(model),
            },
            "spec": spec,
        }
    )


def _match(path: dict[str, str], wanted: HeaderMatch) -> dict[str, Any]:
    return {"path": path, "headers": [{"type": "Exact", "name": wanted.header, "value": wanted.value}]}


def _branch_service(at: Situation, branch: str) -> str:
    return f"{at.model.metadata.name}-{branch}"


def _apart(at: Situation, wanted: HeaderMatch) -> str:
    """Why no request goes to the branch: a rule without its Service would make the whole route unresolved."""
    name = _branch_service(at, wanted.branch)
    if at.own(at.seen.services, name) is None:
        return f"branch {wanted.branch!r} has no Service yet"
    # What it is to run counts before it has pods; those that it had before count until they are gone.
    pods = (p for p in at.seen.pods if p.metadata.labels.get(BRANCH_LABEL) == wanted.branch and p.runs_for(name))
    to_run = (run.version for run in at.branches if run.name == name)
    found = (*to_run, *(at.versions.get(pod.version or "") for pod in pods))
    aside = next((v.metadata.name for v in found if v is not None and v.spec.channel == "Experimental"), "")
    return f"branch {wanted.branch!r} runs {aside}, whose channel is Experimental" if aside else ""


def reaches(at: Situation, service: str) -> bool:
    """Whether a Gateway may send requests to a branch's Service: by the route as it is, or as it was before.

    An answer of every Gateway to the route without it is waited for as long as an attempt may wait for the cluster.
    """
    live = route_of(at)
    if live is None:
        return False
    if live.names(service):
        return True
    if asked(at) is None or verdict(at).status == "True":
        return False
    told = recorded(at.model.status.conditions, "RouteReady")
    patience = timedelta(seconds=at.model.spec.strategy.progress_deadline_seconds)
    return told is None or told.status == "True" or at.now < told.last_transition_time + patience


def _backend(at: Situation, service: str, share: int) -> dict[str, Any]:
    port = next(p.port for p in ports(at.model) if p.name == "http")
    return {"group": "", "kind": "Service", "name": service, "port": port, "weight": share}


def _intact(live: HTTPRoute | None, body: dict[str, Any]) -> bool:
    if live is None:
        return False
    applied = live.metadata.annotations.get(APPLIED) == body["metadata"]["annotations"][APPLIED]
    return applied and _within(body["spec"], live.spec)


def _within(made: Any, live: Any) -> bool:
    """Whether all that we wrote stands; a newer Gateway API may have filled in fields that we do not know."""
    if isinstance(made, dict):
        return isinstance(live, dict) and all(key in live and _within(value, live[key]) for key, value in made.items())
    if isinstance(made, list):
        same = isinstance(live, list) and len(made) == len(live)
        return same and all(_within(one, other) for one, other in zip(made, live, strict=True))
    return bool(made == live)


def route_writes(at: Situation) -> Iterator[Write]:
    """Make the route say what the decision says. Without `spec.serving.httpRoute` it goes."""
    live, wanted = route_of(at), asked(at)
    if at.seen.gateway_api is not GatewayApi.READY:
        return
    if wanted is None:
        if live is not None:
            yield Delete("HTTPRoute", live.metadata.namespace, live.name, live.metadata.uid)
    elif at.decision is not None:
        body = route(at, wanted)
        if not _intact(live, body):
            yield Apply(body, new=live is None)


# -- what Gateways answer -------------------------------------------------------------------------------------------
def verdict(at: Situation) -> Says:
    """The condition RouteReady. True: every Gateway has taken over the route as it should be now."""
    wanted, live = asked(at), route_of(at)
    assert wanted is not None
    if text := UNUSABLE.get(at.seen.gateway_api):
        return Says("RouteReady", "False", at.seen.gateway_api.value, text)
    name = at.model.metadata.name
    if text := at.seen.refusals.get(f"HTTPRoute/{name}"):
        return Says("RouteReady", "False", "RouteRefused", f"HTTPRoute {name!r}: {text}")
    if at.decision is None:
        return Says("RouteReady", "Unknown", "NothingServes", "the route is made when a version serves")
    if live is None or not _intact(live, route(at, wanted)):
        return Says("RouteReady", "Unknown", "RoutePending", f"HTTPRoute {name!r} is being written")
    answers = [_answer(at, live, ref) for ref in wanted.parent_refs]
    worst = next((a for kind in ("False", "Unknown") for a in answers if a.status == kind), None)
    if worst is not None:
        return worst
    text = f"{len(answers)} of {len(answers)} Gateways have accepted HTTPRoute {name!r}"
    left_out = [why for match in wanted.header_matches if (why := _apart(at, match))]
    return Says("RouteReady", "True", "RouteAccepted", "; ".join((text, *left_out)))


def _answer(at: Situation, live: HTTPRoute, ref: ParentRef) -> Says:
    """What the controller of one Gateway says of this very generation of the route."""
    place = f"Gateway {ref.namespace or at.model.metadata.namespace}/{ref.name}"
    listener = ref.section_name or (f"port {ref.port}" if ref.port else "")
    place += f" ({listener})" if listener else ""
    found = [parent for parent in live.status.parents if _is(at, parent, ref)]
    for parent in found:
        for kind, reason in (("Accepted", "RouteNotAccepted"), ("ResolvedRefs", "RouteRefsUnresolved")):
            told = parent.condition(kind)
            if told is None or told.observed_generation < live.metadata.generation or told.status == "Unknown":
                text = f"{place}: its controller {parent.controller_name} has not answered to the last change yet"
                return Says("RouteReady", "Unknown", "RoutePending", text)
            if told.status == "False":
                return Says("RouteReady", "False", reason, f"{place}: {told.reason}: {told.message}")
    if not found:
        text = f"{place}: no controller has answered; does that Gateway exist, and does its controller run?"
        return Says("RouteReady", "Unknown", "RoutePending", text)
    return Says("RouteReady", "True", "RouteAccepted")


def _is(at: Situation, parent: RouteParent, ref: ParentRef) -> bool:
    own, told = at.model.metadata.namespace, parent.parent_ref
    mine = (API, "Gateway", ref.namespace or own, ref.name, ref.section_name or "", ref.port)
    return mine == (told.group, told.kind, told.namespace or own, told.name, told.section_name, told.port)


def in_force(at: Situation) -> bool:
    """Whether requests go where the decision sends them, as far as the route's status can tell."""
    return asked(at) is not None and verdict(at).status == "True"


def fault(at: Situation) -> Fault | None:
    """Why a canary that goes by the route cannot take its next step: never the version's own fault."""
    if asked(at) is None:
        return None
    told, begun = verdict(at), split(at)
    fresh = begun is not None and at.now < begun.time + PATIENCE
    if told.status == "True" or (told.status == "Unknown" and fresh):
        return None
    return Fault(told.reason, told.message, False, at.now)


def _lasts(at: Situation) -> tuple[Says, datetime] | None:
    """What is wrong with the route, and from when on that is no passing matter: a controller may answer late, or trip
    over a Service that it has not seen yet."""
    if asked(at) is None or at.serving is None:
        return None
    told, strategy = verdict(at), at.model.spec.strategy
    before = recorded(at.model.status.conditions, "RouteReady")
    if told.status == "True" or before is None or before.status != told.status:
        return None
    patience = strategy.fail_fast_seconds if told.status == "False" else strategy.progress_deadline_seconds
    return told, before.last_transition_time + timedelta(seconds=patience)


def broken(at: Situation) -> Says | None:
    """Why callers of the route get no answer although the Service has one; None before it has lasted."""
    found = _lasts(at)
    return found[0] if found is not None and at.now >= found[1] else None


def breaks(at: Situation) -> datetime | None:
    """When time alone makes the route's trouble the Model's."""
    found = _lasts(at)
    return found[1] if found is not None and at.now < found[1] else None


# -- how a share leaves it ------------------------------------------------------------------------------------------
def lingering(at: Situation) -> str | None:
    """The version that Gateways may send requests to by `<model>-candidate`: its pods and that Service stay."""
    live = route_of(at)
    if (begun := split(at)) is not None:
        return begun.candidate
    if live is None or live.weight(candidate_name(at.model)) is None or settled(at):
        return None
    service = live_service(at)
    return service.selects if service is not None else None


def settled(at: Situation) -> bool:
    """Whether no Gateway sends the candidate's Service requests any more.

    A Gateway whose controller is dead answers never: it is waited for as long as an attempt may wait for the cluster.
    """
    live, decision = route_of(at), at.decision
    if live is None or decision is None:
        return True
    if at.now >= decision.time + timedelta(seconds=at.model.spec.strategy.progress_deadline_seconds):
        return True
    if live.weight(candidate_name(at.model)) != 0 or at.now < _grace_ends(decision):
        return False
    accepted = (c for p in live.status.parents if (c := p.condition("Accepted")) and c.status == "True")
    return all(c.observed_generation >= live.metadata.generation for c in accepted)


def _grace_ends(decision: Decision) -> datetime:
    return decision.time + GRACE if decision.routed else decision.time


def settles(at: Situation) -> datetime | None:
    """When time alone may end the wait for Gateways; None while none is waited for."""
    if split(at) is not None or lingering(at) is None or at.decision is None:
        return None
    grace = _grace_ends(at.decision)
    return (
        grace
        if at.now < grace
        else at.decision.time + timedelta(seconds=at.model.spec.strategy.progress_deadline_seconds)
    )
