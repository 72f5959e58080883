"""The verdict on one aspect of the new version, and the limits behind it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Literal

from topgraft.checks.config import Limits
from topgraft.checks.goldenfile import Label
from topgraft.limits import drops_percent, kl_divergence

Word = Literal["Passed", "Failed", "Inconclusive"]

MIN_PER_LABEL = 5
"""Answers for each label on average, below which their distribution says nothing: they are texts, not classes."""


@dataclass(frozen=True)
class Check:
    """`old`, `new` and `limit` are for people; None where there is no such figure."""

    name: str
    verdict: Word
    message: str
    old: str | None = None
    new: str | None = None
    limit: str | None = None

    def wire(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def errors(old: int, new: int, sent: int, limits: Limits, faults: str, *, has_old: bool) -> Check:
    """Judge how many of the `sent` requests failed, in points of 100 above the old version's share."""
    over = Fraction(new - (old if has_old else 0), sent) * 100 > limits.error_increase
    verdict: Word = "Failed" if over else "Passed"
    if over and sent < limits.min_samples and _points(new - old, limits.min_samples) <= limits.error_increase:
        verdict = "Inconclusive"
    message = f"{new} of {sent} requests failed" + (f", {old} with the old version" if has_old else "")
    message += f"; {faults}" if new and faults else ""
    message += _too_few(sent, limits) if verdict == "Inconclusive" else ""
    limit = f"+{_plain(limits.error_increase)} points"
    return Check("golden/errors", verdict, message, _share(old, sent) if has_old else None, _share(new, sent), limit)


def _points(difference: int, count: int) -> Fraction:
    return Fraction(difference, count) * 100


def agreement(
    agreed: int, compared: int, may_change: int, min_percent: int, differences: str, *, has_old: bool
) -> Check:
    """Judge the share of answers that are the same as before; at the first deployment, that are well-formed."""
    verdict: Word = "Failed" if agreed * 100 < min_percent * compared else "Passed"
    message = f"{compared - agreed} of {compared} answers {'differ' if has_old else 'are not well-formed'}"
    message += f", {may_change} more may change" if may_change else ""
    message += f"; {differences}" if differences else ""
    share = _share(agreed, compared) if compared else None
    return Check("golden/output", verdict, message, None, share, f"at least {min_percent} %")


def accuracy(old: int | None, new: int, labelled: int, limits: Limits) -> Check:
    """Judge the share of right answers; `old` is None at the first deployment.

    With fewer than minSamples labels a drop counts only if it would still be one with the missing ones right in both.
    """
    name, limit = "golden/accuracy", f"-{_plain(limits.accuracy_drop)} %"
    if old is None:
        return Check(name, "Passed", f"{new} of {labelled} answers are right", None, _share(new, labelled))
    message = f"{new} of {labelled} answers are right, {old} with the old version"
    verdict: Word = "Passed"
    if old == 0:
        verdict = "Inconclusive"
        message += "; no label is what the old version answers: are they written as it writes them?"
    elif drops_percent(Fraction(old, labelled), Fraction(new, labelled), limits.accuracy_drop):
        missing = max(0, limits.min_samples - labelled)
        verdict = "Failed" if drops_percent(old + missing, new + missing, limits.accuracy_drop) else "Inconclusive"
        message += _too_few(labelled, limits) if verdict == "Inconclusive" else ""
    return Check(name, verdict, message, _share(old, labelled), _share(new, labelled), limit)


def divergence(old: Counter[Label], new: Counter[Label], limits: Limits) -> Check | None:
    """Judge how far the classes answered have moved: D(new || old). None where the answers are no classes.

    With too few answers it counts only if it would still be over the limit with the missing ones as before.
    """
    count = sum(old.values())
    if not count or not new or count < MIN_PER_LABEL * len(old):
        return None
    value = kl_divergence(new, old)
    verdict: Word = "Passed"
    message = f"of {len(old.keys() | new.keys())} classes in {count} answers"
    if Fraction(value) > limits.kl:
        missing = max(0, limits.min_samples - count)
        padded = {label: new[label] + missing * old[label] / count for label in new.keys() | old.keys()}
        verdict = "Failed" if Fraction(kl_divergence(padded, old)) > limits.kl else "Inconclusive"
        message += f"; most changed: {_moved(old, new)}"
        message += _too_few(count, limits) if verdict == "Inconclusive" else ""
    return Check("golden/kl", verdict, message, None, f"{value:.4f}", _plain(limits.kl))


def _moved(old: Counter[Label], new: Counter[Label]) -> str:
    labels = sorted(old.keys() | new.keys(), key=lambda label: (-abs(new[label] - old[label]), label))
    return ", ".join(f"{label} {old[label]} → {new[label]}" for label in labels[:3])


def _too_few(count: int, limits: Limits) -> str:
    return f"; {count} are too few to decide: limits.minSamples is {limits.min_samples}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.4g} %"


def _plain(number: Fraction) -> str:
    return f"{float(number):g}"
