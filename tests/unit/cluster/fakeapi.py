"""An API server in the test's own process, for the faults that a real one does not show on demand.

It stores objects with resourceVersion and uid, refuses stale writes, and knows apply as "merge the top level".
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration
from topgraft.cluster.client import Client

Object = dict[str, Any]
CREATED = "2026-01-01T00:00:00Z"
Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def status(code: int, message: str = "no", **headers: str) -> web.Response:
    return web.json_response({"kind": "Status", "message": message}, status=code, headers=headers)


def merged(live: Object, patch: Object) -> Object:
    """A JSON merge patch (RFC 7386)."""
    made = {name: value for name, value in live.items() if name not in patch}
    for name, value in patch.items():
        if isinstance(value, dict):
            made[name] = merged(live.get(name) or {}, value)
        elif value is not None:
            made[name] = value
    return made


class FakeApi:
    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.version = 100
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        """Asked before each request; the first answer that is not None is given."""
        self.url = ""
        self.clients: list[ApiClient] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs))
        for fault in self.faults:
            if (answer := await fault(request)) is not None:
                return answer
        return await getattr(self, f"do_{request.method.lower()}")(request)

    async def do_get(self, request: web.Request) -> web.Response:
        if request.path in self.objects:
            return web.json_response(self.objects[request.path])
        if "limit" in request.query:
            items = [obj for path, obj in sorted(self.objects.items()) if path.startswith(request.path + "/")]
            start, limit = int(request.query.get("continue", "0")), int(request.query["limit"])
            more = str(start + limit) if start + limit < len(items) else ""
            metadata = {"resourceVersion": str(self.version), "continue": more}
            return web.json_response({"metadata": metadata, "items": items[start : start + limit]})
        return status(404)

    async def do_post(self, request: web.Request) -> web.Response:
        body = await request.json()
        path = f"{request.path}/{body['metadata']['name']}"
        return status(409) if path in self.objects else self._store(path, body, 201)

    async def do_put(self, request: web.Request) -> web.Response:
        body = await request.json()
        live = self.objects.get(request.path)
        if live is None:
            return status(404)
        if body["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]:
            return status(409)
        return self._store(request.path, body, 200)

    async def do_patch(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text())
        path = request.path.removesuffix("/status")
        live = self.objects.get(path)
        if request.content_type == "application/merge-patch+json":
            if live is None:
                return status(404, f"{path} not found")
            wanted = body.get("metadata", {}).get("resourceVersion", live["metadata"]["resourceVersion"])
            if wanted != live["metadata"]["resourceVersion"]:
                return status(409, "the object has been modified")
            return self._store(path, merged(live, body), 200)
        guard = body["metadata"].get("resourceVersion")
        if guard and (live is None or guard != live["metadata"]["resourceVersion"]):
            return status(409)
        return self._store(path, {**(live or {}), **body}, 200 if live else 201)

    async def do_delete(self, request: web.Request) -> web.Response:
        live = self.objects.get(request.path)
        if live is None:
            return status(404)
        if (await request.json())["preconditions"]["uid"] != live["metadata"]["uid"]:
            return status(409)
        del self.objects[request.path]
        return web.json_response({"kind": "Status", "status": "Success"})

    def _store(self, path: str, body: Object, code: int) -> web.Response:
        self.version += 1
        before = self.objects.get(path, {}).get("metadata", {"uid": str(uuid4())})
        fixed = {
            "uid": before["uid"],
            "resourceVersion": str(self.version),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        self.objects[path] = {**body, "metadata": {**body["metadata"], **fixed}}
        return web.json_response(self.objects[path], status=code)

    def client(self, may_write: Callable[[], bool] = lambda: True, timeout: float = 5.0) -> Client:
        self.clients.append(ApiClient(Configuration(host=self.url)))
        return Client(self.clients[-1], may_write, timeout)


@asynccontextmanager
async def fake_api() -> AsyncIterator[FakeApi]:
    api = FakeApi()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    async with TestServer(app, shutdown_timeout=0.01) as server:
        api.url = str(server.make_url("/")).rstrip("/")
        try:
            yield api
        finally:
            for client in api.clients:
                await client.close()


async def eventually(true: Callable[[], bool], seconds: float = 3.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - anything may be waited for
            await asyncio.sleep(0.005)
