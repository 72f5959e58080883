"""Looking up an upgrade's target: the pod that asks the registry with the Model's pull secrets, and its answer.

The operator itself asks no registry and reads no Secret. An answer counts once it is in the upgrade's status: a tag
that comes later changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.governance.refusal import Refusal
from topgraft.governance.targets import Question
from topgraft.rollout.barepod import ATTEMPT, bare_pod
from topgraft.rollout.conditions import recorded, rfc3339
from topgraft.rollout.content import wire
from topgraft.rollout.faults import faults_of, refusal_fault, worst
from topgraft.rollout.instructions import Apply, Delete, Write
from topgraft.rollout.podspec import CONTAINER_SECURITY, placement
from topgraft.rollout.situation import Situation
from topgraft.rollout.termination import MESSAGE_LIMIT, error_in, parse
from topgraft.rollout.views import Pod

ROLE = "resolve"
SECRETS = "/pull-secrets"
DEADLINE_SECONDS = 120
PAUSE = timedelta(seconds=30)
"""How long a registry that does not answer is left alone."""
RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
OBSTACLES = ("RegistryUnavailable", "ImagePullDenied")
"""What the program says of a registry; any other reason of it is about the target."""
ANSWERS = ("TagNotFound", "CommitNotFound", "CommitNotTagged", "LatestAmbiguous", "TooManyTags")


def resolve_name(model: str) -> str:
    return f"{model}-resolve"


def resolve_writes(at: Situation) -> Iterator[Write]:
    """The pod while a question is open, and its end afterwards."""
    question = at.target.question
    name = resolve_name(at.model.metadata.name)
    pods = [pod for pod in at.seen.pods if pod.role == ROLE and at.owns(pod)]
    for pod in pods:
        if pod.metadata.deletion_timestamp is None and (question is None or not _serves(at, pod, question)):
            yield Delete("Pod", at.model.metadata.namespace, pod.name, pod.metadata.uid)
    if question is not None and not any(pod.name == name for pod in pods):
        yield Apply(_pod(at, question), new=True)


def _serves(at: Situation, pod: Pod, question: Question) -> bool:
    if pod.metadata.annotations.get(ATTEMPT) != question.strict_mark:
        return False
    ended = pod.status.phase in ("Succeeded", "Failed")
    return not ended or _answer(pod) is not None or at.now - pod.metadata.creation_timestamp < PAUSE


def _pod(at: Situation, question: Question) -> dict[str, Any]:
    model = at.model
    names = [secret.name for secret in model.spec.serving.image_pull_secrets]
    # By number: a Secret's name may be longer than that of a volume.
    volumes = [{"name": f"secret-{i}", "secret": {"secretName": n, "optional": True}} for i, n in enumerate(names)]
    mounts = [{"name": f"secret-{i}", "mountPath": f"{SECRETS}/{i}", "readOnly": True} for i, _ in enumerate(names)]
    endpoints = [f"--registry={host}={url}" for host, url in at.seen.settings.registries]
    container = {
        "name": ROLE,
        "image": at.seen.settings.image,
        "args": ["tags", *question.arguments, *endpoints, f"--pull-secrets={SECRETS}"],
        "securityContext": CONTAINER_SECURITY,
        "resources": RESOURCES,
        "volumeMounts": mounts,
    }
    # The program asks the registry, never the API: no token, whatever account the Model's pods have.
    spec = placement(model) | {
        "activeDeadlineSeconds": DEADLINE_SECONDS,
        "containers": [container],
        "volumes": volumes,
    }
    return bare_pod(model, resolve_name(model.metadata.name), question.strict_mark, spec, role=ROLE)


def _current(at: Situation, question: Question) -> Pod | None:
    return at.own_pod(resolve_name(at.model.metadata.name), question.strict_mark)


def _said(pod: Pod) -> dict[str, Any] | None:
    """The program's last words."""
    ended = next((s.state.terminated for s in pod.status.container_statuses if s.name == ROLE), None)
    return parse(ended.message) if ended is not None else None


def _answer(pod: Pod) -> dict[str, Any] | None:
    """What is found, or why there is nothing: either is final. None while there is no answer yet."""
    said = _said(pod)
    if error := error_in(said, MESSAGE_LIMIT):
        return {"reason": error[0], "message": error[1]} if error[0] in ANSWERS else None
    digest, tag, commit = ((said or {}).get(name) for name in ("digest", "tag", "commit"))
    if not re.fullmatch("sha256:[0-9a-f]{64}", str(digest)) or not re.fullmatch(r"\w[\w.-]{0,127}", str(tag), re.ASCII):
        return None
    known = isinstance(commit, str) and re.fullmatch("[0-9a-f]{7,64}", commit)
    return {"tag": tag, "digest": digest, "commit": commit if known else None}


def resolved(at: Situation, upgrade: AdapterUpgrade) -> dict[str, Any] | None:
    """`status.resolved`: the record, which stays, or the answer that has just come."""
    old, question = upgrade.status.resolved, at.target.question
    kept = wire(old) if old is not None and upgrade.spec.target is not None else None
    governs = at.target.governing is not None and at.target.governing.metadata.uid == upgrade.metadata.uid
    pod = _current(at, question) if question is not None and governs else None
    answer = _answer(pod) if pod is not None else None
    if question is None or answer is None:
        return kept
    mark = question.strict_mark if "reason" in answer else question.mark
    made = {**answer, "time": rfc3339(at.now.replace(microsecond=0)), "requestHash": mark}
    return {name: value for name, value in made.items() if value is not None}


def obstacle(at: Situation) -> Refusal | None:
    """What keeps the question from an answer, of the environment. Final when it lasts for the progress deadline."""
    question, upgrade = at.target.question, at.target.governing
    if question is None or upgrade is None:
        return None
    name, pod = resolve_name(at.model.metadata.name), _current(at, question)
    said = error_in(_said(pod), MESSAGE_LIMIT) if pod is not None else None
    fault = worst(faults_of([pod], None, at.seen.pod_events)) if pod is not None else None
    told = recorded(upgrade.status.conditions, "Ready")
    if text := at.seen.refusals.get(f"Pod/{name}"):
        fault = refusal_fault(f"Pod {name!r}", text, at.now)
    if said is not None and said[0] in OBSTACLES:
        found = said
    elif fault is not None:
        found = (fault.reason, fault.message)
    elif told is not None and told.status != "True" and told.reason in OBSTACLES:
        # The next try is on its way: a reason that comes and goes would wake somebody.
        found = (told.reason, told.message.removesuffix(f"; {at.serving or 'nothing'} serves"))
    else:
        return None
    deadline = timedelta(seconds=at.model.spec.strategy.progress_deadline_seconds)
    began = told is not None and told.status == "Unknown" and at.now - told.last_transition_time >= deadline
    stuck = told is not None and told.status == "False" and told.reason == found[0]
    return Refusal(*found, final=began or stuck)
