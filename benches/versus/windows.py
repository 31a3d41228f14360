"""Loads in windows: how many a second when the machine is quiet, and how slow while nodes take snapshots."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from conclave import Conclave
from figures import SNAPSHOT, Figure
from load import Outcome, Shape
from processes import Unmeasured
from snapshots import Snapshots, Span, Window, compare
from systems import tell

USE = Shape()
WARMUP_SECONDS = 1.0
# While others use more of the machine than that, windows are added, up to so many times what was asked for.
QUIET_PERCENT, WINDOWS_FACTOR, NOISE_PAUSE_SECONDS = 10.0, 3, 5
# Windows beside snapshots are short: a snapshot of a small state is.
SHORT_SECONDS_MAX, SHORT_WARMUP_SECONDS = 2.0, 0.5
SNAPSHOT_SECONDS_MAX = 900
# Callers that wait for an answer send nothing while nodes stand still, and so hardly notice. Hence requests fall due at
# this share of the rate, and a caller is free for each of them.
SHARE_OF_RATE, FREE_CALLERS = 0.5, 4096
# What `load` gives a request; one that failed took longer.
DEADLINE_MS = 10_000.0
TELL_SECONDS = 15


@dataclass(frozen=True)
class Rate:
    """Several windows of one load."""

    per_second: float
    others_percent: float
    note: str


def is_quiet(outcome: Outcome) -> bool:
    """Whether others left the machine to it."""
    return outcome.others_percent <= QUIET_PERCENT


def quietest(outcomes: Sequence[Outcome], count: int) -> list[Outcome]:
    """Those during which others used least of the machine."""
    return sorted(outcomes, key=lambda outcome: outcome.others_percent)[:count]


def p99_of(outcome: Outcome) -> float:
    """Where more than one in a hundred failed, the p99 is one of them."""
    return max(DEADLINE_MS, outcome.p99_ms) if outcome.has_failed else outcome.p99_ms


class Windows:
    """Loads on one cluster, whose snapshots are watched."""

    def __init__(self, conclave: Conclave, snapshots: Snapshots, count: int, seconds: float) -> None:
        """`count` windows of each kind are wanted, `seconds` long."""
        self._conclave = conclave
        self._snapshots = snapshots
        self._count = count
        self._seconds = seconds

    def _take(self, shape: Shape, seconds: float, warmup_seconds: float) -> tuple[Outcome, Window]:
        begun = time.time()
        outcome = self._conclave.try_load(shape, seconds, warmup_seconds)
        window = Window(Span(begun + warmup_seconds, time.time()), p99_of(outcome))
        self._snapshots.look()
        return outcome, window

    def rate(self, name: str) -> Rate:
        """Of 64 callers that wait for their answers."""
        outcomes, windows = [], []
        while len(outcomes) < WINDOWS_FACTOR * self._count and sum(map(is_quiet, outcomes)) < self._count:
            outcome, window = self._take(USE, self._seconds, WARMUP_SECONDS)
            outcomes.append(outcome)
            windows.append(window)
            tell(
                f"{name} {len(outcomes)}: {outcome.items_per_second:,.0f}/s, p99 {outcome.p99_ms:.1f} ms, "
                f"{outcome.failed} failed, others {outcome.others_percent:.0f} %"
            )
            if not is_quiet(outcome):
                time.sleep(NOISE_PAUSE_SECONDS)
        if all(outcome.has_failed for outcome in outcomes):
            outcomes[-1].checked("Conclave")
        disturbed = len(compare(windows, self._snapshots.spans()).during)
        taken, outcomes = len(outcomes), quietest(outcomes, self._count)
        failed = sum(outcome.failed for outcome in outcomes)
        note = (
            f"p99 {median(outcome.p99_ms for outcome in outcomes):.3g} ms, "
            f"{median(outcome.server_cpu_us for outcome in outcomes):.3g} us of the nodes' CPU a request, "
            f"{failed} failed; the {len(outcomes)} quietest of {taken} windows; {disturbed} of them all had a snapshot"
        )
        others = max(outcome.others_percent for outcome in outcomes)
        return Rate(median(outcome.items_per_second for outcome in outcomes), others, note)

    def beside_snapshots(self, per_second: float) -> Figure:
        """Until enough windows had a snapshot, and enough had none. `per_second`: what the cluster can do."""
        seconds = min(SHORT_SECONDS_MAX, self._seconds)
        shape = Shape(rate=max(1.0, round(SHARE_OF_RATE * per_second)), callers=FREE_CALLERS)
        begun, told = time.monotonic(), 0.0
        windows: list[Window] = []
        outcomes: list[Outcome] = []
        compared = compare(windows, [])
        while not compared.is_enough(self._count) and time.monotonic() - begun < SNAPSHOT_SECONDS_MAX:
            windows.append(self._short_window(shape, seconds, outcomes))
            compared = compare(windows, self._snapshots.spans())
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                tell(
                    f"{SNAPSHOT.name}: {len(compared.during)} windows with a snapshot, {len(compared.apart)} without, "
                    f"{self._count} of each are wanted; p99 {windows[-1].p99_ms:.1f} ms"
                )
        during, apart = compared.medians()
        lengths = [end - begin for begin, end in self._snapshots.finished() if end > windows[0].span.begin]
        note = (
            f"{shape.rate:,.0f}/s fell due in windows of {seconds:g} s: {len(compared.during)} with a snapshot, "
            f"at worst {max(compared.during):.3g} ms, and {len(compared.apart)} without, "
            f"at worst {max(compared.apart):.3g} ms; the longest answer took "
            f"{max(outcome.max_ms for outcome in outcomes):,.0f} ms, a snapshot {max(lengths, default=0):.3g} s; "
            f"{sum(outcome.failed for outcome in outcomes):,} requests failed"
        )
        return Figure(SNAPSHOT, during, apart, max(outcome.others_percent for outcome in outcomes), note)

    def _short_window(self, shape: Shape, seconds: float, outcomes: list[Outcome]) -> Window:
        """One that could not even begin counts as failed if there was a snapshot."""
        begun = time.time()
        try:
            outcome, window = self._take(shape, seconds, SHORT_WARMUP_SECONDS)
        except Unmeasured:
            self._snapshots.look()
            window = Window(Span(begun, time.time()), DEADLINE_MS)
            if not compare([window], self._snapshots.spans()).during:
                raise
            return window
        outcomes.append(outcome)
        return window
