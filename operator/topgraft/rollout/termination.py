"""Termination messages: text that a container left behind. Adapters write them: nothing in them is believed as is."""

from __future__ import annotations

import json
from typing import Any

MESSAGE_LIMIT = 700
"""Characters of a fault's text: conditions and annotations stay readable, whatever an adapter writes."""
REASONS = frozenset(
    {
        "ArtifactPathEscapes",
        "ArtifactTooLarge",
        "ArtifactUnreadable",
        "CandidateUnreachable",
        "CommitNotFound",
        "CommitNotTagged",
        "ContractMissing",
        "DigestDeadlineExceeded",
        "GoldenAnswersUnusable",
        "GoldenFileInvalid",
        "GoldenUnreachable",
        "ImagePullDenied",
        "ImportFailed",
        "LatestAmbiguous",
        "LoadFailed",
        "PortUnavailable",
        "RegistryUnavailable",
        "SettingInvalid",
        "SmokeRequestInvalid",
        "TagNotFound",
        "TooManyTags",
        "VerificationConfigInvalid",
        "VerificationCrashed",
        "VerificationDeadlineExceeded",
    }
)
"""What our own programs say. Another word becomes AdapterFailed: no adapter speaks in the operator's words."""


def clean(text: str, limit: int) -> str:
    """One line of valid UTF-8 without control characters, at most `limit` characters."""
    line = " ".join(text[: 4 * limit].encode("utf-8", "replace").decode().split())
    return "".join(c if c.isprintable() else "?" for c in line)[:limit]


def parse(message: str) -> dict[str, Any] | None:
    """The JSON object in a termination message, or None for anything else."""
    try:
        said = json.loads(message)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def error_in(said: dict[str, Any] | None, limit: int) -> tuple[str, str] | None:
    """Reason and text of `{"error": {"reason": ..., "message": ...}}`."""
    error = said.get("error") if said else None
    if not isinstance(error, dict):
        return None
    reason, text = str(error.get("reason", "")), clean(str(error.get("message", "")), limit)
    return (reason, text) if reason in REASONS else ("AdapterFailed", f"{clean(reason, 64)}: {text}")
