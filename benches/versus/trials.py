"""What happens to clients when nodes go and come back. Conclave alone: the targets are in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from measures import COLD_START, FAILOVER, HANDOVER, Measure, Sample
from processes import Unmeasured
from report import Results
from settings import Settings
from systems import Systems, tell


def _worse(trial: dict, figure: str) -> float:
    """Of the two clients, one that uses a key and one that creates keys, the one that waited longer."""
    waited = [trial[client][figure] for client in ("use", "write")]
    if None in waited:
        raise Unmeasured(f"after the trial one client was not served: {trial}")
    return max(waited)


FIGURES = {
    FAILOVER: lambda trial: {FAILOVER: _worse(trial, "first_answer_ms")},
    HANDOVER: lambda trial: {HANDOVER: _worse(trial, "longest_gap_ms")},
    COLD_START: lambda trial: {
        f"{COLD_START}-use": trial["first_use_ms"],
        f"{COLD_START}-write": trial["first_write_ms"],
    },
}
COMMANDS = {FAILOVER: "failover", HANDOVER: "handover", COLD_START: "cold-start"}


def measure_trials(measures: Sequence[Measure], systems: Systems, settings: Settings, results: Results) -> None:
    """Kills, hands over, starts cold, on the cluster that the rounds left behind."""
    counts = {FAILOVER: settings.failovers, HANDOVER: settings.handovers, COLD_START: settings.cold_starts}
    for kind, count in counts.items():
        wanted = [measure for measure in measures if measure.name.split("-")[0] == kind]
        if not wanted:
            continue
        with results.guard(wanted, kind):
            seen: dict[str, list[float]] = {}
            for number in range(1, count + 1):
                figures = FIGURES[kind](systems.conclave().command(COMMANDS[kind]))
                for name, figure in figures.items():
                    seen.setdefault(name, []).append(figure)
                said = ", ".join(f"{name} {figure:.0f} ms" for name, figure in figures.items())
                tell(f"trial {number}/{count}: {said}")
            for measure in wanted:
                trials = seen.get(measure.name) or seen[kind]
                figure = median(trials) if measure.name.endswith("-median") else max(trials)
                results.add_trials(measure, Sample(figure, None, None, f"trials: {count}"), trials)
