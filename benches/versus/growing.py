"""Makes one cluster of Conclave grow, and measures it on the way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from conclave import Conclave
from figures import (
    LOG,
    MEASURES,
    OPEN,
    PER_KEY,
    PER_RECORD,
    RATE_FRESH,
    RATE_KEYS,
    RATE_RECORDS,
    SNAPSHOT,
    Figure,
    Figures,
    Measure,
)
from footprint import CHECKPOINTS, checkpoint_bytes, live_bytes, tables
from load import Outcome, Shape
from processes import Unmeasured
from snapshots import Snapshots
from systems import tell
from windows import Windows

# With more callers an entry of the log holds more records, and growing is quicker.
MANY_USES = Shape(callers=512)
MANY_KEYS = Shape(operation="create-key", callers=256)
# The cluster's own, and the one that is used under load.
KEYS_BEFORE = 2
CHUNK_SECONDS = 15
# A snapshot of a large state may keep all requests waiting for longer than they have time; growing goes on after it.
EMPTY_CHUNKS_MAX = 8
# The files of rows have settled when they stayed the same for so long.
STILL_SECONDS, SETTLE_SECONDS_MAX = 4, 300
OPENINGS = 4
OPEN_SECONDS_MAX = 300


@dataclass(frozen=True)
class Plan:
    """How far it grows, and how it is looked at."""

    records: int = 10_000_000
    keys: int = 990_000
    seconds: int = 5
    windows: int = 5
    snapshot_every: int | None = None


def with_snapshots_every(config: str, entries: int) -> str:
    """A node's configuration with another `snapshot_every_entries`, and `keep_entries` not above it."""
    kept = re.search(r"^keep_entries = (\d+)$", config, re.MULTILINE)
    every, count = re.subn(r"(?m)^snapshot_every_entries = \d+$", f"snapshot_every_entries = {entries}", config)
    if kept is None or count != 1:
        raise Unmeasured("the nodes' configuration does not say how often they take snapshots")
    return every.replace(kept.group(), f"keep_entries = {min(int(kept.group(1)), entries)}")


