"""Who may see what: PRIVATE < ORG < PUBLIC (Clarifai's `gettable`)."""

from __future__ import annotations

from topgraft.api.model import Visibility

GETTABLE: dict[Visibility, int] = {"Private": 10, "Org": 30, "Public": 50}
"""The numbers that Clarifai's API has for them. Its 0, UNKNOWN_VISIBILITY, is no value here: it is not allowed."""


def sees(allowed: Visibility, gettable: Visibility) -> bool:
    """Whether a caller who is allowed to see `allowed` things sees one that is `gettable`.

    PRIVATE sees all, ORG sees ORG and PUBLIC, PUBLIC sees PUBLIC.
    """
    return GETTABLE[gettable] >= GETTABLE[allowed]


def effective(model: Visibility, version: Visibility | None) -> Visibility:
    """How visible a version is: never more than its Model, and as much where it says nothing of its own."""
    return min(model, version or model, key=GETTABLE.__getitem__)
