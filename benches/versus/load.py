"""One load and what came of it, in words that both systems share."""

from __future__ import annotations

from dataclasses import dataclass

from processes import Unmeasured

# Above this share of failed requests a run measures failures.
FAILED_SHARE_MAX = 0.01


@dataclass(frozen=True)
class Shape:
    """What is asked for. OpenBao has a connection for each caller, always; what else is Conclave's says so."""

    operation: str = "encrypt"  # encrypt, decrypt, data-key, create-key
    callers: int = 64
    payload_bytes: int = 32
    batch: int = 1
    connections: int = 8  # Conclave's; callers are spread over them
    rate: float | None = None  # Conclave's: so many fall due each second, whether the ones before are answered or not
    unary: bool = False  # Conclave's: one gRPC call for each request
    through: str = "leader"  # Conclave's: leader or follower
    protection: str = "software"  # Conclave's: software or hsm


@dataclass(frozen=True)
class Outcome:
    """Figures of one run, warm-up excluded."""

    items_per_second: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float  # for each request, the three nodes together
    others_percent: float
    requests: int
    failed: int
    first_failure: str = ""
    max_ms: float = 0.0

    @property
    def has_failed(self) -> bool:
        """Whether it measured something else than answers."""
        return self.requests == 0 or self.failed > FAILED_SHARE_MAX * self.requests

    def checked(self, system: str) -> Outcome:
        """Itself, unless it measured something else than answers."""
        if self.has_failed:
            raise Unmeasured(
                f"{system} answered {self.requests} requests and failed {self.failed}: "
                f"{self.first_failure or 'see its logs'}"
            )
        return self
