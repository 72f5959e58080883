"""The API server as the operator needs it: plain dicts on the wire, errors in the operator's words."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Any

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTClientObject

from topgraft.cluster import metrics
from topgraft.cluster.cache import Object
from topgraft.cluster.errors import (
    ClusterError,
    Conflict,
    Expired,
    Gone,
    NotLeading,
    NotOwned,
    Refused,
    Stale,
    Unavailable,
)
from topgraft.cluster.kinds import SERVICE, Kind
from topgraft.cluster.nesting import lines, loads
from topgraft.rollout.views import DECISION

log = logging.getLogger(__name__)

FIELD_MANAGER = "topgraft"
TIMEOUT = 10.0
"""Seconds for any request: a write that hangs longer is looked at again, it is idempotent."""
NO_QUERY: Mapping[str, str] = MappingProxyType({})

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class _WarmConnections(RESTClientObject):
    """Keeps idle connections for a minute, so that a decision after a quiet time pays no TLS handshake."""

    def _create_connector(self) -> aiohttp.TCPConnector:
        # The API server closes idle connections after 90 s: ours must go first.
        return aiohttp.TCPConnector(limit=self.maxsize, ssl=self.ssl_context, keepalive_timeout=60)


async def connect() -> ApiClient:
    """Log in as the Pod's ServiceAccount, else by KUBECONFIG: the same order as kopf's watches.

    Raises `kubernetes.aio.config.ConfigException` when there is neither.
    """
    configuration = Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    api = ApiClient(configuration)
    api.rest_client = _WarmConnections(configuration)
    api.user_agent = FIELD_MANAGER
    return api


class Client:
    """Reads and writes. `may_write` is asked right before every write goes out."""

    def __init__(self, api: ApiClient, may_write: Callable[[], bool], timeout: float = TIMEOUT) -> None:
        self._api = api
        self._may_write = may_write
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=timeout / 2)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        return await self._call("GET", kind.url(namespace, name))

    async def served(self, group: str, version: str) -> set[str]:
        """Plurals that the API server serves for a group; empty when it does not know the group."""
        try:
            answer = await self._call("GET", f"/apis/{group}/{version}")
        except Gone:
            return set()
        return {resource["name"] for resource in answer["resources"]}

    async def pages(
        self, kind: Kind, namespace: str | None = None, fields: str | None = None
    ) -> AsyncIterator[tuple[list[Object], int]]:
        """A consistent list, page by page, each with the resourceVersion of the whole. `Expired`: start anew.

        `fields` is a field selector.
        """
        query = {"limit": str(kind.page)}
        if kind.selector:
            query["labelSelector"] = kind.selector
        if fields:
            query["fieldSelector"] = fields
        while True:
            page = await self._call("GET", kind.url(namespace), query=query)
            yield page["items"], int(page["metadata"]["resourceVersion"])
            if not (more := page["metadata"].get("continue")):
                return
            query["continue"] = more

    async def watch(self, kind: Kind, namespace: str | None, version: int, seconds: int) -> AsyncIterator[Object]:
        """The events (`type`, `object`) after `version`, until the server ends the watch after `seconds`.

        Raises `Expired` when `version` is too old.
        """
        query = {"watch": "true", "resourceVersion": str(version), "timeoutSeconds": str(seconds)}
        if kind.selector:
            query["labelSelector"] = kind.selector
        url = kind.url(namespace)
        headers = {"Accept": JSON}
        request = await self._api.param_serialize(
            "GET", url, query_params=list(query.items()), header_params=headers, auth_settings=["BearerToken"]
        )
        # The server ends it in time; a connection that died without a word must not be waited on for ever.
        timeout = aiohttp.ClientTimeout(total=seconds + TIMEOUT, sock_connect=TIMEOUT / 2)
        try:
            response = await self._api.call_api(*request, _request_timeout=timeout)
            raw = response.response
            try:
                if response.status >= 400:
                    raise _error(response.status, await raw.read(), response.headers.get("Retry-After"))
                async for line in lines(raw.content.iter_any()):
                    if line:
                        yield _event(loads(line))
            finally:
                raw.close()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(f"watch {url}: {type(error).__name__}: {error}") from error

    async def apply(self, kind: Kind, body: Object, guard: str | None = None) -> Object:
        """Server-side apply with force. With `guard` a change since that resourceVersion is a `Conflict`."""
        return await self._apply(kind, _guarded(body, guard) if guard else body)

    async def apply_status(self, kind: Kind, body: Object) -> Object:
        return await self._apply(kind, body, subresource="status")

    async def create_owned(self, kind: Kind, body: Object) -> tuple[Object, bool]:
        """Apply an object that the caches do not know. Returns it and whether it was written.

        An object that is there all the same is returned as it is when its owner is the one in `body`, for the caller
        to look at again; any other is `NotOwned`.
        """
        meta = body["metadata"]
        try:
            live = await self.get(kind, meta["namespace"], meta["name"])
        except Gone:
            return await self.apply(kind, body), True
        _check_owner(kind, live, body)
        return live, False

    async def switch(self, body: Object, seen: str | None) -> Object:
        """Write a Service if its live decision annotation still is `seen`; else `StaleObject` with the live one."""
        meta = body["metadata"]
        try:
            live = await self.get(SERVICE, meta["namespace"], meta["name"])
        except Gone:
            if seen is not None:
                raise StaleObject(None) from None
            return await self.apply(SERVICE, body)
        _check_owner(SERVICE, live, body)
        if (live["metadata"].get("annotations") or {}).get(DECISION) != seen:
            raise StaleObject(live)
        return await self.apply(SERVICE, body, guard=live["metadata"]["resourceVersion"])

    async def relabel(self, kind: Kind, live: Object, labels: Mapping[str, str]) -> Object:
        """Set labels of an object that exists, and nothing else."""
        meta = live["metadata"]
        url = kind.url(meta["namespace"], meta["name"])
        body = {"metadata": {"uid": meta["uid"], "labels": dict(labels)}}
        return await self._call("PATCH", url, body, kind=kind, query={"fieldManager": FIELD_MANAGER}, media=MERGE)

    async def merge(self, kind: Kind, namespace: str, name: str, patch: Object, *, manager: str) -> Object:
        """A JSON merge patch in the name of `manager`, for what users write by the command line."""
        query = {"fieldManager": manager, "fieldValidation": "Strict"}
        return await self._call("PATCH", kind.url(namespace, name), patch, kind=kind, query=query, media=MERGE)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> Object | None:
        """Delete exactly this object. Returns what is left of it while it terminates; None when it is gone already."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        body["propagationPolicy"] = "Background"
        try:
            answer = await self._call("DELETE", kind.url(namespace, name), body, kind=kind)
        except Gone:
            return None
        except Conflict:
            # The name is taken by a later object with another uid: ours is gone.
            return None
        # Of an object that somebody else took away meanwhile a state comes back that never was stored.
        stored = answer.get("kind") != "Status" and "resourceVersion" in answer["metadata"]
        return answer if stored else None

    async def create(self, kind: Kind, body: Object) -> Object:
        return await self._call("POST", kind.url(body["metadata"]["namespace"]), body, kind=kind)

    async def replace(self, kind: Kind, body: Object) -> Object:
        """PUT; `Conflict` when the object changed since the resourceVersion in `body`."""
        return await self._call(
            "PUT", kind.url(body["metadata"]["namespace"], body["metadata"]["name"]), body, kind=kind
        )

    async def _apply(self, kind: Kind, body: Object, subresource: str | None = None) -> Object:
        url = kind.url(body["metadata"]["namespace"], body["metadata"]["name"], subresource)
        query = {"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
        return await self._call("PATCH", url, body, kind=kind, query=query, media=APPLY)

    async def _call(
        self,
        method: str,
        url: str,
        body: Object | None = None,
        *,
        kind: Kind | None = None,
        query: Mapping[str, str] = NO_QUERY,
        media: str = JSON,
    ) -> Object:
        """One request; `kind` is given for writes, to count them."""
        headers = {"Content-Type": media, "Accept": JSON}
        request = await self._api.param_serialize(
            method,
            url,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        if method != "GET" and not self._may_write():
            raise NotLeading(f"{method} {url}: the Lease is not held")
        started = time.monotonic()
        status = 0
        try:
            response = await self._api.call_api(*request, _request_timeout=self._timeout)
            status = response.status
            content: bytes = await response.response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{method} {url}: {type(error).__name__}: {error}") from error
        finally:
            if kind is not None:
                metrics.write(method, kind.name, status, time.monotonic() - started)
        if status >= 400:
            raise _error(status, content, response.headers.get("Retry-After"))
        try:
            answer: Object = loads(content)
        except ValueError as error:
            raise Unavailable(f"{method} {url}: the answer is not JSON: {error}") from error
        return answer


class StaleObject(Stale):
    """Stale, with the object as it is now (None: it is gone)."""

    def __init__(self, live: Object | None) -> None:
        super().__init__("the Service carries another decision than the one this write was planned on")
        self.live = live


def _event(event: Object) -> Object:
    if event["type"] == "ERROR":
        raise _error(int(event["object"].get("code") or 500), json.dumps(event["object"]).encode(), None)
    return event


def _guarded(body: Object, version: str) -> Object:
    return {**body, "metadata": {**body["metadata"], "resourceVersion": version}}


def _check_owner(kind: Kind, live: Object, body: Object) -> None:
    """The owner in `body` must own `live` too."""
    wanted = {owner["uid"] for owner in body["metadata"].get("ownerReferences", ())}
    owners = {owner["uid"] for owner in live["metadata"].get("ownerReferences") or ()}
    if not wanted & owners:
        name = live["metadata"]["name"]
        raise NotOwned(f"NotOwned: {kind.name} {name} exists and is not Topgraft's; rename or delete it")


def _error(status: int, content: bytes, retry_after: str | None) -> ClusterError:
    try:
        answer: Any = loads(content)
        text = str(answer["message"])
    except (ValueError, KeyError, TypeError):
        text = content.decode(errors="replace")[:1000] or f"HTTP status {status}"
    match status:
        case 404:
            return Gone(text)
        case 409:
            return Conflict(text)
        case 410:
            return Expired(text)
        case 401 | 408 | 429:
            return Unavailable(text, _seconds(retry_after))
        case _ if status >= 500:
            return Unavailable(text, _seconds(retry_after))
        case _:
            return Refused(text)


def _seconds(retry_after: str | None) -> float:
    """The API server gives whole seconds; a proxy's date form is left to the queue's own backoff."""
    return float(retry_after) if retry_after and retry_after.isdigit() else 0.0
