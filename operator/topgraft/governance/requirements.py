"""The packages of an adapter image: how two lists differ, and whether one fits what the artifacts were made for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version


@dataclass(frozen=True)
class RequirementChange:
    """One package: its version before and after, "" where it is not installed."""

    name: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.name} {self.old or '(not installed)'} → {self.new or '(removed)'}"


def installed(lines: Iterable[str]) -> dict[str, str]:
    """Package name, as PEP 503 spells it → version, of lines `name==version`. Other lines are not counted."""
    pairs = (line.partition("==") for line in lines)
    return {str(canonicalize_name(name.strip())): version.strip() for name, mark, version in pairs if mark and name}


def requirement_changes(old: Iterable[str], new: Iterable[str]) -> tuple[RequirementChange, ...]:
    """What was added, removed or given another version, by name."""
    before, after = installed(old), installed(new)
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return tuple(RequirementChange(name, before.get(name, ""), after.get(name, "")) for name in names)


def conflicts(compatibility: Sequence[str], lines: Iterable[str]) -> tuple[str, ...]:
    """Which specifiers (PEP 508 without extras, markers and URLs) the installed packages do not meet, in words.

    Pre-releases count: what is installed is installed.
    """
    found = installed(lines)
    return tuple(text for specifier in compatibility if (text := _conflict(specifier, found)))


def _conflict(specifier: str, found: dict[str, str]) -> str:
    try:
        asked = Requirement(specifier)
    except InvalidRequirement as wrong:
        return f"{specifier!r} is no requirement: {str(wrong).splitlines()[0]}"
    version = found.get(canonicalize_name(asked.name))
    if version is None:
        return f"{asked} is asked for, {asked.name} is not installed"
    try:
        fits = asked.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return f"{asked} is asked for, {version!r} is installed, which is no version"
    return "" if fits else f"{asked} is asked for, {version} is installed"
