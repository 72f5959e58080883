"""The packages of an image: how lists differ, and which specifiers they meet."""

from __future__ import annotations

import base64
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from topgraft.api.artifact import SPECIFIER
from topgraft.governance.requirements import RequirementChange, conflicts, requirement_changes
from topgraft.rollout.packages import UNPACKED_LIMIT, packages_in

INSTALLED = ["numpy==2.3.1", "scikit-learn==1.5.2", "torch==2.13.0+cpu", "odd==not.a.version!", "pre==2.0rc1"]


def test_the_difference_of_two_lists() -> None:
    old = ["a==1", "B_b==1.0", "c==3", "same==1", "no version"]
    new = ["a==2", "b-b==1.0", "d==4", "same==1"]
    assert requirement_changes(old, new) == (
        RequirementChange("a", "1", "2"),
        RequirementChange("c", "3", ""),
        RequirementChange("d", "", "4"),
    )
    assert requirement_changes(old, old) == ()


@pytest.mark.parametrize(
    ("specifier", "told"),
    [
        ("numpy", ""),
        ("NumPy>=1.26,<3", ""),
        ("numpy<2", "numpy<2 is asked for, 2.3.1 is installed"),
        ("numpy==2.3.*", ""),
        ("numpy~=2.4", "numpy~=2.4 is asked for, 2.3.1 is installed"),
        ("scikit_learn==1.5.2", ""),
        ("torch==2.13.0", ""),
        ("torch==2.13.0+cpu", ""),
        ("torch==2.13.0+cu126", "torch==2.13.0+cu126 is asked for, 2.13.0+cpu is installed"),
        ("pandas>=2", "pandas>=2 is asked for, pandas is not installed"),
        ("pre<2", "pre<2 is asked for, 2.0rc1 is installed"),
        ("pre>=1", ""),
        ("odd>=1", "odd>=1 is asked for, 'not.a.version!' is installed, which is no version"),
    ],
)
def test_a_specifier_is_met_or_not(specifier: str, told: str) -> None:
    assert conflicts([specifier], INSTALLED) == ((told,) if told else ())


@given(st.from_regex(SPECIFIER, fullmatch=True))
def test_whatever_the_schema_accepts_is_a_requirement(text: str) -> None:
    assert Requirement(text).name
    assert not any("is no requirement" in said for said in conflicts([text], INSTALLED))


def test_a_packed_list_is_the_list() -> None:
    packed = base64.b64encode(zlib.compress("\n".join(INSTALLED).encode())).decode()
    assert packages_in({"requirementsPacked": packed}) == packages_in({"requirements": INSTALLED})


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"requirements": "numpy==1"},
        {"requirementsPacked": 7},
        {"requirementsPacked": "no base64!"},
        {"requirementsPacked": base64.b64encode(b"no zlib").decode()},
        {"requirementsPacked": base64.b64encode(zlib.compress(b"a==1\n" * UNPACKED_LIMIT)).decode()},
        {"requirementsPacked": base64.b64encode(zlib.compress(b"\xff\xfe==1")).decode()},
    ],
    ids=lambda answer: json.dumps(answer)[:40],
)
def test_what_cannot_be_read_is_no_list(answer: dict[str, object]) -> None:
    assert packages_in(answer) is None


def test_odd_lines_are_left_out() -> None:
    lines = ["numpy==1", 7, None, "a b==1", "x==1\n", "y" * 300 + "==1", "z==1; rm", "<script>==1"]
    assert packages_in({"requirements": lines}) == ["numpy==1"]
