"""Resident memory of the largest node. Each system runs alone and new, since memory remembers earlier loads."""

from __future__ import annotations

import time
from collections.abc import Sequence

from load import Shape
from machine import Meter, rss_mib
from measures import KEYS_KEPT, RSS_IDLE, RSS_KEYS, RSS_LOADED, Measure, Sample
from report import Results
from settings import Settings
from systems import Systems, tell

NAMES = (RSS_IDLE, RSS_LOADED, RSS_KEYS)


def _largest(system, name: str) -> float:
    figure = max(map(rss_mib, system.pids()))
    tell(f"{name}: {system.name} {figure:.0f} MiB")
    return figure


def _idle(system, seconds: int) -> float:
    """Lets it rest; returns what others used of the machine meanwhile."""
    meter = Meter(system.pids())
    time.sleep(seconds)
    return meter.end().others_percent


def _look(start, wanted: set[str], settings: Settings) -> dict[str, tuple[float, float]]:
    """Each figure of one system, and what others used of the machine meanwhile."""
    seen = {}
    if wanted & {RSS_IDLE, RSS_LOADED}:
        system = start()
        try:
            others = _idle(system, settings.idle_seconds)
            seen[RSS_IDLE] = _largest(system, RSS_IDLE), others
            if RSS_LOADED in wanted:
                outcome = system.put_load(Shape(), settings.load_seconds, warmup_seconds=0)
                seen[RSS_LOADED] = _largest(system, RSS_LOADED), outcome.others_percent
        finally:
            system.stop()
    if RSS_KEYS in wanted:
        system = start()
        try:
            system.create_keys(KEYS_KEPT)
            others = _idle(system, settings.idle_seconds)
            seen[RSS_KEYS] = _largest(system, RSS_KEYS), others
        finally:
            system.stop()
    return seen


def measure_memory(measures: Sequence[Measure], systems: Systems, settings: Settings, results: Results) -> None:
    """Looks at both, one after the other."""
    wanted = [measure for measure in measures if measure.name in NAMES]
    if not wanted:
        return
    usual = Settings().load_seconds
    shortened = "" if settings.load_seconds == usual else f" instead of {usual} s"
    notes = {
        RSS_IDLE: f"idle for {settings.idle_seconds} s",
        RSS_LOADED: f"after {settings.load_seconds} s of load{shortened}",
        RSS_KEYS: f"idle for {settings.idle_seconds} s",
    }
    names = {measure.name for measure in wanted}
    with results.guard(wanted, "memory"):
        ours = _look(systems.new_conclave, names, settings)
        theirs = _look(systems.new_openbao, names, settings)
        for measure in wanted:
            (figure, others), (other, also) = ours[measure.name], theirs[measure.name]
            sample = Sample(figure, other, max(others, also), notes[measure.name])
            results.add(measure, sample)
            tell(f"{measure.name}: {results.describe(measure, sample)}")
