"""What a node's databases take on its disk.

A checkpoint is made of hard links to the live files, which take nothing more while both exist: bytes are those of
files, not of names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CHECKPOINTS = "checkpoints"


def _files(directory: Path, but: str = "") -> Iterator[os.DirEntry]:
    """All files below, except in the directory `but`. What a running database removes meanwhile is left out."""
    try:
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            yield entry
        elif entry.name != but:
            yield from _files(Path(entry.path))


def _sizes(directory: Path, but: str = "") -> dict[int, int]:
    """Bytes by inode."""
    sizes = {}
    for entry in _files(directory, but):
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        sizes[found.st_ino] = found.st_size
    return sizes


def live_bytes(database: Path) -> int:
    """Of a database, without what only checkpoints still hold."""
    return sum(_sizes(database, but=CHECKPOINTS).values())


def checkpoint_bytes(database: Path) -> int:
    """What only checkpoints hold: files that the database itself needs no more."""
    live = _sizes(database, but=CHECKPOINTS)
    return sum(size for inode, size in _sizes(database / CHECKPOINTS).items() if inode not in live)


def tables(database: Path) -> frozenset[str]:
    """The live files of rows, which change only while the database flushes or compacts."""
    live = _files(database, but=CHECKPOINTS)
    return frozenset(entry.path for entry in live if entry.name.endswith(".sst"))
