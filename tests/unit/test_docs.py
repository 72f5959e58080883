"""The documentation against the code: reasons, metrics, flags, make targets, fields, links exist; none is missing."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
from prometheus_client import REGISTRY
from topgraft import cli
from topgraft.api import adapterupgrade, model, modelversion
from topgraft.checks import tags
from topgraft.checks.failure import Reason
from topgraft.cluster import metrics
from topgraft.cluster.health import ClusterMetrics

ROOT = Path(__file__).parents[2]
FOLDERS = ("", "docs", "examples/*", "charts/*", "sdk", "sdk/transformers", "benchmarks", "hack/localcluster")
PAGES = sorted(page for folder in FOLDERS for page in ROOT.glob(f"{folder}/*.md".lstrip("/")))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
TROUBLESHOOTING = (ROOT / "docs/troubleshooting.md").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()


def words(text: str) -> set[str]:
    return set(text.split())


KUBERNETES_WORDS = words(
    """
    ALL Accept Always Background BearerToken ClusterIP Complete Completed ConfigMap ContainerCreating
    CrashLoopBackOff CreateContainerConfigError CreateContainerError DELETE DELETED DeadlineExceeded
    DeleteOptions Deployment DisruptionTarget Egress EndpointSlice ErrImageNeverPull ErrImagePull Error Event Evicted
    FailedCreatePodSandBox FallbackToLogsOnError False GET IfNotPresent ImagePullBackOff Ingress Job Lease
    NetworkPolicy Never NodeLost NodeShutdown Normal PATCH POST PUT Pending PersistentVolumeClaim Pod PodInitializing
    PodScheduled Preempting Progressing ReadWriteOnce ReadWriteOncePod ReplicaFailure ReplicaSet RollingUpdate Running
    RuntimeDefault ScheduleAnyway Service Status Strict TCP Terminated True UDP Unknown Warning
    """
)
OWN_WORDS = {
    "kinds and values of the API": words(
        """
        AdapterUpgrade CodeRepository Enforce EveryCommit Experimental Model ModelVersion None Production Quick
        TagOnly Topgraft
        """
    ),
    "condition types": words(
        """
        Accepted AdapterOverridden AdaptersAccepted ArtifactVerified ArtifactsUnchanged Available BranchesReady
        ContractCompatible ContractVerified DigestPinned Healthy Held InfosDelivered InvalidAlias InvalidDefect
        InvalidWindow LineageAccepted MetricsUnavailable MlflowSynced Ready Reconciling ReleaseWaiting
        ResubmissionRequired RollbackReady RouteReady SandboxReady SandboxTested Stalled Succeeded Ungoverned
        Validated Verified
        """
    ),
    "days of a window": words("Fri Mon Sat Sun Thu Tue Wed"),
    "states of a Model": words("ACTIVE DEGRADED DISABLED FAILED STARTING"),
    "words of the Gateway API": words("Accepted ERROR Exact Gateway HTTPRoute PathPrefix ResolvedRefs"),
    "reasons of what is well": words("RouteAccepted"),
    "verdicts and policies": words("Failed Passed RollBack"),
    "words of a decision": words("Abandoned Back First Forward Standby Step"),
    "where a split of a dataset comes from": words("Default Job"),
    "source types": words("Promoted"),
    "strategies": words("BlueGreen Canary Recreate"),
    "a stage that no condition tells": words("Trained"),
    "levels of visibility": words("Org Private Public"),
    "outcomes, steps and phases": words(
        """
        Backoff Blocked Closed Failed Preparing Refused Requeued Restored Retrying Settling Steady Undecided
        Waiting
        """
    ),
    "submissions and releases": words(
        """
        Approve Archived Experimental Manual Metric Pending Reject Rejected Released Staging Submitted
        """
    ),
    "type variables": words("Frozen Key Sampled Value View"),
    "modes and results of heads": words("Auto Converted Incomplete NotNeeded Off Require"),
    "sources of metrics": words("Continuous Pods Prometheus"),
}
"""Words of the code that look like a reason and are none."""


def written_words() -> Iterator[str]:
    """Every word that may become a reason: string constants of one capitalised word in the core and in cluster/."""
    for layer in ("governance", "rollout", "cluster"):
        for path in (ROOT / "operator/topgraft" / layer).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                value = getattr(node, "value", None)
                if isinstance(node, ast.Constant) and isinstance(value, str) and re.fullmatch(r"[A-Z][A-Za-z]+", value):
                    yield value


def words_of_programs() -> Iterator[str]:
    """Reasons that a program in a pod leaves in its termination log."""
    yield from get_args(Reason)
    for path in (ROOT / "sdk/topgraft_adapter").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "FatalError" and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    yield str(first.value)


def first_column(page: str) -> set[str]:
    """The code words in the first column of all tables."""
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row)}


def test_every_reason_is_explained_and_no_other() -> None:
    reasons = {*written_words(), *words_of_programs()} - KUBERNETES_WORDS - set().union(*OWN_WORDS.values())
    told = first_column(TROUBLESHOOTING)
    assert reasons - told == set(), "explain these in docs/troubleshooting.md, or list them here as no reasons"
    assert told - reasons == set(), "docs/troubleshooting.md explains what the code does not know"


def test_every_metric_is_explained_and_no_other() -> None:
    empty = SimpleNamespace(echoes=SimpleNamespace(silence=lambda: 0.0), models=SimpleNamespace(owners=lambda: []))
    queue = type("Queue", (), {"__len__": lambda _: 0, "busy": 0})()
    families = [*REGISTRY.collect(), *ClusterMetrics(empty, queue).collect()]  # type: ignore[arg-type]
    suffixes = {"counter": "_total", "info": "_info"}
    exposed = {f.name + suffixes.get(f.type, "") for f in families if f.name.startswith("topgraft_")}
    assert metrics.LEADER.describe()[0].name in exposed
    assert {word for word in first_column(OPERATIONS) if word.startswith("topgraft_")} == exposed


def options_of(verb: str) -> set[str]:
    parser = argparse.ArgumentParser()
    if verb == "operator":
        cli._add_operator(parser)
    elif verb == "tags":
        tags.add_arguments(parser)
    elif verb == "verify":
        cli._add_verify(parser)
    elif verb in cli.USER_VERBS:
        cli._module(verb).add_arguments(parser)
    else:
        cli.tree.add_arguments(parser)
    return {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}


def test_every_flag_of_the_operator_is_explained_and_no_other() -> None:
    assert {word.split()[0] for word in first_column(OPERATIONS) if word.startswith("--")} == options_of("operator")


def commands(page: Path) -> Iterator[str]:
    """Code spans and lines of code blocks."""
    text = page.read_text()
    for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"^    (\S.*)$", text, re.MULTILINE)
    yield from re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_page_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in commands(page):
        words = re.sub(r"^(\w+=\S+ )+", "", command).split("#")[0].split()
        if words[:1] == ["make"]:
            assert {word for word in words[1:] if "=" not in word} <= targets, command
        elif words[:1] == ["topgraft"] and words[1:2] != [] and not words[1].startswith("-"):
            assert words[1] in {"operator", "digest", "verify", "tags", *cli.USER_VERBS}, command
            flags = {word.split("=")[0] for word in words if word.startswith("--")}
            assert flags <= options_of(words[1]), command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", page.read_text()):
        path, _, anchor = (target[0] or target[1]).partition("#")
        if path.startswith("http"):
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {path}"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: #{anchor}"


def anchors(page: Path) -> set[str]:
    """Anchors of headings as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_files_named_for_contributors_exist() -> None:
    for name in re.findall(r"`((?:rollout|governance|cluster|api|checks|tests|hack|operator)/[\w./]*)`", CONTRIBUTING):
        assert (ROOT / name).exists() or (ROOT / "operator/topgraft" / name).exists(), name


