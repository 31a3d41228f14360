"""What is measured, and what must come out. Targets stand here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from conclave import Limit
from load import Outcome, Shape
from targets import Target, at_least, at_most

# Where the API takes fewer items in one call, as many as it takes.
BATCH_ITEMS = 1000
ECHO_ALONE, ECHO_WIDE = "tonic unary, 1 x 1", "tonic unary, 64 x 1"
SYNC = "append and fdatasync, 512 B"
MESSAGE = "whole message, 32 B, salt drawn"
HMAC = "PKCS#11 HMAC-SHA-256, 2 sessions"

ENCRYPT = Shape()
ONE_CALLER = Shape(callers=1)
UNARY = Shape(connections=64, unary=True)


@dataclass(frozen=True)
class Sample:
    """One pair of figures. `other` is OpenBao's, or the limit; none if Conclave is measured alone."""

    conclave: float
    other: float | None
    others_percent: float | None
    note: str = ""


class Round(Protocol):
    """Puts each load on once in a round, and remembers what came of it."""

    def conclave(self, shape: Shape) -> Outcome:
        """Conclave under this load."""

    def openbao(self, shape: Shape) -> Outcome:
        """OpenBao under this load."""

    def limit(self, kind: str, name: str) -> Limit:
        """One of the machine's limits."""

    def items_max(self, shape: Shape) -> int:
        """How many items of such a batch Conclave takes in one call."""


@dataclass(frozen=True)
class Measure:
    """One line of the report.

    `against` is "openbao" or "limit", or "" where the target bounds the figure itself. `take` measures it in each
    round; without it the measure comes from trials or from a look at memory, which happen once.
    """

    name: str
    unit: str
    target: Target
    about: str
    against: str = "openbao"
    take: Callable[[Round], Sample] | None = None
    in_quick: bool = True


def _rate(outcome: Outcome) -> float:
    return outcome.items_per_second


def _versus(shape: Shape, figure: Callable[[Outcome], float], openbao: Shape | None = None):
    """Both systems under the same load. OpenBao first: if it is missing, no load is put on in vain."""

    def take(this: Round) -> Sample:
        theirs, ours = this.openbao(openbao or shape), this.conclave(shape)
        others = max(ours.others_percent, theirs.others_percent)
        return Sample(figure(ours), figure(theirs), others)

    return take


def _unary_limit(this: Round) -> Sample:
    ours, limit = this.conclave(UNARY), this.limit("echo", ECHO_WIDE)
    others = max(ours.others_percent, limit.others_percent)
    return Sample(_rate(ours), limit.calls_per_second, others)


def _p50_limit(this: Round) -> Sample:
    ours = this.conclave(ONE_CALLER)
    sync, echo = this.limit("disk", SYNC), this.limit("echo", ECHO_ALONE)
    # Not those of the disk's: the kernel's own work for a sync counts as others' there.
    others = max(ours.others_percent, echo.others_percent)
    note = f"the limit: fdatasync {sync.p50_us:.0f} us + echo {echo.p50_us:.0f} us"
    return Sample(ours.p50_ms, (sync.p50_us + echo.p50_us) / 1e3, others, note)


def _follower(this: Round) -> Sample:
    leader, follower = this.conclave(ENCRYPT), this.conclave(replace(ENCRYPT, through="follower"))
    others = max(leader.others_percent, follower.others_percent)
    return Sample(_rate(follower), _rate(leader), others, "the limit: the rate through the leader")


def _hsm_share(this: Round) -> Sample:
    ours, limit = this.conclave(replace(ENCRYPT, protection="hsm")), this.limit("token", HMAC)
    return Sample(_rate(ours), limit.calls_per_second, max(ours.others_percent, limit.others_percent))


def _batch_share(this: Round) -> Sample:
    shape = replace(ONE_CALLER, batch=BATCH_ITEMS)
    items = this.items_max(shape)
    ours, limit = this.conclave(replace(shape, batch=items)), this.limit("seal", MESSAGE)
    note = "" if items == BATCH_ITEMS else f"{items} items a call, since the API takes no {BATCH_ITEMS}"
    return Sample(_rate(ours), limit.calls_per_second, max(ours.others_percent, limit.others_percent), note)


FAILOVER, HANDOVER, COLD_START = "failover", "handover", "coldstart"
RSS_IDLE, RSS_LOADED, RSS_KEYS = "rss-idle", "rss-after-load", "rss-15000-keys"
KEYS_KEPT = 15_000

