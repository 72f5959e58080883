"""The API server, as the benchmarks need it: short requests in many threads, and watches that note the time."""

import base64
import http.client
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from topgraft.cluster.kinds import Kind

Body = dict[str, Any]
REQUEST_SECONDS = 30


class ApiError(Exception):
    """The API server answered with an error."""


class Api:
    """The API server of a kubeconfig, with one kept connection for each thread."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        server = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        self._address = urlsplit(server["server"])
        self._tls = ssl.create_default_context(cadata=_decoded(server, "certificate-authority").decode())
        with tempfile.TemporaryDirectory() as folder:
            pair = [Path(folder) / name for name in ("client-certificate", "client-key")]
            for file in pair:
                file.touch(mode=0o600)
                file.write_bytes(_decoded(user, file.name))
            self._tls.load_cert_chain(pair[0], pair[1])
        self._local = threading.local()

    def call(self, method: str, path: str, body: Body | None = None, content: str = "application/json") -> Body:
        """Send a request. Raises ApiError on a status of 400 or more."""
        text = self.text(method, path, None if body is None else json.dumps(body), content)
        return dict(json.loads(text))

    def text(self, method: str, path: str, body: str | None = None, content: str = "application/json") -> str:
        """The same, with text for an answer."""
        headers = {"Content-Type": content} if body else {}
        kept: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        try:
            status, answer = _exchange(kept or self._fresh(), method, path, body, headers)
        except (http.client.HTTPException, OSError):
            if kept is None:
                raise
            status, answer = _exchange(self._fresh(), method, path, body, headers)  # the other side had closed it
        if status >= 400:
            raise ApiError(f"{method} {path}: {status}: {answer[:500]}")
        return answer

    def apply(self, kind: Kind, body: Body) -> Body:
        """Create or change an object as a user who commits it to Git would."""
        meta = body["metadata"]
        path = kind.url(meta.get("namespace"), meta["name"]) + "?fieldManager=benchmark&force=true"
        return self.call("PATCH", path, body, "application/apply-patch+yaml")

    def create(self, kind: Kind, body: Body) -> Body:
        return self.call("POST", kind.url(body["metadata"].get("namespace")), body)

    def merge(self, kind: Kind, namespace: str, name: str, change: Body) -> Body:
        return self.call("PATCH", kind.url(namespace, name), change, "application/merge-patch+json")

    def get(self, kind: Kind, namespace: str | None, name: str) -> Body:
        return self.call("GET", kind.url(namespace, name))

    def list(self, kind: Kind, namespace: str | None = None, query: str = "") -> list[Body]:
        return list(self.call("GET", kind.url(namespace) + query)["items"])

    def watch(self, path: str, seconds: int) -> Iterator[tuple[str, Body]]:
        """Changes from now on, for at most `seconds`. Raises ApiError where the API server tells no more of them.

        The API server ends every watch of a kind whose definition is applied again: it goes on where it ended.
        """
        version = self.call("GET", f"{path}?limit=1")["metadata"]["resourceVersion"]
        ends = time.monotonic() + seconds
        while (left := int(ends - time.monotonic())) > 0:
            connection = self._connect(left + REQUEST_SECONDS)
            try:
                connection.request("GET", f"{path}?watch=true&timeoutSeconds={left}&resourceVersion={version}")
                for line in connection.getresponse():
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiError(f"watch of {path}: {event['object']}")
                    version = event["object"]["metadata"]["resourceVersion"]
                    yield event["type"], event["object"]
            finally:
                connection.close()
            time.sleep(0.1)

    def _fresh(self) -> http.client.HTTPSConnection:
        self._local.connection = connection = self._connect(REQUEST_SECONDS)
        return connection

    def _connect(self, seconds: float) -> http.client.HTTPSConnection:
        address, port = self._address.hostname or "", self._address.port or 443
        return http.client.HTTPSConnection(address, port, timeout=seconds, context=self._tls)


def _exchange(
    connection: http.client.HTTPSConnection, method: str, path: str, body: str | None, headers: dict[str, str]
) -> tuple[int, str]:
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def _named(items: list[Body], name: str) -> Body:
    return next(item for item in items if item["name"] == name)


def _decoded(source: Body, key: str) -> bytes:
    inline = source.get(f"{key}-data")
    return base64.b64decode(inline) if inline else Path(source[key]).read_bytes()


@dataclass(frozen=True)
class Seen:
    """A change, and when the watch brought it, in seconds since the epoch."""

    at: float
    type: str
    object: Body

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])


class Watcher:
    """Follows the objects of a kind in a thread of its own."""

    def __init__(self, api: Api, kind: Kind, namespace: str, seconds: int = 1800) -> None:
        self.seen: list[Seen] = []
        self._arguments = api, kind.url(namespace), seconds
        threading.Thread(target=self._run, daemon=True).start()

    def first(self, matches: Callable[[Seen], bool], after: int = 0) -> Seen | None:
        """The first match among `seen[after:]`."""
        return next((seen for seen in self.seen[after:] if matches(seen)), None)

    def _run(self) -> None:
        api, path, seconds = self._arguments
        for type_, body in api.watch(path, seconds):
            self.seen.append(Seen(time.time(), type_, body))


def in_parallel(work: Callable[[Any], object], items: Sequence[Any], threads: int = 8) -> None:
    """Call `work` with each item. The first failure is raised once all threads have ended."""
    waiting = list(reversed(items))
    failures: list[Exception] = []

    def run() -> None:
        while not failures:
            try:
                item = waiting.pop()
            except IndexError:
                return
            try:
                work(item)
            except Exception as error:
                failures.append(error)

    started = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    if failures:
        raise failures[0]
