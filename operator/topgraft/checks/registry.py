"""A registry after the OCI distribution specification: tags and manifests, with token or basic authentication.

Nothing of what it answers is believed: sizes are bounded, every request has a time limit, and credentials are never
sent on where a registry redirects to.
"""

from __future__ import annotations

import hashlib
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from topgraft.checks.credentials import HUB, authorization
from topgraft.checks.failure import CheckError, printable

INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
MAX_ANSWER_BYTES = 4 << 20
MAX_TAGS = 20_000
REQUEST_SECONDS = 10.0
_DIGEST = re.compile("sha256:[0-9a-f]{64}")
_COMMIT = re.compile("[0-9a-f]{7,64}", re.ASCII)
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
_REMEDY = "put a pull secret for it into the Model's spec.serving.imagePullSecrets"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Manifest:
    """An image as a tag stands for it. `created` and `revision` as its labels tell them, "" where they do not."""

    digest: str
    created: str
    revision: str


class Registry:
    """One repository of a registry.

    `endpoints`: host → base URL, for registries that are not reached by https under their name.
    `secrets`: a directory with one directory for each pull secret.
    """

    def __init__(self, repository: str, endpoints: Mapping[str, str], secrets: Path) -> None:
        host, _, self._path = repository.partition("/")
        self._host, self.repository = host, repository
        named = "registry-1.docker.io" if host in HUB else host
        self._base = endpoints.get(host, f"https://{named}").rstrip("/")
        self._basic = authorization(secrets, host, self._path)
        self._header = ""
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler())

    def tags(self) -> list[str]:
        """Every tag; an empty list where the registry does not know the repository. Raises CheckError."""
        found: list[str] = []
        url = f"{self._base}/v2/{self._path}/tags/list?n=1000"
        while url:
            answer = self._get(url)
            if answer.status == 404:
                return []
            told = self._json(answer, url).get("tags") or []
            page = [tag for tag in told if isinstance(tag, str)] if isinstance(told, list) else []
            found += page
            if len(found) > MAX_TAGS:
                raise CheckError("TooManyTags", f"{self.repository} has more than {MAX_TAGS:,} tags: name one")
            following = _NEXT.search(answer.headers.get("link", "")) if page else None
            url = self._within(urljoin(url, following[1])) if following else ""
        return found

    def digest(self, reference: str) -> str | None:
        """The digest of the manifest that a tag stands for; None where there is none. Raises CheckError."""
        answer = self._manifest(reference)
        return self._digest_of(answer) if answer is not None else None

    def manifest(self, reference: str) -> Manifest | None:
        """The image behind a tag with what its annotations and labels tell; None where there is none."""
        answer = self._manifest(reference)
        if answer is None:
            return None
        told = self._json(answer, reference)
        labels = _texts(told.get("annotations"))
        created = labels.get("org.opencontainers.image.created", "")
        config = self._config(told)
        inner = config.get("config")
        labels = _texts(inner.get("Labels") if isinstance(inner, dict) else None) | labels
        created = created or str(config.get("created") or "")
        revision = labels.get("org.opencontainers.image.revision", "")
        return Manifest(self._digest_of(answer), created[:64], revision if _COMMIT.fullmatch(revision) else "")

    def _config(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """The image's configuration; of an index that of its first image."""
        listed = manifest.get("manifests")
        if isinstance(listed, list) and listed and isinstance(listed[0], dict):
            digest = str(listed[0].get("digest"))
            first = self._manifest(digest) if _DIGEST.fullmatch(digest) else None
            return self._config(self._json(first, digest) | {"manifests": None}) if first is not None else {}
        described = manifest.get("config")
        digest = str(described.get("digest")) if isinstance(described, dict) else ""
        if not _DIGEST.fullmatch(digest):
            return {}
        url = f"{self._base}/v2/{self._path}/blobs/{digest}"
        answer = self._get(url)
        return self._json(answer, url) if answer.status == 200 else {}

    def _manifest(self, reference: str) -> Answer | None:
        url = f"{self._base}/v2/{self._path}/manifests/{quote(reference, safe=':')}"
        answer = self._get(url, ", ".join((*INDEXES, *MANIFESTS)))
        return None if answer.status == 404 else answer

    @staticmethod
    def _digest_of(answer: Answer) -> str:
        computed = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        told = answer.headers.get("docker-content-digest", computed)
        if told != computed:
            raise CheckError("RegistryUnavailable", "the registry's digest is not that of the manifest that it sent")
        return computed

    def _get(self, url: str, accept: str = "*/*") -> Answer:
        answer = self._ask(url, accept, self._header)
        if answer.status == 401:
            self._header = self._authorize(answer.headers.get("www-authenticate", ""))
            answer = self._ask(url, accept, self._header)
        if answer.status in (401, 403):
            raise CheckError("ImagePullDenied", f"{self._host} answers {answer.status} for {self._path}: {_REMEDY}")
        if answer.status not in (200, 404):
            raise self._unavailable(f"status {answer.status}")
        return answer

    def _authorize(self, challenge: str) -> str:
        """The header that the registry asks for: Basic, or a token from where it says."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self._basic:
            return f"Basic {self._basic}"
        asked = dict(_PARAMETER.findall(rest))
        realm = asked.get("realm", "")
        if scheme.lower() != "bearer" or not self._trusted(realm):
            raise CheckError("ImagePullDenied", f"{self._host} wants credentials for {self._path}: {_REMEDY}")
        wanted = {"service": asked.get("service", ""), "scope": f"repository:{self._path}:pull"}
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(wanted)}"
        answer = self._ask(url, "application/json", f"Basic {self._basic}" if self._basic else "")
        if answer.status in (400, 401, 403):
            raise CheckError("ImagePullDenied", f"{self._host} gives no token for {self._path}: {_REMEDY}")
        if answer.status != 200:
            raise self._unavailable(f"status {answer.status} from {printable(urlsplit(realm).netloc)}")
        told = self._json(answer, realm)
        token = told.get("token") or told.get("access_token")
        if not isinstance(token, str) or not token.isprintable():
            raise self._unavailable("no token in the answer")
        return f"Bearer {token}"

    def _trusted(self, realm: str) -> bool:
        """A password goes over https, or where the administrator named an http endpoint for this registry."""
        scheme = urlsplit(realm).scheme
        return scheme == "https" or (scheme == "http" and urlsplit(self._base).scheme == "http")

    def _within(self, url: str) -> str:
        """The next page is of this registry: the credentials go with it."""
        parts, base = urlsplit(url), urlsplit(self._base)
        if (parts.scheme, parts.netloc) != (base.scheme, base.netloc):
            raise self._unavailable("its list of tags goes on in another place")
        return url

    def _ask(self, url: str, accept: str, authorization_header: str) -> Answer:
        request = urllib.request.Request(url, headers={"Accept": accept, "User-Agent": "topgraft"})  # noqa: S310
        if authorization_header:
            request.add_unredirected_header("Authorization", authorization_header)
        try:
            with self._opener.open(request, timeout=REQUEST_SECONDS) as response:
                return self._read(response.status, response.headers, response)
        except urllib.error.HTTPError as error:
            with error:
                return self._read(error.code, error.headers, error)
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise self._unavailable(printable(str(reason))[:200] or type(error).__name__) from error

    def _read(self, status: int, headers: Any, response: Any) -> Answer:
        body = response.read(MAX_ANSWER_BYTES + 1)
        if len(body) > MAX_ANSWER_BYTES:
            raise self._unavailable(f"an answer of more than {MAX_ANSWER_BYTES:,} bytes")
        return Answer(status, {name.lower(): value for name, value in headers.items()}, body)

    def _json(self, answer: Answer, what: str) -> dict[str, Any]:
        try:
            told = json.loads(answer.body)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise self._unavailable(f"no JSON object for {printable(urlsplit(what).path)[:100]}")
        return told

    def _unavailable(self, why: str) -> CheckError:
        return CheckError("RegistryUnavailable", f"{self._base}: {why}")


def _texts(labels: Any) -> dict[str, str]:
    given = labels if isinstance(labels, dict) else {}
    return {name: text for name, text in given.items() if isinstance(name, str) and isinstance(text, str)}
