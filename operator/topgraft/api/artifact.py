"""Where a version's artifacts (the weights) lie."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from topgraft.api.beside import ArtifactContainer, ExternalModel
from topgraft.api.peft import PeftAdapters
from topgraft.api.pod import LocalObjectReference
from topgraft.api.scalars import ObjectName, Sha256, StringMap
from topgraft.api.wire import ATOMIC, BY_NAME, Rule, Wire, rules

SOURCES = ("persistentVolumeClaim", "image", "configMap", "secret", "nfs", "csi")

MountPath = Annotated[
    str,
    Field(min_length=1, max_length=512),
    Rule("self.matches('^(/[^/:]+)+$')", "must be an absolute path such as /artifacts, without ':' and final '/'"),
    Rule("!self.split('/').exists(s, s == '..' || s == '.')", "must not contain a '.' or '..' segment"),
]
SubPath = Annotated[
    str,
    Field(min_length=1, max_length=512),
    Rule("!self.startsWith('/')", "must be a relative path"),
    Rule("!self.split('/').exists(s, s == '..')", "must not contain a '..' segment"),
]
VolumeName = Annotated[
    str,
    Field(min_length=1, max_length=50),
    Rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "must be a DNS label: lower-case letters, digits and '-', at most 50 characters",
    ),
]


_RELEASE = r"[0-9]+(\.[0-9]+)*"
_VERSION = rf"{_RELEASE}((a|b|rc)[0-9]+)?(\.post[0-9]+)?(\.dev[0-9]+)?"
_LOCAL = r"(\+[a-z0-9]+(\.[a-z0-9]+)*)?"
_CLAUSE = rf"((==|!=) ?({_RELEASE}\.\*|{_VERSION}{_LOCAL})|(<=|>=|<|>) ?{_VERSION}|~= ?[0-9]+\.{_VERSION})"
SPECIFIER = rf"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?( ?{_CLAUSE}( ?, ?{_CLAUSE})*)?$"
Specifier = Annotated[
    str,
    Field(min_length=1, max_length=256),
    Rule(
        f"self.matches(r'{SPECIFIER}')",
        "must be a package and its versions after PEP 440, such as numpy>=1.26,<3: without extras, markers and URLs",
    ),
]


class ClaimSource(Wire):
    """A PersistentVolumeClaim of the same namespace."""

    claim_name: ObjectName
    sub_path: SubPath | None = None
    """A directory inside the volume."""


class ImageSource(Wire):
    """An OCI image whose files are the artifacts (needs Kubernetes 1.35 or newer)."""

    reference: Annotated[
        str,
        Field(min_length=1, max_length=512),
        Rule(
            "self.matches('^[^@ ]+@sha256:[0-9a-f]{64}$')",
            "must name the image by digest (repository@sha256:<64 hex digits>): a tag could move under the artifacts",
        ),
    ]
    """The image, by digest: repository@sha256:…"""


class ConfigMapSource(Wire):
    """A ConfigMap of the same namespace."""

    name: ObjectName


class SecretSource(Wire):
    """A Secret of the same namespace."""

    secret_name: ObjectName


class NfsSource(Wire):
    """A directory of an NFS server."""

    server: Annotated[str, Field(min_length=1, max_length=253)]
    path: Annotated[
        str,
        Field(min_length=1, max_length=1024),
        Rule("self.startsWith('/')", "must be an absolute path on the server"),
        Rule("!self.split('/').exists(s, s == '..')", "must not contain a '..' segment"),
    ]


class CsiSource(Wire):
    """A volume that a CSI driver makes for the pod."""

    driver: Annotated[str, Field(min_length=1, max_length=63, pattern="^[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?$")]
    volume_attributes: StringMap = {}
    node_publish_secret_ref: LocalObjectReference | None = None
    fs_type: Annotated[str | None, Field(min_length=1, max_length=63)] = None


class ArtifactVolume(Wire):
    """One volume of artifacts, always mounted read-only, with exactly one source."""

    model_config = rules(
        Rule(
            f"[{', '.join(f'has(self.{source})' for source in SOURCES)}].filter(x, x).size() == 1",
            f"must have exactly one source of {', '.join(SOURCES)}",
        )
    )

    name: VolumeName
    mount_path: MountPath
    """Where the adapter finds the files. The first volume's path is its TOPGRAFT_ARTIFACT_DIR."""
    persistent_volume_claim: ClaimSource | None = None
    image: ImageSource | None = None
    config_map: ConfigMapSource | None = None
    """A ConfigMap of the same namespace with `immutable: true`."""
    secret: SecretSource | None = None
    nfs: NfsSource | None = None
    csi: CsiSource | None = None


class Artifact(Wire):
    """The artifacts of a version: what no upgrade changes."""

    model_config = rules(
        Rule(
            "has(self.volumes) || has(self.containers) || has(self.external)",
            "must have volumes, containers or external: an adapter needs something to serve",
        )
    )

    volumes: Annotated[
        tuple[ArtifactVolume, ...],
        Field(min_length=1, max_length=8),
        BY_NAME,
        Rule(
            "self.all(v, self.exists_one(w, w.mountPath == v.mountPath))",
            "every volume must have a mountPath of its own",
        ),
    ] = ()
    """The files. Optional where containers or an external model hold the model."""
    containers: Annotated[tuple[ArtifactContainer, ...], Field(min_length=1, max_length=4), BY_NAME] = ()
    """Containers beside the adapter, which reaches them on localhost: a model that comes as an image of its own."""
    external: ExternalModel | None = None
    """A model that is served elsewhere."""
    adapters: PeftAdapters = ()
    """PEFT adapters among the files."""
    digest: Sha256 | None = None
    """The tree digest that the artifacts must have, as status.artifact.digest shows it."""
    compatibility: Annotated[tuple[Specifier, ...], Field(max_length=64), ATOMIC] = ()
    """Versions of Python packages that the artifacts need, such as numpy>=1.26,<3; an image without them is refused."""
    verify: Literal["Full", "Quick"] = "Full"
    """Full: every byte is read for each new version. Quick: files with the size, times and place of the last reading
    count as unchanged, and are read slowly after the switch."""
