"""May a version serve with what became of its prediction head?"""

from __future__ import annotations

from topgraft.api.head import HeadConversion, HeadConversionStatus
from topgraft.governance.refusal import Refusal

_KEPT = ("NotNeeded", "Converted", "Repaired")


def refused(asked: HeadConversion | None, told: HeadConversionStatus | None) -> Refusal | None:
    """Judge what the adapter said in the preflight.

    A head that is not wholly the artifact's is never let through: it answers, and wrongly. Where the mode is Auto an
    adapter may serve an unsupported head by its own class; whether it can, its pods show.
    """
    if asked is None or asked.mode == "Off":
        return None
    if told is None:
        return Refusal(
            "HeadConversionUnsupported",
            "spec.headConversion: the image says nothing of heads; use an adapter of topgraft-transformers",
        )
    text = told.message or f"{told.from_} does not become {told.to}"
    if told.result == "Incomplete":
        return Refusal("HeadConversionIncomplete", f"{text}: mend the artifacts, or serve them by an image that fits")
    if told.result not in _KEPT and asked.mode == "Require":
        return Refusal(
            "HeadConversionUnsupported", f"{text} (upgrade the image, or set spec.headConversion.mode: Auto)"
        )
    return None
