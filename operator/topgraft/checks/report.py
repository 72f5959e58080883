"""What came of a verification: for people in the pod's log, for the operator in the termination message."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from topgraft.checks.failure import CheckError
from topgraft.checks.verdict import Check

TERMINATION_LOG = "/dev/termination-log"
MAX_SUMMARY_BYTES = 4096
"""Of a termination message; the kubelet cuts off the rest."""
_HIDDEN = "***"


@dataclass
class Report:
    """Collects what is found. `secrets` must not be in what leaves it, even where an adapter sent them back."""

    title: str = "verification"
    secrets: tuple[str, ...] = ()
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: CheckError | None = None

    def status(self) -> int:
        """The exit status: 0 passed or inconclusive, 1 an error of the environment or the input, 3 a check failed."""
        if any(check.verdict == "Failed" for check in self.checks):
            return 3
        return 1 if self.error else 0

    def text(self) -> str:
        """The whole report, to be read."""
        word = {0: "no check failed", 1: "could not be ended", 3: "FAILED"}[self.status()]
        lines = [f"{self.title}: {word}", ""]
        if self.checks:
            lines += [*_table(self.checks), ""]
        lines += [f"{check.name}: {check.message}" for check in self.checks]
        lines += ["", *self.notes] if self.notes else []
        if self.error:
            lines += ["", f"{self.error.reason}: {self.error}"]
        return self._hide("\n".join(lines) + "\n")

    def summary(self) -> str:
        """JSON of at most MAX_SUMMARY_BYTES: long messages are cut, then passed checks left out."""
        ordered = sorted(self.checks, key=lambda check: ("Failed", "Inconclusive", "Passed").index(check.verdict))
        for length in (1000, 400, 150, 60, 0):
            text = self._json(ordered, length)
            if len(text.encode()) <= MAX_SUMMARY_BYTES:
                return text
        while len(text.encode()) > MAX_SUMMARY_BYTES:
            ordered.pop()
            text = self._json(ordered, 0)
        return text

    def _json(self, checks: Iterable[Check], length: int) -> str:
        result: dict[str, Any] = {
            "checks": [replace(check, message=_cut(self._hide(check.message), length)).wire() for check in checks]
        }
        if self.error:
            result["error"] = {"reason": self.error.reason, "message": _cut(self._hide(str(self.error)), 1000)}
        return json.dumps(result, ensure_ascii=False, separators=(",", ":"))

    def _hide(self, text: str) -> str:
        return hide(text, self.secrets)


def write(report: Report) -> None:
    """Print the report, and leave the summary where the kubelet looks for it."""
    print(report.text(), flush=True)
    path = os.environ.get("TOPGRAFT_TERMINATION_LOG", TERMINATION_LOG)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_TRUNC), "w", encoding="utf-8") as log:
            log.write(report.summary())
    except FileNotFoundError:
        pass  # outside a pod there is none, and creating it would leave a file in /dev


def hide(text: str, secrets: Sequence[str]) -> str:
    """Cover every secret; before a text is cut, else a part of one would stay."""
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return text


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: max(0, length - 1)] + "…" * bool(length)


def _table(checks: Sequence[Check]) -> list[str]:
    rows = [("check", "old", "new", "limit", "verdict")]
    rows += [(check.name, check.old or "", check.new or "", check.limit or "", check.verdict) for check in checks]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
