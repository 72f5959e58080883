"""A refusal: what a rule says where it does not hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """Why something may not be done: a reason for conditions and a text with the field, the values and the remedy.

    `final`: it stays so until somebody changes an object; else it goes on by itself.
    """

    reason: str
    message: str
    final: bool = True