FIELDS = re.compile(r"`((?:spec|status)(?:\.[a-zA-Z]+)+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_fields_in_the_page_exist(page: Path) -> None:
    """`spec.a.b` and `status.a.b` are fields of at least one of the three kinds."""
    schemas = [model.Model, modelversion.ModelVersion, adapterupgrade.AdapterUpgrade]
    known = {path for schema in schemas for path in paths(schema.model_json_schema(by_alias=True))}
    for field in FIELDS.findall(page.read_text()):
        assert field in known, f"{page.name}: {field}"


def paths(schema: dict[str, object]) -> set[str]:
    """Dotted paths of all fields of a JSON schema, lists looked through."""
    definitions = schema.get("$defs", {})
    assert isinstance(definitions, dict)
    found: set[str] = set()

    def walk(node: dict[str, object], path: str) -> None:
        if path.count(".") > 6:
            return
        reference = str(node.get("$ref", "")).rpartition("/")[2]
        if reference:
            walk(definitions[reference], path)
        for option in ("anyOf", "allOf"):
            for part in node.get(option, []):  # type: ignore[attr-defined]
                walk(part, path)
        if isinstance(items := node.get("items"), dict):
            walk(items, path)
        for name, part in dict(node.get("properties", {})).items():  # type: ignore[call-overload]
            found.add(f"{path}.{name}".lstrip("."))
            walk(part, f"{path}.{name}".lstrip("."))

    walk(schema, "")
    return found
