"""The command `topgraft`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from topgraft.checks import tree
from topgraft.checks.endpoint import endpoint

USER_VERBS = {
    "diff": "tell what differs between two versions of a Model",
    "rollback": "go back to a commit or version: its data, its deployment, its tests",
    "info": "print the infos of the version that serves",
    "patch-version": "merge, overwrite or remove what can be changed in a version",
    "adapters": "print the metadata of a version's PEFT adapters as JSON",
    "promote": "print a version of one Model as a version of another, for git or kubectl apply",
    "report-defect": "report a defect of a version; P0 makes the operator leave it",
    "versions": "list the versions that somebody may see",
}
"""Verbs with the user's own kubeconfig → help; each is a module of `topgraft.verbs`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; returns the exit status: 0, 1 for a failure, 2 for a wrong command line."""
    parser = argparse.ArgumentParser(prog="topgraft", description=__doc__)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    verbs = parser.add_subparsers(dest="verb", required=True)
    _add_operator(verbs.add_parser("operator", help="run the operator"))
    tree.add_arguments(verbs.add_parser("digest", help="print the tree digest of mounted artifact volumes"))
    verify = verbs.add_parser("verify", help="compare a candidate with what serves, by smoke and golden requests")
    _add_verify(verify)
    _add_inspect_peft(verbs.add_parser("inspect-peft", help="print what the files of PEFT adapters say"))
    listing = verbs.add_parser("tags", help="find the image that an upgrade's target stands for in its registry")
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["tags"]:
        _tags().add_arguments(listing)
    for verb, text in USER_VERBS.items():
        asked = verbs.add_parser(verb, help=text, description=text)
        if verb in given[:1]:
            # Only the one that is asked for: see below.
            _module(verb).add_arguments(asked)
    options = parser.parse_args(given)
    if options.verb in USER_VERBS:
        return int(_module(options.verb).run(options))
    if options.verb == "digest":
        return tree.run(options)
    if options.verb == "inspect-peft":
        from topgraft.checks import peft  # noqa: PLC0415

        return peft.run(dict(options.volume), options.adapters)
    if options.verb == "tags":
        return int(_tags().run(options))
    if options.verb == "verify":
        told = "".join(options.config) or os.environ.get("TOPGRAFT_VERIFICATION", "")
        if not told:
            verify.error("nothing to verify: give --config or set TOPGRAFT_VERIFICATION")
        # Only here, as below: an HTTP client and numpy take longer to import than a small digest takes.
        from topgraft.checks import verify as verification  # noqa: PLC0415

        return verification.run(told)
    if not options.image:
        parser.error("the operator's own image is not known: give --image or set TOPGRAFT_IMAGE")
    # Only here: each preflight runs `digest`, which must not wait for the import of a Kubernetes client.
    from topgraft import operator  # noqa: PLC0415

    return operator.main(options)


def _tags() -> Any:
    return importlib.import_module("topgraft.checks.tags")


def _module(verb: str) -> Any:
    return importlib.import_module(f"topgraft.verbs.{verb.replace('-', '_')}")


def _add_operator(parser: argparse.ArgumentParser) -> None:
    env = os.environ
    add = parser.add_argument
    add("--namespace", action="append", default=[], metavar="NS", help="watch only this; repeat (default: the cluster)")
    add("--lease-namespace", default=env.get("POD_NAMESPACE", "topgraft-system"), metavar="NS", help="$POD_NAMESPACE")
    add("--image", default=env.get("TOPGRAFT_IMAGE", ""), help="this operator's image, for preflights; $TOPGRAFT_IMAGE")
    add("--workers", type=_positive, default=20, metavar="N", help="Models worked on at once (default: 20)")
    add("--max-concurrent-rollouts", type=_positive, metavar="N", help="rollouts in progress at once (default: any)")
    add("--max-concurrent-rollouts-per-namespace", type=_positive, metavar="N", help="the same in any one namespace")
    add("--no-armed-standby", dest="armed_standby", action="store_false", help="write no standby EndpointSlices")
    add("--prometheus", type=_http_url, metavar="URL", help="server for spec.verification.metrics.source: Prometheus")
    add("--gateway-api", action="store_true", help="make HTTPRoutes for Models with spec.serving.httpRoute")
    told = "where a registry answers that is not reached by https under its name; repeat"
    add("--registry", action="append", default=[], type=endpoint, metavar="HOST=URL", help=told)
    add("--mlflow", type=_http_url, metavar="URL", help="MLflow server for Models with spec.mlflow")
    add("--log-format", choices=("json", "text"), default="json")
    add("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    add("--host", default="0.0.0.0", help="address of /healthz, /readyz and /metrics")  # noqa: S104 - the kubelet asks
    add("--port", type=_positive, default=8080, metavar="N")


def _add_verify(parser: argparse.ArgumentParser) -> None:
    # Linux bounds each argument, so a long text comes in parts.
    told = "what to send where, as the operator writes it; parts are joined; $TOPGRAFT_VERIFICATION"
    parser.add_argument("--config", action="append", default=[], metavar="JSON", help=told)


def _add_inspect_peft(parser: argparse.ArgumentParser) -> None:
    add, mount = parser.add_argument, "an artifact volume's mount"
    add("--volume", action="append", required=True, type=tree.volume, metavar="NAME=PATH", help=mount)
    add("--adapters", required=True, metavar="JSON", help="list of {type, name, location, huggingface_name}")


class _Version(argparse.Action):
    """Looked up only when asked for: reading the package's metadata is most of a digest's start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415

        sys.stdout.write(f"topgraft {version('topgraft')}\n")
        parser.exit()


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL such as http://prometheus.monitoring.svc:9090")
    return text


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
