"""One registration brought into an MLflow registry, by mlflow's own client. Everything here blocks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from topgraft.cluster.mlflow import MlflowError, unavailable
from topgraft.governance.mlflow import ADOPT, CONTENT, OWNER, VERSION, Record, Registration

Value = TypeVar("Value")

SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
}
"""Environment of the client, where it is not given: it must not hang, wait, or tell others of us."""
PASSING = ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED")
"""Answers that may be the same for everybody. An INTERNAL_ERROR may be one Model's alone, by what it asks for."""


class MlflowMissing(Exception):
    """The package is not installed."""


class Mlflow:
    """The registry at a URI; credentials are in the environment, as mlflow reads them (MLFLOW_TRACKING_TOKEN …)."""

    def __init__(self, uri: str) -> None:
        """Raises MlflowMissing. Importing the client takes seconds."""
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        try:
            from mlflow import MlflowClient  # noqa: PLC0415
            from mlflow.exceptions import MlflowException, RestException  # noqa: PLC0415
        except ImportError as error:
            raise MlflowMissing(str(error)) from error
        self._client: Any = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._any_error, self._answer = MlflowException, RestException

    def __call__(self, wanted: Registration, /) -> dict[str, str]:
        """Make it so; what is so already is not written. Returns record name → MLflow's number."""
        name = wanted.registered_model
        aliases = self._own(wanted)
        known = {(v.tags.get(VERSION), v.tags.get(CONTENT)): v for v in self._versions(name)}
        numbers = {one.name: self._record(name, one, known.get((one.name, one.content))) for one in wanted.records}
        for alias, of in wanted.aliases.items():
            number = numbers.get(of or "")
            if number is None and alias in aliases:
                self._ask(self._client.delete_registered_model_alias, name, alias)
            elif number is not None and str(aliases.get(alias)) != number:
                self._ask(self._client.set_registered_model_alias, name, alias, number)
        return numbers

    def _own(self, wanted: Registration) -> dict[str, Any]:
        """The registered model, made if there is none; returns its aliases. Raises for one of others."""
        name = wanted.registered_model
        found = self._get(name)
        if found is None:
            tags = {OWNER: wanted.owner}
            self._ask(self._client.create_registered_model, name, tags=tags, description=wanted.description or None)
            return {}
        owner = found.tags.get(OWNER)
        # Its own owner must have said so, in MLflow: with our credentials any namespace could else take over any model.
        if owner is None and found.tags.get(ADOPT) == wanted.owner:
            self._ask(self._client.set_registered_model_tag, name, OWNER, wanted.owner)
        elif owner is None:
            text = (
                f"registered model {name!r} was not made by Topgraft: its owner gives it the tag {ADOPT}={wanted.owner}"
            )
            raise MlflowError("RegisteredModelTaken", f"{text}, or give spec.mlflow.registeredModel another name")
        elif owner != wanted.owner:
            # Not whose: the names of other namespaces are not for everybody.
            text = f"registered model {name!r} is that of another Model: give spec.mlflow.registeredModel another name"
            raise MlflowError("RegisteredModelTaken", text)
        if wanted.description and (found.description or "") != wanted.description:
            self._ask(self._client.update_registered_model, name, description=wanted.description)
        return dict(found.aliases)

    def _get(self, name: str) -> Any:
        try:
            return self._client.get_registered_model(name)
        except self._any_error as error:
            if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise self._told(error) from None

    def _versions(self, name: str) -> Iterator[Any]:
        """All versions, the newest first, so that of two with the same record the older one is known in the end."""
        token = None
        while True:
            page = self._ask(self._client.search_model_versions, f"name='{name}'", max_results=100, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _record(self, name: str, record: Record, known: Any) -> str:
        """The number of the record's version, made if there is none."""
        if known is None:
            made = self._ask(
                self._client.create_model_version,
                name,
                source=record.source,
                tags=dict(record.tags),
                description=record.description or None,
                await_creation_for=0,
            )
            return str(made.version)
        for key, value in record.tags:
            if known.tags.get(key) != value:
                self._ask(self._client.set_model_version_tag, name, str(known.version), key, value)
        if record.description and (known.description or "") != record.description:
            self._ask(self._client.update_model_version, name, str(known.version), description=record.description)
        return str(known.version)

    def _ask(self, call: Callable[..., Value], *given: Any, **named: Any) -> Value:
        try:
            return call(*given, **named)
        except self._any_error as error:
            raise self._told(error) from None

    def _told(self, error: Any) -> MlflowError:
        """What to say of an answer of the registry. Raises where there was none, or it may pass for everybody."""
        if not isinstance(error, self._answer) or getattr(error, "error_code", "") in PASSING:
            unavailable()
        if getattr(error, "error_code", "") == "INTERNAL_ERROR":
            # Its words have addresses and stack traces in them, which a condition must not.
            return MlflowError("MlflowRefused", "MLflow fails on it with INTERNAL_ERROR: its log says why")
        text = " ".join(str(error).split())[:500]
        return MlflowError("MlflowRefused", f"MLflow refuses it: {text}")
