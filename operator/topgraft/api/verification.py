"""What must hold before traffic moves, and what is watched after it moved."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from topgraft.api.adapter import Arguments
from topgraft.api.artifact import SubPath
from topgraft.api.scalars import Count, DnsLabel, KeyName, ObjectName
from topgraft.api.wire import ATOMIC, BY_NAME, Rule, Wire, rules

Number = Annotated[
    str,
    Field(min_length=1, max_length=32),
    Rule(
        r"self.matches(r'^[0-9]+(\.[0-9]+)?([eE]-?[0-9]+)?$')",
        'must be a number that is not negative, as a string, such as "0.2" or "1e-5"',
    ),
]
Percent = Annotated[int, Field(ge=0, le=100)]
RequestPath = Annotated[
    str,
    Field(min_length=1, max_length=1024),
    Rule(r"self.matches(r'^/\S*$')", "must be an absolute path such as /v2/health/ready"),
]
Seconds = Annotated[int, Field(ge=1, le=86400)]
JsonPath = Annotated[
    str,
    Field(min_length=1, max_length=512),
    Rule("self.startsWith('$')", "must be a JSONPath that starts with $, such as $.outputs[0].data[0]"),
]


class JsonCondition(Wire):
    """What must stand at a place of the JSON answer."""

    model_config = rules(
        Rule(
            "!(has(self.equals) && has(self.matches))",
            "must have at most one of equals and matches; without either the place must exist",
        )
    )

    path: JsonPath
    """The place, as JSONPath (RFC 9535); one of the values found there must fit."""
    equals: Annotated[str | None, Field(max_length=4096)] = None
    """The value as JSON, such as 7, "seven" or [1, 2]; text that is no JSON stands for itself."""
    matches: Annotated[str | None, Field(max_length=512)] = None
    """A regular expression that the value, as text, must contain."""


class Expectation(Wire):
    """What the answer must be like."""

    status: Annotated[int, Field(ge=100, le=599)] = Field(default_factory=lambda: 200)
    """The HTTP status; by default 200."""
    json_path: Annotated[tuple[JsonCondition, ...], Field(max_length=16), ATOMIC] = ()
    """Conditions on the JSON answer; all must hold."""


class Header(Wire):
    """A header of a request."""

    name: Annotated[str, Field(min_length=1, max_length=128, pattern="^[A-Za-z0-9-]+$")]
    value: Annotated[str, Field(max_length=1024)]


class SmokeRequest(Wire):
    """A request that the new version must answer before traffic moves."""

    model_config = rules(
        Rule(
            "has(self.path) || (has(self.protocol) && self.protocol != 'HTTP')",
            "must have a path: only V2 and OpenAI have one by default",
        )
    )

    name: DnsLabel
    protocol: Literal["HTTP", "V2", "OpenAI"] = Field(default_factory=lambda: "HTTP")
    """By default HTTP. V2 and OpenAI give method and path where they are left out, and check the answer's form."""
    method: Literal["GET", "POST", "PUT", "DELETE"] | None = None
    """By default POST where there is a body, else GET."""
    path: RequestPath | None = None
    """By default /v2/models/<model>/infer (V2), /v1/chat/completions (OpenAI)."""
    headers: Annotated[tuple[Header, ...], Field(max_length=16), BY_NAME] = ()
    body: Annotated[str | None, Field(max_length=16384)] = None
    expect: Expectation = Field(default_factory=Expectation)
    """By default status 200."""
    timeout_seconds: Annotated[int, Field(ge=1, le=600)] = Field(default_factory=lambda: 5)
    """How long the answer may take; by default 5."""


class GoldenConfigMap(Wire):
    """A key of a ConfigMap of the same namespace."""

    name: ObjectName
    key: KeyName = "requests.jsonl"


class GoldenClaim(Wire):
    """A file in a PersistentVolumeClaim of the same namespace."""

    claim_name: ObjectName
    path: SubPath
    """The file, relative to the volume."""


class Tolerance(Wire):
    """How far numbers of an output may differ: |new - old| <= absolute + relative * |old|."""

    tensor: Annotated[str | None, Field(min_length=1, max_length=253)] = None
    """The output's name; without it: all outputs that have no entry of their own."""
    absolute: Number = Field(default_factory=lambda: "0")
    relative: Number = Field(default_factory=lambda: "0")


