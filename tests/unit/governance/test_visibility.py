"""PRIVATE < ORG < PUBLIC: who sees what, and what a version is worth in its Model."""

from __future__ import annotations

from typing import get_args

import pytest
from topgraft.api.model import Visibility
from topgraft.governance.visibility import GETTABLE, effective, sees

LEVELS = ("Private", "Org", "Public")


@pytest.mark.parametrize(
    ("allowed", "seen"),
    [("Private", {"Private", "Org", "Public"}), ("Org", {"Org", "Public"}), ("Public", {"Public"})],
)
def test_who_sees_what(allowed: Visibility, seen: set[str]) -> None:
    assert {level for level in get_args(Visibility) if sees(allowed, level)} == seen


def test_the_numbers_are_those_of_the_document_and_zero_is_none_of_them() -> None:
    assert GETTABLE == {"Private": 10, "Org": 30, "Public": 50}
    assert get_args(Visibility) == LEVELS


@pytest.mark.parametrize(
    ("model", "version", "level"),
    [
        *(("Private", version, "Private") for version in (*LEVELS, None)),
        *(("Org", version, level) for version, level in (("Private", "Private"), ("Org", "Org"), ("Public", "Org"))),
        *(("Public", version, version) for version in LEVELS),
        ("Org", None, "Org"),
        ("Public", None, "Public"),
    ],
)
def test_a_version_is_no_more_visible_than_its_model(model: Visibility, version: Visibility | None, level: str) -> None:
    assert effective(model, version) == level
