"""What came out: a table for people, JSON lines for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from measures import Measure, Sample
from processes import Unmeasured

HEAD = ("measure", "conclave", "openbao or limit", "ratio", "spread", "target", "met", "others")
OTHERS = "others: the most of the machine's CPU that other programs had meanwhile; above 10 % do not trust it."
# How a measurement may fail without anything being wrong with this program.
FAILURES = (Unmeasured, OSError, KeyError, ValueError)


def text(value: float | None) -> str:
    """Three digits that matter, and no fewer than are before the point."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def rounded(value: float) -> float:
    """Five digits: more are noise."""
    return float(f"{value:.5g}")


def reason_of(failure: Exception) -> str:
    """Why something was not measured."""
    return str(failure) if isinstance(failure, Unmeasured) else f"{type(failure).__name__}: {failure}"


def print_rows(rows: Sequence[Sequence[str]], words: Container[int]) -> None:
    """A table. Columns of words begin at one place; the others, of figures, end at one."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = enumerate(zip(row, widths, strict=True))
        line = (cell.ljust(width) if column in words else cell.rjust(width) for column, (cell, width) in cells)
        print("  ".join(line).rstrip())


@dataclass(frozen=True)
class Line:
    """One measure, all rounds together. `ratio` is the median of the rounds' ratios, as are the figures."""

    measure: Measure
    conclave: float
    other: float | None
    ratio: float | None
    spread: tuple[float, float]  # of the ratio; of the figure where there is no ratio
    others_percent: float | None
    notes: tuple[str, ...]

    @property
    def is_met(self) -> bool:
        """Whether the median is on the right side of the target."""
        return self.measure.target.is_met(self.conclave if self.ratio is None else self.ratio)

    def target(self) -> str:
        """The target in words; of the figure it has a unit."""
        return f"{self.measure.target}{'' if self.measure.against else ' ' + self.measure.unit}"

    def to_json(self) -> dict:
        """As in the documentation of this comparison."""
        pair = {self.measure.against: self.other, "ratio": self.ratio} if self.measure.against else {}
        return {
            "measure": self.measure.name,
            "conclave": self.conclave,
            **pair,
            "spread": list(self.spread),
            "unit": self.measure.unit,
            "target": self.target(),
            "met": self.is_met,
            "others_cpu_percent": self.others_percent,
            **({"note": "; ".join(self.notes)} if self.notes else {}),
        }

    def to_row(self) -> tuple[str, ...]:
        """As in the table."""
        unit = self.measure.unit
        return (
            self.measure.name,
            f"{text(self.conclave)} {unit}",
            f"{text(self.other)} {unit}" if self.other is not None else "-",
            text(self.ratio),
            f"{text(self.spread[0])}..{text(self.spread[1])}",
            self.target(),
            "yes" if self.is_met else "NO",
            "-" if self.others_percent is None else f"{self.others_percent:.0f} %",
        )


class Results:
    """Collects samples of measures, and why there are none."""

    def __init__(self) -> None:
        self._samples: dict[str, list[Sample]] = {}
        self._trials: dict[str, Sequence[float]] = {}
        self._failures: dict[str, str] = {}

    def add(self, measure: Measure, sample: Sample) -> None:
        """One more round."""
        self._samples.setdefault(measure.name, []).append(sample)

    def add_trials(self, measure: Measure, sample: Sample, trials: Sequence[float]) -> None:
        """One figure of several trials."""
        self.add(measure, sample)
        self._trials[measure.name] = trials

    @contextmanager
    def guard(self, measures: Sequence[Measure], label: str) -> Iterator[None]:
        """Whatever inside cannot be measured is said and noted, and the rest goes on."""
        try:
            yield
        except FAILURES as why:
            reason = reason_of(why)
            print(f"versus: {label} not measured: {reason}", file=sys.stderr, flush=True)
            for measure in measures:
                self._failures[measure.name] = reason

    @property
    def is_complete(self) -> bool:
        """Whether everything was measured in every round."""
        return not self._failures

    @staticmethod
    def describe(measure: Measure, sample: Sample) -> str:
        """One sample as a line of progress."""
        words = f"conclave {text(sample.conclave)} {measure.unit}"
        if sample.other is not None:
            words += f", {measure.against} {text(sample.other)}, ratio {text(_ratio(sample))}"
        return words + f", others {sample.others_percent:.0f} %"

    def _line(self, measure: Measure) -> Line | None:
        samples = self._samples.get(measure.name)
        if not samples:
            return None
        ratios = [_ratio(sample) for sample in samples if sample.other is not None]
        others = [sample.others_percent for sample in samples if sample.others_percent is not None]
        spread = ratios or self._trials.get(measure.name) or [sample.conclave for sample in samples]
        return Line(
            measure=measure,
            conclave=rounded(median(sample.conclave for sample in samples)),
            other=rounded(median(sample.other for sample in samples)) if ratios else None,
            ratio=rounded(median(ratios)) if ratios else None,
            spread=(rounded(min(spread)), rounded(max(spread))),
            others_percent=round(max(others), 1) if others else None,
            notes=tuple(dict.fromkeys(sample.note for sample in samples if sample.note)),
        )

    def print_json(self, measures: Sequence[Measure]) -> None:
        """A line for each measure, also for one that was not measured."""
        for measure in measures:
            line = self._line(measure)
            told = line.to_json() if line else {"measure": measure.name}
            if measure.name in self._failures or not line:
                told["error"] = self._failures.get(measure.name, "interrupted before")
            print(json.dumps(told), flush=True)

    def print_table(self, measures: Sequence[Measure]) -> None:
        """The table, and below it what else is to be known of its lines."""
        lines = [line for line in map(self._line, measures) if line]
        print_rows([HEAD, *(line.to_row() for line in lines)], words=(0, 5, 6))
        for line in lines:
            if line.notes:
                print(f"{line.measure.name}: {'; '.join(line.notes)}")
        for name, why in self._failures.items():
            print(f"{name}: NOT MEASURED in every round: {why}")
        print(OTHERS)


def _ratio(sample: Sample) -> float:
    return sample.conclave / sample.other if sample.other else float("inf")
