"""The API server as a user of the command line sees it: by his kubeconfig, in his namespace, with his rights."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.cluster.cache import Object
from topgraft.cluster.client import Client
from topgraft.cluster.errors import ClusterError, Gone
from topgraft.cluster.kinds import MODEL, MODEL_VERSION, Kind

MANAGER = "topgraft-cli"
"""The field manager of what users write: never the operator's, which would take it back."""
_NO_SUCH_KIND = "page not found"
"""What the API server says of a path that it does not serve, in plain text."""
SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Mistaken(Exception):
    """What the user asked for cannot be done; the text says why and what to do."""


@dataclass(frozen=True)
class Session:
    """One login. Errors of the API server are `ClusterError`s with its own words."""

    client: Client
    namespace: str

    async def model(self, name: str) -> Model:
        return Model.model_validate(await self._get(MODEL, name))

    async def version(self, name: str) -> ModelVersion:
        return ModelVersion.model_validate(await self._get(MODEL_VERSION, name))

    async def _get(self, kind: Kind, name: str) -> Object:
        try:
            return await self.client.get(kind, self.namespace, name)
        except Gone as error:
            if _NO_SUCH_KIND in str(error):
                raise
            raise Mistaken(f"{error}, in namespace {self.namespace!r}: --namespace names another") from None

    async def versions(self, model: str) -> dict[str, ModelVersion]:
        """All versions of a Model by name."""
        found: dict[str, ModelVersion] = {}
        async for page, _ in self.client.pages(MODEL_VERSION, self.namespace):
            mine = (one for one in page if one["spec"]["modelRef"]["name"] == model)
            found |= {one["metadata"]["name"]: ModelVersion.model_validate(one) for one in mine}
        return found

    async def merge(self, kind: Kind, name: str, patch: Object) -> Object:
        """A JSON merge patch. With `metadata.resourceVersion` in it a change since that one is a `Conflict`."""
        return await self.client.merge(kind, self.namespace, name, patch, manager=MANAGER)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--namespace", "-n", metavar="NS", help="default: that of the kubeconfig's context")
    add("--kubeconfig", metavar="FILE", help="default: $KUBECONFIG, else ~/.kube/config")
    add("--context", metavar="NAME", help="default: the kubeconfig's current one")


def run(options: argparse.Namespace, work: Callable[[Session], Awaitable[int]]) -> int:
    """Log in and do the work; returns its exit status, or 1 with the reason on stderr."""
    try:
        return asyncio.run(_run(options, work))
    except Gone as error:
        missing = (
            "the server does not know Topgraft's kinds: are its CRDs installed, is it the right cluster (--context)?"
        )
        sys.stderr.write(f"error: {missing if _NO_SUCH_KIND in str(error) else error}\n")
        return 1
    except (Mistaken, ClusterError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


async def _run(options: argparse.Namespace, work: Callable[[Session], Awaitable[int]]) -> int:
    configuration = Configuration()
    namespace = await _log_in(options, configuration)
    async with ApiClient(configuration) as api:
        api.user_agent = MANAGER
        return await work(Session(Client(api, may_write=lambda: True), options.namespace or namespace))


async def _log_in(options: argparse.Namespace, configuration: Configuration) -> str:
    """Fill in the configuration; returns the namespace. As kubectl: by a kubeconfig, else by the Pod's own account."""
    given = options.kubeconfig or os.environ.get("KUBECONFIG")
    if not given and (namespace := _own_namespace()):
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        return namespace
    path = _readable(given)
    load: Any = config.load_kube_config
    try:
        await load(given, options.context, client_configuration=configuration, persist_config=False)
        contexts, current = config.list_kube_config_contexts(given)  # type: ignore[no-untyped-call]
    except (config.ConfigException, yaml.YAMLError, ValueError, TypeError, AttributeError, OSError) as error:
        told = " ".join(str(error).split())
        raise Mistaken(f"cannot use the kubeconfig {path!r}: {told}") from None
    chosen = next((c for c in contexts if c["name"] == options.context), current)
    return str((chosen.get("context") or {}).get("namespace") or "default")


def _readable(given: str | None) -> str:
    """The kubeconfig to use, or files of it as KUBECONFIG lists them; that of one file is read, to say why not."""
    if given and os.pathsep in given:
        return given
    path = Path(given or "~/.kube/config").expanduser()
    try:
        path.read_bytes()
    except OSError as error:
        remedy = "--kubeconfig or KUBECONFIG names another"
        raise Mistaken(f"cannot read the kubeconfig {str(path)!r}: {error.strerror}; {remedy}") from None
    return str(path)


def _own_namespace() -> str:
    """The namespace of the Pod that this runs in, where there is no kubeconfig; else ""."""
    if Path("~/.kube/config").expanduser().exists() or not SERVICE_ACCOUNT_NAMESPACE.exists():
        return ""
    return SERVICE_ACCOUNT_NAMESPACE.read_text().strip()
