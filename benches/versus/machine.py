"""What processes and the machine used, from the kernel's own /proc.

Conclave's `load` reads the same counters in the same way, so both sides are counted alike.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat behind the name, which may hold anything.
USER_TICKS, SYSTEM_TICKS = 11, 12
# Fields of the first line of /proc/stat; guest time, further on, is in user time already.
MACHINE_FIELDS, IDLE, IO_WAIT = 8, 3, 4


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[USER_TICKS]) + int(fields[SYSTEM_TICKS])) / TICKS_PER_SECOND


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found.group(1)) / 1024 if found else 0.0


def _machine_seconds() -> tuple[float, float]:
    """Busy and all CPU time of the machine so far. Time stolen by the host counts as busy."""
    line = Path("/proc/stat").read_text().split("\n", 1)[0]
    fields = [int(field) for field in line.split()[1 : MACHINE_FIELDS + 1]]
    idle = fields[IDLE] + fields[IO_WAIT]
    return (sum(fields) - idle) / TICKS_PER_SECOND, sum(fields) / TICKS_PER_SECOND


def _own_seconds() -> float:
    """CPU time of this program and of those children that have ended, as a load generator has."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@dataclass(frozen=True)
class Usage:
    """What was used between two instants."""

    servers_seconds: float
    others_percent: float


class Meter:
    """Looks at servers and machine from its making until `end`, around one run of a load generator."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = tuple(pids)
        self._servers = sum(map(cpu_seconds, self._pids))
        self._own = _own_seconds()
        self._busy, self._all = _machine_seconds()

    def end(self) -> Usage:
        """Call it after the load generator has been waited for; its CPU time is not known before."""
        busy, total = _machine_seconds()
        servers = sum(map(cpu_seconds, self._pids)) - self._servers
        known = servers + _own_seconds() - self._own
        others = max(0.0, busy - self._busy - known) / max(total - self._all, 1 / TICKS_PER_SECOND)
        return Usage(servers_seconds=servers, others_percent=100 * others)
