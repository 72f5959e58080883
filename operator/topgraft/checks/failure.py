"""What a check refuses, in words that a user can act on."""

import errno
import os
from typing import Literal

Reason = Literal[
    "ArtifactUnreadable",
    "ArtifactPathEscapes",
    "DigestDeadlineExceeded",
    "ArtifactTooLarge",
    "CandidateUnreachable",
    "CommitNotFound",
    "CommitNotTagged",
    "GoldenAnswersUnusable",
    "GoldenFileInvalid",
    "GoldenUnreachable",
    "ImagePullDenied",
    "LatestAmbiguous",
    "RegistryUnavailable",
    "SmokeRequestInvalid",
    "TagNotFound",
    "TooManyTags",
    "VerificationConfigInvalid",
    "VerificationCrashed",
    "VerificationDeadlineExceeded",
]

SHOWN_CHARACTERS = 200
GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE}
FORBIDDEN = {errno.EACCES, errno.EPERM}


class CheckError(Exception):
    """A check that could not be passed: `reason` for programs, the message (some 600 characters at most) for people."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def printable(text: str) -> str:
    """Write out every character that a terminal or a log would act on."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def shown(volume: str, path: bytes) -> str:
    """Name a file of a volume in printable characters only, the end of a very long path rather than its start."""
    text = printable(path.decode("utf-8", "backslashreplace"))
    if len(text) > SHOWN_CHARACTERS:
        text = "…" + text[-SHOWN_CHARACTERS:]
    return f"volume {volume}: {text or '.'}"


def changed(volume: str, path: bytes) -> CheckError:
    """The tree is being written to: no digest of it would mean anything."""
    return CheckError(
        "ArtifactUnreadable",
        f"{shown(volume, path)} changed while the artifact was read; nothing may write to an artifact during the check",
    )


def unreadable(volume: str, path: bytes, error: OSError) -> CheckError:
    """Turn the refusal of the operating system into a failed check."""
    if error.errno in GONE:
        return changed(volume, path)
    remedy = ""
    if error.errno in FORBIDDEN:
        remedy = f"; let user {os.getuid()} read it: by its mode, or by fsGroup in spec.serving.podSecurityContext"
    return CheckError("ArtifactUnreadable", f"{shown(volume, path)} cannot be read: {error.strerror}{remedy}")
