"""Programs that a comparison starts, and that none of them outlives it.

Only processes started here are ever signalled, through the handles that were kept of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
# How long a program may take to end by itself before it is killed.
PATIENCE_SECONDS = 10.0
# Of what a program said, at most so much is shown when it fails.
SHOWN_CHARACTERS = 600


class Unmeasured(Exception):
    """Something could not be measured; the text says why, and what to do about it."""


def need(program: str, package: str) -> str:
    """The path of a program that others install, or how to get it."""
    path = shutil.which(program)
    if path is None:
        raise Unmeasured(f"the program {program} is missing: install it, as by `apt-get install {package}`")
    return path


def tail(text: str) -> str:
    """The end of what a program said, which is where it says why it failed."""
    return text.strip()[-SHOWN_CHARACTERS:] or "it said nothing"


def _die_with_parent() -> None:
    """Runs in the child. For the case that we are killed and cannot clean up."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Children:
    """All programs that were started, so that they can be stopped whatever happens."""

    def __init__(self, scratch: Path) -> None:
        """Programs get `scratch` as the place of their temporary files, and it is removed as a whole."""
        self.scratch = scratch
        self._running: list[subprocess.Popen] = []

    def start(self, command: Sequence[str | Path], **options) -> subprocess.Popen:
        """Starts a program in a session of its own, so that Ctrl-C reaches us alone and we end it in order."""
        environment = {**os.environ, "TMPDIR": str(self.scratch), **options.pop("env", {})}
        child = subprocess.Popen(
            [str(word) for word in command],
            env=environment,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 (there are no threads)
            **options,
        )
        self._running.append(child)
        return child

    def run(self, command: Sequence[str | Path], timeout_seconds: float, **options) -> str:
        """Runs a program to its end and returns what it printed."""
        name = Path(command[0]).name
        child = self.start(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        try:
            out, errors = child.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            raise Unmeasured(f"{name} did not end within {timeout_seconds:.0f} s") from None
        finally:
            self.stop([child])
        if child.returncode != 0:
            raise Unmeasured(f"{name} failed ({child.returncode}): {tail(errors or out)}")
        return out

    def stop(
        self,
        children: Sequence[subprocess.Popen] | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Ends these programs, or all, and waits until they are gone."""
        ending = list(self._running if children is None else children)
        for child in ending:
            if child.stdin is not None:
                # `cluster` has done its work on SIGTERM, but waits for the end of its input before it ends.
                with contextlib.suppress(OSError):
                    child.stdin.close()
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + patience_seconds
        for child in ending:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            for pipe in (child.stdout, child.stderr):
                if pipe is not None:
                    pipe.close()
            if child in self._running:
                self._running.remove(child)

    def clean_up(self) -> None:
        """Ends all programs and removes all files."""
        self.stop()
        shutil.rmtree(self.scratch, ignore_errors=True)


def read_line(child: subprocess.Popen, buffer: bytearray, timeout_seconds: float) -> str | None:
    """The next line that the program prints; none if it ended. `buffer` keeps what came after it."""
    deadline = time.monotonic() + timeout_seconds
    while b"\n" not in buffer:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
            raise Unmeasured(f"{Path(child.args[0]).name} did not answer within {timeout_seconds:.0f} s")
        more = os.read(child.stdout.fileno(), 65536)
        if not more:
            return None
        buffer += more
    line, _, rest = bytes(buffer).partition(b"\n")
    buffer[:] = rest
    return line.decode(errors="replace")
