"""A registry in memory over real HTTP, which can be made to misbehave."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

OCI = "application/vnd.oci.image"


@dataclass
class FakeRegistry:
    """`auth`: "" for none, Basic, or Bearer. `faults`: path prefix → status that is answered there instead."""

    repository: str = "team/digits"
    auth: str = ""
    user: str = "robot:secret"
    page: int = 1000
    images: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    redirect_blobs: str = ""
    raw: dict[str, bytes] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)
    """(path, Authorization header) of every request."""
    realm: str = ""
    address: str = ""
    next_page: str = ""

    def push(
        self, *tags: str, created: str = "", revision: str = "", index: bool = False, annotate: bool = False
    ) -> str:
        """An image under these tags; returns its digest."""
        labels = {"org.opencontainers.image.revision": revision} if revision else {}
        config = {"created": created, "config": {"Labels": {} if annotate else labels}, "salt": tags[0]}
        blob = self._blob(json.dumps(config).encode())
        manifest: dict[str, Any] = {"mediaType": f"{OCI}.manifest.v1+json", "config": {"digest": blob}}
        if annotate:
            manifest["annotations"] = labels
        body = json.dumps(manifest).encode()
        kind = str(manifest["mediaType"])
        if index:
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            self.images[digest] = (kind, body)
            kind = f"{OCI}.index.v1+json"
            body = json.dumps({"mediaType": kind, "manifests": [{"digest": digest}]}).encode()
        for tag in tags:
            self.images[tag] = (kind, body)
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def _blob(self, body: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self.blobs[digest] = body
        return digest

    def allows(self, header: str) -> bool:
        basic = f"Basic {base64.b64encode(self.user.encode()).decode()}"
        return {"": True, "Basic": header == basic, "Bearer": header == "Bearer token-1"}[self.auth]

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Runs it; yields its URL."""
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self.address
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        header = request.headers.get("Authorization", "")
        self.seen.append((request.path, header))
        parts = urlsplit(request.path)
        status, headers, body = self._route(parts.path, parse_qs(parts.query), header)
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _route(self, path: str, query: dict[str, list[str]], header: str) -> tuple[int, dict[str, str], bytes]:
        fault = next((status for prefix, status in self.faults.items() if path.startswith(prefix)), None)
        if fault is not None:
            return fault, {}, b"{}"
        if path in self.raw:
            return 200, {}, self.raw[path]
        if path == "/token":
            wanted = f"Basic {base64.b64encode(self.user.encode()).decode()}"
            right = header == wanted and query.get("scope") == [f"repository:{self.repository}:pull"]
            return (200, {}, b'{"token": "token-1"}') if right else (401, {}, b"{}")
        root = f"/v2/{self.repository}/"
        if not path.startswith(root):
            return 404, {}, b'{"errors": [{"code": "NAME_UNKNOWN"}]}'
        if not self.allows(header):
            realm = self.realm or f"{self.address}/token"
            told = f'Bearer realm="{realm}",service="fake"' if self.auth == "Bearer" else 'Basic realm="fake"'
            return 401, {"WWW-Authenticate": told}, b"{}"
        rest = path.removeprefix(root)
        if rest == "tags/list":
            return self._tags(query)
        if rest.startswith("blobs/"):
            if self.redirect_blobs:
                return 307, {"Location": f"{self.redirect_blobs}/{rest}"}, b""
            found = self.blobs.get(rest.removeprefix("blobs/"))
            return (200, {}, found) if found is not None else (404, {}, b"{}")
        kind, body = self.images.get(rest.removeprefix("manifests/"), ("", b""))
        if not body:
            return 404, {}, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}'
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        return 200, {"Content-Type": kind, "Docker-Content-Digest": digest}, body

    def _tags(self, query: dict[str, list[str]]) -> tuple[int, dict[str, str], bytes]:
        tags = sorted(tag for tag in self.images if not tag.startswith("sha256:"))
        last = query.get("last", [""])[0]
        rest = [tag for tag in tags if tag > last]
        shown, more = rest[: self.page], rest[self.page :]
        url = self.next_page or (f"/v2/{self.repository}/tags/list?n={self.page}&last={shown[-1]}" if shown else "")
        headers = {"Link": f'<{url}>; rel="next"'} if more else {}
        return 200, headers, json.dumps({"name": self.repository, "tags": shown}).encode()
