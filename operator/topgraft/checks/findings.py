"""What a replay has found so far: counts, never answers."""

from __future__ import annotations

from collections import Counter

from topgraft.checks.client import Answer
from topgraft.checks.compare import Compare, comparison
from topgraft.checks.config import Golden, Limits
from topgraft.checks.failure import CheckError, printable
from topgraft.checks.goldenfile import GoldenRequest, Label, Labels
from topgraft.checks.outputs import AnswerError, Parsed, parse
from topgraft.checks.verdict import Check, accuracy, agreement, divergence, errors

SHOWN_DIFFERENCES = 10


class Findings:
    """Answers go in one pair at a time. Version 0 is the old one, 1 the new one."""

    def __init__(self, golden: Golden, limits: Limits, *, has_old: bool) -> None:
        self._golden = golden
        self._limits = limits
        self._has_old = has_old
        self._compare: Compare = comparison(golden)
        self.sent = 0
        self.failed = [0, 0]
        self.faults: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self.differences: list[str] = []
        self._compared = self._agreed = self._may_change = self._unclassed = self._labelled = 0
        self._right = [0, 0]
        self._classes: tuple[Counter[Label], Counter[Label]] = (Counter(), Counter())

    def add(self, request: GoldenRequest, old: Answer | None, new: Answer) -> None:
        """Take both versions' answers to a request; `old` is None at the first deployment."""
        self.count(old, new)
        before = parse(old.body) if old and not old.failed else None
        after = None if new.failed else parse(new.body, before)
        self._score(request, before, after)
        if request.name in self._golden.may_change:
            self._may_change += 1
            return
        if before and after and (named := (before.classes, after.classes))[0] and named[1]:
            for counter, labels in zip(self._classes, named, strict=True):
                for label in labels or ():
                    counter[label] += 1
        if self._golden.compare == "None" or (self._has_old and not before):
            return
        try:
            difference = self._difference(request.labels, before, after, new)
        except AnswerError:
            self._unclassed += 1
            return
        self._compared += 1
        self._agreed += not difference
        if difference and len(self.differences) < SHOWN_DIFFERENCES:
            self.differences.append(f"{printable(request.name)}: {difference}")

    def count(self, old: Answer | None, new: Answer) -> None:
        """Count a request that is not compared."""
        self.sent += 1
        for version, answer in enumerate((old, new)):
            if answer and answer.failed:
                self.failed[version] += 1
                self.faults[version][answer.fault()] += 1

    def hopeless(self) -> bool:
        """Whether a version has not answered a single request, and more of them would change nothing."""
        return self.sent >= self._limits.min_samples and self.sent in self.failed

    def check_old(self) -> None:
        """Raise CheckError when there is nothing to compare with."""
        if self._has_old and self.sent and self.failed[0] == self.sent:
            raise CheckError(
                "GoldenAnswersUnusable",
                f"the serving version answered none of {self.sent} golden requests ({_faults(self.faults[0])}); "
                "mend golden.path or the bodies: they must be requests that it can answer",
            )
        if self._unclassed and not self._compared:
            raise CheckError(
                "GoldenAnswersUnusable",
                "compare: TopOne: no answer of the serving version names a class: an output with one whole number or "
                "text for each row, or scores; use compare: Exact or Tolerance",
            )

    def checks(self) -> list[Check]:
        """The verdicts on what was answered."""
        found = [
            errors(
                self.failed[0], self.failed[1], self.sent, self._limits, _faults(self.faults[1]), has_old=self._has_old
            )
        ]
        if self._golden.compare != "None":
            found.append(
                agreement(
                    self._agreed,
                    self._compared,
                    self._may_change,
                    self._golden.min_agreement,
                    "; ".join(self.differences[:3]),
                    has_old=self._has_old,
                )
            )
        if self._labelled:
            right = self._right[0] if self._has_old else None
            found.append(accuracy(right, self._right[1], self._labelled, self._limits))
        if self._has_old and (kl := divergence(*self._classes, self._limits)):
            found.append(kl)
        return found

    def _difference(self, labels: Labels | None, before: Parsed | None, after: Parsed | None, new: Answer) -> str:
        if not after:
            return f"no answer: {new.fault()}"
        if not before or after.problem != before.problem:
            return after.problem
        if after is before and self._golden.compare != "TopOne":
            return ""
        return self._compare(before.outputs, after.outputs, labels)

    def _score(self, request: GoldenRequest, before: Parsed | None, after: Parsed | None) -> None:
        if request.labels is None:
            return
        self._labelled += len(request.labels)
        for version, parsed in enumerate((before, after)):
            named = parsed.classes if parsed else None
            self._right[version] += sum(one == label for one, label in zip(named or (), request.labels, strict=False))


def _faults(faults: Counter[str]) -> str:
    return ", ".join(f"{fault} ({count} ×)" for fault, count in faults.most_common(3))
