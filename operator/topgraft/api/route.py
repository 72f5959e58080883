"""How requests from outside reach a Model: by a Gateway API HTTPRoute that Topgraft makes and owns."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from topgraft.api.scalars import DnsLabel, ObjectName
from topgraft.api.wire import ATOMIC, Rule, Wire

Hostname = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Rule(
        r"self.matches(r'^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "must be a host name such as digits.example.com or *.example.com, in lower case and without a port",
    ),
]
PathPrefix = Annotated[
    str,
    Field(min_length=1, max_length=1024),
    Rule(
        "self.startsWith('/') && !self.contains('//') && !self.contains('?') && !self.contains('#') "
        "&& !self.contains('/../') && !self.contains('/./')",
        "must be an absolute path such as /v2/models/digits, without query, '//', '/./' and '/../'",
    ),
]


class ParentRef(Wire):
    """A Gateway that the route is attached to."""

    name: ObjectName
    """Name of the Gateway."""
    namespace: DnsLabel | None = None
    """Its namespace; by default the Model's own. The Gateway must admit routes of the Model's namespace."""
    section_name: ObjectName | None = None
    """One listener of it by name; by default all that admit the route."""
    port: Annotated[int | None, Field(ge=1, le=65535)] = None
    """Only listeners on this port."""


class HeaderMatch(Wire):
    """Requests with this header go to a branch of the Model instead."""

    branch: DnsLabel
    """Name of the branch in spec.branches. One that runs an Experimental version gets no request from outside."""
    header: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$")]
    """Name of the header; upper and lower case are the same."""
    value: Annotated[str, Field(min_length=1, max_length=1024)]
    """Its whole value."""


class HttpRoute(Wire):
    """An HTTPRoute of the Model's name, made and kept by Topgraft: all requests go to the Model's Service, and during a
    Canary an exact share to the new version."""

    parent_refs: Annotated[
        tuple[ParentRef, ...],
        Field(min_length=1, max_length=8),
        ATOMIC,
        Rule(
            "self.all(p, self.exists_one(q, p == q))",
            "spec.serving.httpRoute.parentRefs must name every Gateway, listener and port only once",
        ),
    ]
    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16), ATOMIC] = ()
    """Host names that the route answers for; without any: those of the listeners."""
    path_prefix: PathPrefix = Field(default_factory=lambda: "/")
    """Requests whose path begins with this; by default /."""
    header_matches: Annotated[
        tuple[HeaderMatch, ...],
        Field(max_length=8),
        ATOMIC,
        Rule(
            "self.all(m, self.exists_one(n, n.header.lowerAscii() == m.header.lowerAscii() && n.value == m.value))",
            "spec.serving.httpRoute.headerMatches must have every header and value only once",
        ),
    ] = ()
    """An A/B test: who sends the header gets the branch, whatever share a canary has."""
