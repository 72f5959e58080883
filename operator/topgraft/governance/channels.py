"""Channels: Production versions become the base by themselves, PreRelease ones when named, Experimental ones never."""

from __future__ import annotations

from topgraft.api.modelversion import ModelVersion
from topgraft.governance.refusal import Refusal


def objection(version: ModelVersion) -> Refusal | None:
    """Why a version gets no production traffic, also when a pin or an upgrade names it."""
    if version.spec.channel != "Experimental":
        return None
    text = f"ModelVersion {version.metadata.name!r} is of spec.channel Experimental, which gets no production traffic"
    return Refusal("ChannelExperimental", f"{text}: run it aside by the Model's spec.sandbox.version")
