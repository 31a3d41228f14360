"""Bounds, and on which side of them a figure must be."""

from __future__ import annotations

import operator
from dataclasses import dataclass

SIDES = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


@dataclass(frozen=True)
class Target:
    """A bound of the ratio; of the figure itself where there is no ratio."""

    sign: str
    bound: float
    text: str

    def is_met(self, value: float) -> bool:
        """Whether the value is on the right side."""
        return SIDES[self.sign](value, self.bound)

    def __str__(self) -> str:
        return f"{self.sign} {self.text}"


def at_least(bound: float) -> Target:
    """A ratio that must be reached."""
    return Target(">=", bound, f"{bound:g}")


def at_most(bound: float, text: str = "") -> Target:
    """A ratio, or a figure in the measure's unit, that must not be exceeded."""
    return Target("<=", bound, text or f"{bound:g}")


def below(bound: float) -> Target:
    """A ratio, or a figure in the measure's unit, that must not be reached."""
    return Target("<", bound, f"{bound:g}")
