"""How long everything takes: what the command line says, and what follows from `--quick`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Times are in seconds. The same for both systems, always."""

    rounds: int = 3
    seconds: int = 10
    warmup_seconds: int = 2
    limit_seconds: int = 5
    failovers: int = 20
    handovers: int = 5
    cold_starts: int = 5
    load_seconds: int = 600  # before the look at memory
    idle_seconds: int = 10  # before the look at memory of an idle node


QUICK = Settings(
    rounds=1,
    seconds=2,
    warmup_seconds=1,
    limit_seconds=1,
    failovers=3,
    handovers=3,
    cold_starts=3,
    load_seconds=15,
    idle_seconds=5,
)
