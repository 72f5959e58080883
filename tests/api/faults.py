"""Between the operator and the real API server: a proxy that loses what a test wants lost."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import yaml
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from kubernetes import client
from support.live import Operator

HURRY = """
from topgraft.cluster import echo, resync
resync.SOON = resync.EVERY = {resync}
echo.PATIENCE = {patience}
from topgraft.cli import main
raise SystemExit(main())
"""


class FaultyApi:
    """Forwards every request as the user of KUBECONFIG. The attributes are the faults; set them at any time."""

    def __init__(self, configuration: client.Configuration) -> None:
        self.down = False
        """No request is answered and every stream is cut."""
        self.only = ""
        """When set, the one kind (its plural) whose watch still brings anything; the others stay open and silent."""
        self.missing = ""
        """A path that is not found."""
        self.hidden: set[str] = set()
        """Names of objects whose deletion no watch tells."""
        self.url = ""
        self._server = configuration.host
        self._tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if not configuration.verify_ssl:
            self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        if configuration.cert_file:
            self._tls.load_cert_chain(configuration.cert_file, configuration.key_file)
        token = configuration.get_api_key_with_prefix("BearerToken")  # type: ignore[no-untyped-call]
        self._headers = {"Authorization": token} if token else {}
        self._streams: set[asyncio.Task[object]] = set()
        self._loop = asyncio.new_event_loop()

    def cut(self) -> None:
        """Cut every watch that is open."""
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._streams])

    def kubeconfig(self, folder: Path) -> Path:
        user = {"clusters": [{"name": "faulty", "cluster": {"server": self.url}}], "current-context": "faulty"}
        context = [{"name": "faulty", "context": {"cluster": "faulty", "user": "nobody"}}]
        path = folder / "faulty.conf"
        users = [{"name": "nobody", "user": {}}]
        path.write_text(yaml.dump({"apiVersion": "v1", "kind": "Config", "contexts": context, "users": users, **user}))
        return path

    @contextmanager
    def running(self) -> Iterator[Self]:
        ready, stop = threading.Event(), asyncio.Event()

        def work() -> None:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve(ready, stop))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert ready.wait(10)
        yield self
        self._loop.call_soon_threadsafe(stop.set)
        thread.join(10)

    async def _serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        connector = TCPConnector(ssl=self._tls, limit=0)
        async with ClientSession(connector=connector, headers=self._headers, timeout=ClientTimeout(None)) as session:

            async def forward(request: web.Request) -> web.StreamResponse:
                return await self._forward(session, request)

            app = web.Application(client_max_size=2**24)
            app.router.add_route("*", "/{path:.*}", forward)
            runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ready.set()
            await stop.wait()
            await runner.cleanup()

    async def _forward(self, session: ClientSession, request: web.Request) -> web.StreamResponse:
        if self.down:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if request.path == self.missing:
            return web.json_response({"kind": "Status", "message": "not found"}, status=404)
        kept = ("Content-Type", "Accept")
        headers = {name: request.headers[name] for name in kept if name in request.headers}
        body = await request.read() or None
        url = self._server + request.raw_path
        async with session.request(request.method, url, data=body, headers=headers) as answer:
            if "watch=true" not in request.query_string:
                kind = {"Content-Type": answer.headers.get("Content-Type", "application/json")}
                return web.Response(status=answer.status, body=await answer.read(), headers=kind)
            response = web.StreamResponse(status=answer.status)
            await response.prepare(request)
            task = asyncio.current_task()
            assert task is not None
            self._streams.add(task)
            try:
                async for line in answer.content:
                    if self._speaks(request.path) and not self._hides(line):
                        await response.write(line)
            finally:
                self._streams.discard(task)
            return response

    def _speaks(self, path: str) -> bool:
        return not self.only or path.endswith(f"/{self.only}")

    def _hides(self, line: bytes) -> bool:
        if not self.hidden:
            return False
        event = json.loads(line)
        return event["type"] == "DELETED" and event["object"]["metadata"]["name"] in self.hidden


class HurriedOperator(Operator):
    """An operator behind a `FaultyApi` whose slow timers are quick."""

    def __init__(
        self,
        api: FaultyApi,
        namespace: str,
        folder: Path,
        *options: str,
        resync: float = 3600,
        patience: float = 60,
    ) -> None:
        super().__init__(namespace, folder / "operator.log", *options)
        self._command[1:3] = ["-c", HURRY.format(resync=resync, patience=patience)]
        self._environment["KUBECONFIG"] = str(api.kubeconfig(folder))
