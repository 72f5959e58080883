"""Image references: `[registry/]repository[:tag][@digest]`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Image:
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, reference: str) -> Image:
        rest, _, digest = reference.partition("@")
        head, slash, last = rest.rpartition("/")
        name, _, tag = last.partition(":")
        return cls(head + slash + name, tag, digest)

    @property
    def canonical_repository(self) -> str:
        """The repository with the defaults that every container runtime fills in, so that spellings compare equal."""
        first, slash, rest = self.repository.partition("/")
        if not slash:
            return f"docker.io/library/{first}"
        if "." not in first and ":" not in first and first != "localhost":
            return f"docker.io/{self.repository}"
        if first in ("docker.io", "index.docker.io"):
            return f"docker.io/{rest if '/' in rest else 'library/' + rest}"
        return self.repository

    def at(self, digest: str) -> str:
        """The reference pinned to `digest`, the tag kept for the reader."""
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}@{digest}" if digest else f"{self.repository}{tag}"


def digest_of(image_id: str) -> str:
    """The manifest digest in a container status' `imageID`, or "" where the runtime reports none."""
    digest = image_id.rpartition("@")[2] if "@" in image_id else ""
    return digest if digest.startswith("sha256:") else ""
