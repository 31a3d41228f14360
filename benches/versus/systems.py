"""Both systems, each started when it is first needed, so that a choice of measures starts no more than it needs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from binaries import bao_binary, conclave_binaries
from conclave import Conclave
from openbao import OpenBao
from processes import Children, Unmeasured

BEGUN = time.monotonic()


def tell(text: str) -> None:
    """A line of progress."""
    print(f"[{time.monotonic() - BEGUN:4.0f} s] {text}", file=sys.stderr, flush=True)


class Systems:
    """What cannot be started is not tried again: whatever needs it fails with the same words."""

    def __init__(self, children: Children, binaries: Path | None, bao: Path | None) -> None:
        self.children = children
        self._given = {"binaries": binaries, "bao": bao}
        self._kept: dict[str, object] = {}
        self._failed: dict[str, Unmeasured] = {}
        self._directories = 0

    def _once(self, name: str, make: Callable[[], object]):
        if name in self._failed:
            raise self._failed[name]
        if name not in self._kept:
            try:
                self._kept[name] = make()
            except Unmeasured as why:
                self._failed[name] = why
                raise
        return self._kept[name]

    def binaries(self) -> Path:
        """The directory of Conclave's programs."""
        return self._once("binaries", lambda: conclave_binaries(self._given["binaries"]))

    def bao(self) -> Path:
        """OpenBao's server."""
        return self._once("bao", lambda: bao_binary(self._given["bao"], self.children))

    def new_conclave(self) -> Conclave:
        """A new cluster, which the caller stops."""
        binaries = self.binaries()
        tell("starting Conclave")
        return Conclave(binaries, self.children)

    def new_openbao(self) -> OpenBao:
        """A new cluster, which the caller stops."""
        bao = self.bao()
        tell("starting OpenBao")
        self._directories += 1
        return OpenBao(bao, self.children, self.children.scratch / f"openbao-{self._directories}")

    def conclave(self) -> Conclave:
        """The cluster that all rounds share."""
        return self._once("conclave", self.new_conclave)

    def openbao(self) -> OpenBao:
        """The cluster that all rounds share."""
        return self._once("openbao", self.new_openbao)

    def retire(self, name: str) -> None:
        """Stops a shared cluster; it would be started anew."""
        system = self._kept.pop(name, None)
        if system is not None:
            system.stop()
