"""Figures of live traffic from a Prometheus server."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp

from topgraft.api.verification import Queries
from topgraft.cluster.exposition import MAX_LABELS
from topgraft.cluster.fetch import FetchError, fetch
from topgraft.rollout.traffic import MAX_LABEL_LENGTH, Figures

_MESSAGE = 600


class QueryError(Exception):
    """A query brought no figure. `lasting`: asking again will not mend it."""

    def __init__(self, reason: str, message: str, *, lasting: bool = False) -> None:
        super().__init__(message[:_MESSAGE])
        self.reason = reason
        self.lasting = lasting


@dataclass(frozen=True)
class Scope:
    """What the placeholders of a query stand for. Names of Kubernetes objects: none can end a string in PromQL."""

    namespace: str
    model: str
    version: str
    window_seconds: int

    def fill(self, query: str) -> str:
        """The query to send."""
        values = {"namespace": self.namespace, "model": self.model, "version": self.version}
        for name, value in {**values, "window": f"{self.window_seconds}s"}.items():
            query = query.replace(f"{{{{{name}}}}}", value)
        return query


class Prometheus:
    """One server, at the URL that the operator was started with."""

    def __init__(
        self, url: str, client: aiohttp.ClientSession, turn: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        """`turn` is held for each query."""
        self._url = f"{url.rstrip('/')}/api/v1/query"
        self._client = client
        self._turn = turn

    async def figures(self, queries: Queries, scope: Scope, time: datetime) -> Figures:
        """The figures of the window that ends at `time`. Raises QueryError, which names the query."""
        asked = {"requests": queries.requests, "latencyP95": queries.latency_p95, "errorRate": queries.error_rate}
        asked |= {"accuracy": queries.accuracy, "labels": queries.labels}
        texts = {name: scope.fill(text) for name, text in asked.items() if text is not None}
        answers = {name: await self._ask(name, text, time) for name, text in texts.items()}
        requests = _number("requests", texts["requests"], answers["requests"])
        if requests is None:
            raise QueryError("QueryEmpty", _told("requests", texts["requests"], "returned nothing"))
        numbers: dict[str, float | None] = {}
        for name in ("latencyP95", "errorRate", "accuracy"):
            if name not in texts:
                continue
            numbers[name] = _number(name, texts[name], answers[name])
            if not answers[name] and requests > 0:
                text = f"returned nothing, though there were {requests:g} requests"
                raise QueryError("QueryEmpty", _told(name, texts[name], text))
        labels = {_label(sample): _value(sample) for sample in answers.get("labels", [])}
        if len(labels) > MAX_LABELS:
            text = f"returned {len(labels)} labels, more than {MAX_LABELS}"
            raise QueryError("QueryFailed", _told("labels", texts["labels"], text), lasting=True)
        return Figures(
            requests=requests,
            latency_p95=numbers.get("latencyP95"),
            error_rate=numbers.get("errorRate"),
            accuracy=numbers.get("accuracy"),
            labels={label: count for label, count in labels.items() if count},
        )

    async def _ask(self, name: str, query: str, time: datetime) -> list[dict[str, Any]]:
        form = {"query": query, "time": f"{time.timestamp():.3f}", "timeout": "2s"}
        try:
            async with self._turn():
                answer = _object(await fetch(self._client, self._url, form))
        except FetchError as error:
            said = _object(error.body)
            if error.status in (400, 422) and said.get("error"):
                text = f"failed: {str(said['error'])[:200]}"
                raise QueryError("QueryFailed", _told(name, query, text), lasting=True) from None
            text = f"could not be asked: Prometheus: {error}"
            raise QueryError("PrometheusUnreachable", _told(name, query, text)) from None
        data = answer.get("data")
        if answer.get("status") != "success" or not isinstance(data, dict):
            text = "could not be asked: the answer is not one of Prometheus"
            raise QueryError("PrometheusUnreachable", _told(name, query, text))
        result = data.get("result")
        if data.get("resultType") == "scalar" and isinstance(result, list):
            return [{"value": result}]
        if data.get("resultType") != "vector" or not isinstance(result, list):
            text = f"returned a {str(data.get('resultType'))[:20]}: it must be a number or an instant vector"
            raise QueryError("QueryFailed", _told(name, query, text), lasting=True)
        return [sample for sample in result if isinstance(sample, dict)]


def _number(name: str, query: str, samples: list[dict[str, Any]]) -> float | None:
    if len(samples) > 1:
        text = f"returned {len(samples)} series: aggregate them to one, with sum() or max()"
        raise QueryError("QueryFailed", _told(name, query, text), lasting=True)
    return _value(samples[0]) if samples else None


def _label(sample: dict[str, Any]) -> str:
    metric = sample.get("metric")
    return str(metric.get("label", ""))[:MAX_LABEL_LENGTH] if isinstance(metric, dict) else ""


def _value(sample: dict[str, Any]) -> float | None:
    """The sample's number; None for NaN, which 0/0 is, for infinity, and for what is negative."""
    try:
        value = float(sample["value"][1])
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return value if 0 <= value < math.inf else None


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _told(name: str, query: str, what: str) -> str:
    return f"spec.verification.metrics.queries.{name} {what}; it was: {query[:300]}"