MEASURES = (
    Measure(
        "encrypt-32B-64callers",
        "1/s",
        at_least(15),
        "rate, 64 callers; Conclave's on 8 connections",
        take=_versus(ENCRYPT, _rate),
    ),
    Measure(
        "encrypt-32B-64callers-cpu",
        "us",
        at_most(1 / 15, "1/15"),
        "server CPU a request, three nodes",
        take=_versus(ENCRYPT, lambda outcome: outcome.server_cpu_us),
    ),
    Measure(
        "encrypt-32B-64callers-p99",
        "ms",
        at_most(1 / 20, "1/20"),
        "p99 there",
        take=_versus(ENCRYPT, lambda outcome: outcome.p99_ms),
    ),
    Measure(
        "follower",
        "1/s",
        at_least(0.85),
        "encrypt-32B-64callers through one follower, beside the leader",
        against="limit",
        take=_follower,
    ),
    Measure(
        "decrypt-32B-64callers",
        "1/s",
        at_least(15),
        "the same, decrypting",
        take=_versus(Shape(operation="decrypt"), _rate),
    ),
    Measure(
        "encrypt-32B-1caller-p50",
        "ms",
        at_most(1.5),
        "p50 with one caller",
        take=_versus(ONE_CALLER, lambda outcome: outcome.p50_ms),
    ),
    Measure(
        "encrypt-32B-1caller-p50-limit",
        "ms",
        at_most(3),
        "the same, beside one fdatasync and one echo",
        against="limit",
        take=_p50_limit,
    ),
    Measure(
        "encrypt-32B-unary",
        "1/s",
        at_least(2.5),
        "64 connections of one plain gRPC call each",
        take=_versus(UNARY, _rate, openbao=ENCRYPT),
    ),
    Measure(
        "encrypt-32B-unary-limit",
        "1/s",
        at_least(0.6),
        "the same, beside bare tonic",
        against="limit",
        take=_unary_limit,
    ),
    Measure(
        "encrypt-4KiB-64callers",
        "1/s",
        at_least(10),
        "rate, 64 callers",
        take=_versus(Shape(payload_bytes=4096), _rate),
    ),
    Measure(
        "batch-100x32B-16callers",
        "items/s",
        at_least(10),
        "batches of 100, 16 callers",
        take=_versus(Shape(callers=16, batch=100), _rate),
    ),
    Measure(
        "datakey-64callers",
        "1/s",
        at_least(15),
        "data keys of 32 bytes",
        take=_versus(Shape(operation="data-key"), _rate),
    ),
    Measure(
        "createkey-64callers",
        "1/s",
        at_least(8),
        "new keys",
        take=_versus(Shape(operation="create-key"), _rate),
    ),
    Measure(
        "hsm-share",
        "1/s",
        at_least(0.6),
        "protection HSM, beside raw PKCS#11 HMAC with 2 sessions",
        against="limit",
        take=_hsm_share,
    ),
    Measure(
        "batch-1000x32B-share",
        "items/s",
        at_least(0.6),
        "batches of 1,000, one caller, beside one core's messages",
        against="limit",
        take=_batch_share,
    ),
    Measure(
        f"{FAILOVER}-median",
        "ms",
        at_most(2000),
        "kill -9 of the leader, until the first good answer",
        against="",
    ),
    Measure(f"{FAILOVER}-worst", "ms", at_most(4000), "the same, the worst trial", against=""),
    Measure(HANDOVER, "ms", at_most(300), "SIGTERM to the leader, longest gap of all trials", against=""),
    Measure(
        f"{COLD_START}-use",
        "ms",
        at_most(3000),
        "all nodes killed, started, unsealed: first use, worst",
        against="",
    ),
    Measure(f"{COLD_START}-write", "ms", at_most(3000), "the same until the first write", against=""),
    Measure(RSS_IDLE, "MiB", at_most(0.5, "1/2"), "largest node, new and idle"),
    Measure(RSS_LOADED, "MiB", at_most(0.5, "1/2"), "largest node after minutes of encrypt-32B-64callers"),
    Measure(
        RSS_KEYS,
        "MiB",
        at_most(0.25, "1/4"),
        f"largest node, idle with {KEYS_KEPT} keys",
        in_quick=False,
    ),
)


def chosen(only: str | None, quick: bool) -> list[Measure]:
    """The measures asked for. A name stands for itself, or for those that it begins, as `failover` does."""
    if only is None:
        return [measure for measure in MEASURES if measure.in_quick or not quick]
    found = []
    for name in filter(None, (name.strip() for name in only.split(","))):
        same = [measure for measure in MEASURES if measure.name == name]
        begun = [measure for measure in MEASURES if measure.name.startswith(f"{name}-")]
        if not same and not begun:
            raise ValueError(f"no measure is called {name}: see --list")
        found += same or begun
    return [measure for measure in MEASURES if measure in found]
