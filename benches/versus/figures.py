"""What growth is measured by, what must come out, and how it is printed. Its targets stand here and nowhere else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from report import FAILURES, OTHERS, print_rows, reason_of, rounded, text
from targets import Target, at_least, below

HEAD = ("measure", "value", "beside", "ratio", "target", "met", "others")


@dataclass(frozen=True)
class Measure:
    """One line of the report. The target bounds the ratio to what the figure is beside; without that, the figure."""

    name: str
    unit: str
    about: str
    target: Target | None = None
    is_ratio: bool = False

    def bound(self) -> str | None:
        """The target in words; of the figure it has a unit."""
        if self.target is None:
            return None
        return f"{self.target}{'' if self.is_ratio else ' ' + self.unit}"


RATE_FRESH = Measure("rate-fresh", "1/s", "encrypt 32 B, 64 callers on 8 connections, on a new cluster")
RATE_RECORDS = Measure("rate-records-grown", "1/s", "the same with all records, beside fresh", at_least(0.9), True)
RATE_KEYS = Measure("rate-keys-grown", "1/s", "the same with all keys besides, beside fresh", at_least(0.9), True)
SNAPSHOT = Measure(
    "snapshot-p99",
    "ms",
    "p99 at half that rate while a node takes a snapshot, beside else",
    below(2),
    True,
)
OPEN = Measure("open-seconds", "s", "a follower's start until it tells its status, the longest", below(10))
PER_RECORD = Measure("disk-per-record", "B", "a node's live state at rest, for each record added", below(400))
PER_KEY = Measure("disk-per-key", "B", "the same for each key added, its audit record included")
LOG = Measure("log-bytes", "B", "a node's log at the end: it does not grow with records")
MEASURES = (RATE_FRESH, RATE_RECORDS, RATE_KEYS, SNAPSHOT, OPEN, PER_RECORD, PER_KEY, LOG)


@dataclass(frozen=True)
class Figure:
    """What came out of one measure."""

    measure: Measure
    value: float
    beside: float | None = None
    others_percent: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """None without something to compare with."""
        if self.beside is None:
            return None
        return self.value / self.beside if self.beside else float("inf")

    @property
    def is_met(self) -> bool | None:
        """Whether it is on the right side of the target; none without a target."""
        target = self.measure.target
        return None if target is None else target.is_met(self.ratio if self.measure.is_ratio else self.value)

    def to_json(self) -> dict:
        """As one line."""
        return {
            "measure": self.measure.name,
            "value": rounded(self.value),
            "beside": None if self.beside is None else rounded(self.beside),
            "ratio": None if self.ratio is None else rounded(self.ratio),
            "unit": self.measure.unit,
            "target": self.measure.bound(),
            "met": self.is_met,
            "others_cpu_percent": None if self.others_percent is None else round(self.others_percent, 1),
            **({"note": self.note} if self.note else {}),
        }

    def to_row(self) -> tuple[str, ...]:
        """As in the table."""
        unit = self.measure.unit
        return (
            self.measure.name,
            f"{text(self.value)} {unit}",
            "-" if self.beside is None else f"{text(self.beside)} {unit}",
            text(self.ratio),
            self.measure.bound() or "-",
            {True: "yes", False: "NO", None: "-"}[self.is_met],
            "-" if self.others_percent is None else f"{self.others_percent:.0f} %",
        )


class Figures:
    """Collects them, and why there are none."""

    def __init__(self) -> None:
        self._figures: dict[str, Figure] = {}
        self._failures: dict[str, str] = {}

    def add(self, figure: Figure) -> None:
        """What a measure came to."""
        self._figures[figure.measure.name] = figure

    @contextmanager
    def guard(self, measures: Sequence[Measure]) -> Iterator[None]:
        """If something inside cannot be measured, what has no figure by then is noted as missing for that reason."""
        try:
            yield
        except FAILURES as why:
            missing = [measure.name for measure in measures if measure.name not in self._figures]
            print(f"growth: not measured: {', '.join(missing)}: {reason_of(why)}", file=sys.stderr, flush=True)
            for name in missing:
                self._failures.setdefault(name, reason_of(why))

    @property
    def is_complete(self) -> bool:
        """Whether nothing failed."""
        return not self._failures

    def missing(self) -> dict[str, str]:
        """Measures that have no figure, and why."""
        names = [measure.name for measure in MEASURES if measure.name not in self._figures]
        return {name: self._failures.get(name, "interrupted before") for name in names}

    def print_json(self) -> None:
        """A line for each measure, also for one that was not measured."""
        missing = self.missing()
        for measure in MEASURES:
            name = measure.name
            told = {"measure": name, "error": missing[name]} if name in missing else self._figures[name].to_json()
            print(json.dumps(told), flush=True)

    def print_table(self) -> None:
        """The table, and below it what else is to be known of its lines."""
        figures = [self._figures[measure.name] for measure in MEASURES if measure.name in self._figures]
        print_rows([HEAD, *(figure.to_row() for figure in figures)], words=(0, 4, 5))
        for figure in figures:
            print(f"{figure.measure.name}: {'; '.join(filter(None, (figure.measure.about, figure.note)))}")
        for name, why in self.missing().items():
            print(f"{name}: NOT MEASURED: {why}")
        print(OTHERS)
