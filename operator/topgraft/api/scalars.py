"""Bounded strings and numbers that several fields share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from topgraft.api.wire import AtomicMap, Rule

DIGEST = "^sha256:[0-9a-f]{64}$"
LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
LABEL_VALUE = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
QUANTITY = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
IMAGE = (
    r"^(\\[[0-9a-fA-F:]+\\]|[a-zA-Z0-9][a-zA-Z0-9._-]*)(:[0-9]+)?(/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*"
    r"(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$"
)
MAX_MESSAGE = 32768
"""Longest `message` of a condition, in characters (the bound of metav1.Condition)."""

Sha256 = Annotated[str, Field(pattern=DIGEST, max_length=71)]
DnsLabel = Annotated[
    str,
    Field(min_length=1, max_length=63),
    Rule(f"self.matches('{LABEL}')", "must be a DNS label: lower-case letters, digits and '-', at most 63 characters"),
]
ObjectName = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Rule(
        f"self.matches(r'{SUBDOMAIN}')",
        "must be the name of a Kubernetes object: lower-case letters, digits, '-' and '.', at most 253 characters",
    ),
]
Image = Annotated[
    str,
    Field(min_length=1, max_length=512),
    Rule(f"self.matches('{IMAGE}')", "must be an image reference, such as registry.example/team/adapter:v2"),
]
KeyName = Annotated[str, Field(min_length=1, max_length=253, pattern="^[-._a-zA-Z0-9]+$")]
"""A key of a ConfigMap or Secret."""
Word = Annotated[str, Field(min_length=1, max_length=128)]
Line = Annotated[str, Field(max_length=1024)]
Argument = Annotated[str, Field(max_length=4096)]
Url = Annotated[str, Field(max_length=2048)]
NotesText = Annotated[
    str, Field(max_length=65536), Rule("size(bytes(self)) <= 65536", "must be at most 65536 bytes long in UTF-8")
]
Quantity = Annotated[int | str, Field(json_schema_extra={"pattern": QUANTITY, "maxLength": 64})]
LabelKey = Annotated[str, Field(min_length=1, max_length=316, pattern=LABEL_KEY)]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
KeysOfUsers = Rule(
    "self.all(k, !k.startsWith('topgraft.dev/') && k != 'app.kubernetes.io/managed-by')",
    "must not have a key that starts with topgraft.dev/, nor app.kubernetes.io/managed-by: Topgraft sets these",
)
QualifiedKeys = Rule(
    f"self.all(k, size(k) <= 316 && k.matches(r'{LABEL_KEY}'))",
    "must have keys of the form name or prefix/name: letters, digits, '-', '_' and '.'",
)
ShortKeys = Rule("self.all(k, size(k) >= 1 && size(k) <= 253)", "must have keys of 1 to 253 characters")
LabelMap = Annotated[dict[str, Annotated[str, Field(max_length=63, pattern=LABEL_VALUE)]], Field(max_length=64)]
MatchLabels = Annotated[LabelMap, QualifiedKeys]
PodLabels = Annotated[LabelMap, QualifiedKeys, KeysOfUsers]
NodeSelector = Annotated[LabelMap, QualifiedKeys, AtomicMap()]
Annotations = Annotated[
    dict[str, Annotated[str, Field(max_length=16384)]], Field(max_length=64), QualifiedKeys, KeysOfUsers
]
StringMap = Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=128), ShortKeys]
