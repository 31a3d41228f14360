"""Loads, round by round. Both clusters run meanwhile, and never more than one of them is under load."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

import conclave
from conclave import Limit
from load import Outcome, Shape
from measures import Measure, Sample
from processes import Unmeasured
from report import Results
from settings import Settings
from systems import Systems, tell


class Round:
    """Each load is put on once, and every measure that needs it reads the same figures."""

    def __init__(self, systems: Systems, settings: Settings) -> None:
        self._systems = systems
        self._settings = settings
        self._done: dict[Hashable, object] = {}

    def _once(self, key: Hashable, do: Callable[[], object]):
        """A failure is remembered too, so that it costs its time once."""
        if key not in self._done:
            try:
                self._done[key] = do()
            except Unmeasured as why:
                self._done[key] = why
        done = self._done[key]
        if isinstance(done, Unmeasured):
            raise done
        return done

    def _put_load(self, system, shape: Shape) -> Outcome:
        outcome = system.put_load(shape, self._settings.seconds, self._settings.warmup_seconds)
        if outcome.failed:
            tell(f"{system.name}: {outcome.failed} of {outcome.requests} requests failed")
        return outcome

    def conclave(self, shape: Shape) -> Outcome:
        """Conclave under this load."""
        return self._once(("conclave", shape), lambda: self._put_load(self._systems.conclave(), shape))

    def openbao(self, shape: Shape) -> Outcome:
        """OpenBao under this load."""
        return self._once(("openbao", shape), lambda: self._put_load(self._systems.openbao(), shape))

    def limit(self, kind: str, name: str) -> Limit:
        """One of the machine's limits; those of a kind are measured together."""
        seconds = self._settings.limit_seconds
        binaries, children = self._systems.binaries(), self._systems.children
        found = self._once(("limit", kind), lambda: conclave.limits(binaries, children, kind, seconds))
        if name not in found:
            raise Unmeasured(f"`limits` knows no {name!r}: correct its name in measures.py")
        return found[name]

    def items_max(self, shape: Shape) -> int:
        """How many items of such a batch Conclave takes: all, or the largest power of two below that it takes."""
        counts = [shape.batch, *(2**power for power in range(shape.batch.bit_length() - 1, 0, -1))]

        def largest() -> int:
            for count in counts:
                try:
                    self._systems.conclave().put_load(replace(shape, batch=count), seconds=1, warmup_seconds=0)
                except Unmeasured as why:
                    refusal = why
                else:
                    return count
            raise refusal

        return self._once(("items", shape), largest)


def measure_rounds(measures: Sequence[Measure], systems: Systems, settings: Settings, results: Results) -> None:
    """Measures all of them that loads are put on for."""
    wanted = [measure for measure in measures if measure.take is not None]
    for number in range(1, settings.rounds + 1):
        this = Round(systems, settings)
        for measure in wanted:
            label = f"round {number}/{settings.rounds}, {measure.name}"
            with results.guard([measure], label):
                sample: Sample = measure.take(this)
                results.add(measure, sample)
                tell(f"{label}: {results.describe(measure, sample)}")
