"""When nodes took snapshots, by the directories that they leave, and which windows of a load those fell into."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from processes import LIBC, Unmeasured

# A checkpoint is built under the first name, and written last is its manifest; then it gets its own name.
UNFINISHED, REPLACED, MANIFEST = ".new-", ".old-", "MANIFEST"
# A checkpoint on its way out is in here.
REMOVED = "removed"
# Of Linux' statx(2).
AT_FDCWD, STATX_BTIME, STATX_BYTES, BTIME_OFFSET = -100, 0x800, 256, 80


@dataclass(frozen=True)
class Span:
    """From when to when, in seconds since the epoch. Without an end it goes on."""

    begin: float
    end: float | None = None

    def meets(self, other: Span) -> bool:
        """Whether there was an instant that both have."""
        return (other.end is None or self.begin < other.end) and (self.end is None or other.begin < self.end)


def born(path: Path) -> float:
    """When a directory was made. A later renaming does not change it, as it does all that Python tells."""
    buffer = bytearray(STATX_BYTES)
    room = (ctypes.c_char * STATX_BYTES).from_buffer(buffer)
    if LIBC.statx(AT_FDCWD, os.fsencode(path), 0, STATX_BTIME, room) != 0:
        raise FileNotFoundError(path)
    if not struct.unpack_from("<I", buffer)[0] & STATX_BTIME:
        raise Unmeasured(f"the file system of {path} does not tell when a file was made: set $TMPDIR to another disk")
    seconds, nanoseconds = struct.unpack_from("<qI", buffer, BTIME_OFFSET)
    return seconds + nanoseconds / 1e9


class Snapshots:
    """Those of several nodes. Nodes keep only their newest ones, so look once in a while."""

    def __init__(self, directories: Sequence[Path]) -> None:
        """`directories`: where each node has its checkpoints."""
        self._directories = directories
        self._finished: set[Span] = set()
        self._unfinished: set[Span] = set()

    def look(self) -> None:
        """Learns what was begun and finished meanwhile."""
        self._unfinished = set()
        for directory in self._directories:
            for checkpoint in directory.iterdir():
                try:
                    self._learn(checkpoint)
                except FileNotFoundError:
                    continue

    def _learn(self, checkpoint: Path) -> None:
        if checkpoint.name.startswith(REPLACED) or (checkpoint / REMOVED).exists():
            return
        begin = born(checkpoint)
        if checkpoint.name.startswith(UNFINISHED):
            self._unfinished.add(Span(begin))
        else:
            self._finished.add(Span(begin, (checkpoint / MANIFEST).stat().st_mtime))

    def spans(self) -> list[Span]:
        """All that were seen, by their beginnings."""
        return sorted(self._finished | self._unfinished, key=lambda span: span.begin)

    def finished(self) -> list[tuple[float, float]]:
        """From when to when those took that have an end."""
        return [(span.begin, span.end) for span in self._finished if span.end is not None]

    def is_under_way(self) -> bool:
        """Whether at the last look one was being taken."""
        return bool(self._unfinished)


@dataclass(frozen=True)
class Window:
    """A short load."""

    span: Span
    p99_ms: float


@dataclass(frozen=True)
class Compared:
    """p99 of windows that a snapshot fell into, beside those of the others."""

    during: tuple[float, ...]
    apart: tuple[float, ...]

    def is_enough(self, count: int) -> bool:
        """Whether there are so many of both."""
        return min(len(self.during), len(self.apart)) >= count

    def medians(self) -> tuple[float, float]:
        """Of both."""
        if not self.is_enough(1):
            raise Unmeasured(
                f"{len(self.during)} windows had a snapshot and {len(self.apart)} had none, and one of each is "
                "needed: give more --seconds, or another --snapshot-every"
            )
        return median(self.during), median(self.apart)


def compare(windows: Iterable[Window], spans: Sequence[Span]) -> Compared:
    """Parts the windows."""
    during, apart = [], []
    for window in windows:
        (during if any(map(window.span.meets, spans)) else apart).append(window.p99_ms)
    return Compared(tuple(during), tuple(apart))
