"""Where a registry answers: an option of the operator, which its pods are told."""

from __future__ import annotations

import argparse


def endpoint(text: str) -> tuple[str, str]:
    """`HOST=URL` of a registry that is not reached by https under its name."""
    host, _, url = text.partition("=")
    scheme, _, rest = url.partition("://")
    if not host or "/" in host or scheme not in ("http", "https") or not rest or set("?#@ ") & set(rest):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST=URL, such as registry.example=http://10.0.0.7:5000")
    return host, url