class Growing:
    """A cluster that starts small."""

    def __init__(self, conclave: Conclave, plan: Plan, figures: Figures) -> None:
        self._conclave = conclave
        self._plan = plan
        self._figures = figures
        self._data = [directory / "data" for directory in conclave.node_dirs()]
        self._snapshots = Snapshots([data / "state" / CHECKPOINTS for data in self._data])
        self._windows = Windows(conclave, self._snapshots, plan.windows, plan.seconds)
        self._fresh_per_second = self._per_second = 0.0

    def measure_all(self) -> None:
        """What comes later is measured also if keys or snapshots could not be; nothing is without records."""
        with self._figures.guard(MEASURES):
            self._configure()
            self._fresh()
            self._records()
        if not self._figures.is_complete:
            return
        steps: tuple[tuple[Callable[[], None], list[Measure]], ...] = (
            (self._keys, [RATE_KEYS, PER_KEY]),
            (self._snapshot, [SNAPSHOT]),
            (self._log, [LOG]),
            (self._open, [OPEN]),
        )
        for step, measures in steps:
            with self._figures.guard(measures):
                step()

    def _configure(self) -> None:
        """Nodes are as they are shipped, unless something else was asked for."""
        if self._plan.snapshot_every is None:
            return
        self._conclave.command("term all")
        for directory in self._conclave.node_dirs():
            config = directory / "config.toml"
            config.write_text(with_snapshots_every(config.read_text(), self._plan.snapshot_every))
        self._conclave.command("start all")
        self._conclave.command("unseal all")

    def _fresh(self) -> None:
        rate = self._windows.rate(RATE_FRESH.name)
        self._fresh_per_second = self._per_second = rate.per_second
        self._figures.add(Figure(RATE_FRESH, rate.per_second, None, rate.others_percent, rate.note))

    def _records(self) -> None:
        self._grow(MANY_USES, self._plan.records, "records", PER_RECORD)
        self._grown(RATE_RECORDS)

    def _keys(self) -> None:
        self._grow(MANY_KEYS, max(1, self._plan.keys - KEYS_BEFORE), "keys", PER_KEY)
        self._grown(RATE_KEYS)

    def _grown(self, measure: Measure) -> None:
        rate = self._windows.rate(measure.name)
        self._per_second = rate.per_second
        self._figures.add(Figure(measure, rate.per_second, self._fresh_per_second, rate.others_percent, rate.note))

    def _grow(self, shape: Shape, count: int, what: str, measure: Measure) -> None:
        """Adds so many, and says what one of them takes on the disk of the node that needs most for it."""
        self._settle()
        before = list(map(self._state_bytes, self._data))
        done, empty, begun = 0, 0, time.monotonic()
        outcomes: list[Outcome] = []
        while done < count:
            outcome = self._conclave.answer(shape, count - done, CHUNK_SECONDS)
            outcomes.append(outcome)
            done += outcome.requests
            empty = 0 if outcome.requests else empty + 1
            if empty > EMPTY_CHUNKS_MAX:
                outcome.checked("Conclave")
            left_seconds = (count - done) * (time.monotonic() - begun) / max(1, done)
            tell(
                f"{done:,} {what}, {max(0, count - done):,} left, {outcome.items_per_second:,.0f}/s, "
                f"about {left_seconds:.0f} s more, "
                f"{outcome.failed:,} failed, others {outcome.others_percent:.0f} %"
            )
        took = time.monotonic() - begun
        self._settle()
        added = [self._state_bytes(data) - bytes_before for data, bytes_before in zip(self._data, before, strict=True)]
        only_checkpoints = max(checkpoint_bytes(data / "state") for data in self._data)
        note = (
            f"{done:,} {what} at {done / took:,.0f}/s, the longest answer after "
            f"{max(outcome.max_ms for outcome in outcomes):,.0f} ms, "
            f"{sum(outcome.failed for outcome in outcomes):,} failed; "
            f"a node's state is {max(map(self._state_bytes, self._data)):,} B then, "
            f"and checkpoints hold up to {only_checkpoints:,} B besides"
        )
        others = max(outcome.others_percent for outcome in outcomes)
        self._figures.add(Figure(measure, max(added) / done, None, others, note))

    @staticmethod
    def _state_bytes(data: Path) -> int:
        return live_bytes(data / "state")

    def _settle(self) -> None:
        """Waits until no node takes a snapshot or rewrites its files of rows."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        seen, since = None, time.monotonic()
        while time.monotonic() < deadline:
            self._snapshots.look()
            now = [tables(data / "state") for data in self._data]
            if now != seen or self._snapshots.is_under_way():
                seen, since = now, time.monotonic()
            elif time.monotonic() - since >= STILL_SECONDS:
                return
            time.sleep(0.5)
        tell(f"the nodes still rewrite their files after {SETTLE_SECONDS_MAX} s; going on")

    def _snapshot(self) -> None:
        self._figures.add(self._windows.beside_snapshots(self._per_second))

    def _open(self) -> None:
        """Stops and starts the followers in turn."""
        opened = []
        is_unsealed_too = False
        for number in range(1, OPENINGS + 1):
            followers = self._conclave.nodes()[1:]
            follower = followers[number % len(followers)]
            self._conclave.command(f"term {follower.id}")
            begun = time.monotonic()
            try:
                self._conclave.command(f"start {follower.id}")
                seconds = time.monotonic() - begun
                self._conclave.command(f"unseal {follower.id}")
            except Unmeasured as why:
                tell(f"{OPEN.name}: {why}")
                is_unsealed_too = True
                seconds = self._unsealed_at_last(follower.id, begun)
            opened.append(seconds)
            tell(f"{OPEN.name} {number}/{OPENINGS}: node {follower.id}, {seconds:.2f} s")
        note = f"{OPENINGS} starts, the median {median(opened):.3g} s; files are in the page cache"
        if is_unsealed_too:
            note += "; including the unsealing, since a node took longer than is waited for a start"
        self._figures.add(Figure(OPEN, max(opened), note=note))

    def _unsealed_at_last(self, node: int, begun: float) -> float:
        """For a node that did not answer in the time that the cluster's program gives it."""
        while True:
            try:
                self._conclave.command(f"unseal {node}")
                return time.monotonic() - begun
            except Unmeasured:
                if time.monotonic() - begun > OPEN_SECONDS_MAX:
                    raise
            time.sleep(0.1)

    def _log(self) -> None:
        sizes = [live_bytes(data / "log") for data in self._data]
        self._figures.add(Figure(LOG, max(sizes), note=f"the nodes' {', '.join(f'{size:,}' for size in sizes)} B"))