class Golden(Wire):
    """Recorded requests, sent to the serving and to the new version, and the answers compared."""

    model_config = rules(
        Rule(
            "has(self.configMap) != has(self.persistentVolumeClaim)",
            "must have exactly one source of configMap, persistentVolumeClaim",
        ),
        Rule(
            "self.compare == 'Tolerance' || !has(self.tolerances) || self.tolerances.size() == 0",
            "tolerances need compare: Tolerance",
        ),
        Rule(
            "self.compare != 'Tolerance' || (has(self.tolerances) && self.tolerances.size() > 0)",
            "compare: Tolerance needs at least one entry in tolerances",
        ),
    )

    config_map: GoldenConfigMap | None = None
    """A file of at most 1 MiB in a ConfigMap."""
    persistent_volume_claim: GoldenClaim | None = None
    """A file in a volume."""
    path: RequestPath | None = None
    """Where requests go that name no path of their own; by default /v2/models/<model>/infer."""
    compare: Literal["Exact", "Tolerance", "TopOne", "None"] = "Exact"
    """Exact: equal outputs. Tolerance: numbers within tolerances. TopOne: the same best class. None: labels decide."""
    tolerances: Annotated[tuple[Tolerance, ...], Field(max_length=32), ATOMIC] = ()
    """With compare: Tolerance."""
    min_agreement_percent: Percent = 100
    """The share of requests whose old and new answer must agree, those of mayChange left out."""
    may_change: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], Field(max_length=256), ATOMIC
    ] = ()
    """Ids of requests whose answer changes on purpose (the bug that is fixed)."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 2
    """Requests on the way at once, over both versions."""
    timeout_seconds: Annotated[int, Field(ge=1, le=600)] = 10
    """How long one answer may take."""


class TestSuite(Wire):
    """A command in the new adapter image, with the artifacts mounted; its exit code decides."""

    __test__ = False

    command: Arguments = ("pytest", "/test_suite")
    timeout_seconds: Seconds = 600
    """How long it may run."""


class Queries(Wire):
    """PromQL, one number or vector each; {{model}}, {{version}}, {{namespace}} and {{window}} are replaced."""

    latency_p95: Annotated[str | None, Field(min_length=1, max_length=4096)] = None
    """The 95th percentile of the answers' time, in seconds."""
    error_rate: Annotated[str | None, Field(min_length=1, max_length=4096)] = None
    """The share of failed requests, 0 to 1."""
    accuracy: Annotated[str | None, Field(min_length=1, max_length=4096)] = None
    """The share of right answers, 0 to 1."""
    labels: Annotated[str | None, Field(min_length=1, max_length=4096)] = None
    """A vector: how often each label was answered in the window, with the label `label`."""
    requests: Annotated[str, Field(min_length=1, max_length=4096)]
    """How many requests there were in the window: fewer than minSamples decide nothing."""


class LiveMetrics(Wire):
    """Where the figures of live traffic come from."""

    model_config = rules(
        Rule("(self.source == 'Prometheus') == has(self.queries)", "queries and source: Prometheus need each other")
    )

    source: Literal["None", "Pods", "Prometheus"] = "None"
    """None: readiness and restarts only. Pods: each adapter's own metrics. Prometheus: that of the operator."""
    path: RequestPath = "/metrics"
    """With source: Pods, where the port http answers in the Prometheus text format."""
    queries: Queries | None = None


class Limits(Wire):
    """What the new version may be worse by. A limit is broken when it is exceeded, not when it is met."""

    latency_increase_percent: Annotated[int, Field(ge=0, le=10000)] = 15
    """Of the 95th percentile of the answers' time, relative to the old version."""
    accuracy_drop_percent: Percent = 5
    """Of the share of right answers, relative to the old version."""
    error_increase_percent: Percent = 1
    """Of the share of failed requests, in points of 100: 1 allows 2.5 % where the old version had 1.5 %."""
    max_kl_divergence: Annotated[Number, Field(alias="maxKLDivergence")] = "0.2"
    """Of the answers' distribution from the old version's: D(new || old), natural logarithm."""
    window_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    """How long live traffic is summed up for one judgement."""
    consecutive_breaches: Annotated[int, Field(ge=1, le=100)] = 3
    """How many windows in a row must break a limit."""
    min_samples: Annotated[Count, Field(ge=1)] = 50
    """Fewer requests decide nothing."""


class Verification(Wire):
    """What must hold before traffic moves to a version, and the limits for it, also afterwards."""

    smoke: Annotated[tuple[SmokeRequest, ...], Field(max_length=20), BY_NAME] = ()
    """Requests that the new version must answer as expected."""
    golden: Golden | None = None
    """Old and new answers to recorded requests, compared."""
    test_suite: TestSuite | None = None
    """Tests in the new adapter image; run again, on what serves, after a rollback."""
    metrics: LiveMetrics = LiveMetrics()
    limits: Limits = Limits()
    deadline_seconds: Seconds = 900
    """How long smoke requests and golden replay may take together."""


class VerificationOverride(Wire):
    """The Model's verification, replaced part by part for this upgrade."""

    smoke: Annotated[tuple[SmokeRequest, ...] | None, Field(max_length=20), BY_NAME] = None
    golden: Golden | None = None
    test_suite: TestSuite | None = None
    metrics: LiveMetrics | None = None
    limits: Limits | None = None
    deadline_seconds: Seconds | None = None


class Check(Wire):
    """The verdict on one aspect of the new version."""

    name: Annotated[str, Field(max_length=128)]
    old: Annotated[str | None, Field(max_length=256)] = None
    """The old version's figure."""
    new: Annotated[str | None, Field(max_length=256)] = None
    """The new version's figure."""
    limit: Annotated[str | None, Field(max_length=256)] = None
    """What the new version's figure may be."""
    verdict: Literal["Passed", "Failed", "Inconclusive"]
    message: Annotated[str | None, Field(max_length=1024)] = None


Checks = Annotated[tuple[Check, ...], Field(max_length=64), BY_NAME]


class Baseline(Wire):
    """The old version's figures on live traffic, as they were at the switch."""

    version: Annotated[str, Field(max_length=253)]
    """Whose figures these are."""
    requests: Count
    latency_p95: Annotated[str | None, Field(max_length=32)] = None
    """The 95th percentile of the answers' time, in seconds."""
    error_rate: Annotated[str | None, Field(max_length=32)] = None
    accuracy: Annotated[str | None, Field(max_length=32)] = None
    feedback: Count | None = None
    """How many answers the accuracy was judged by."""
    labels: Annotated[dict[str, Annotated[str, Field(max_length=32)]], Field(max_length=256)] = {}
    """How often each label was answered."""
    time: datetime
    """When they were recorded."""
