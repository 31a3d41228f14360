"""Signals that end the work, and not what cleans up after it."""

from __future__ import annotations

import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal that ends us came."""


def _on_signal(number: int, _frame: object) -> None:
    """The first one ends the work; cleaning up after it is not interrupted."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number)


def raise_on_signals() -> None:
    """From now on the first signal that would end us raises `Interrupted`."""
    for each in SIGNALS:
        signal.signal(each, _on_signal)
