"""Conclave: three nodes by its `cluster` program, load by `load`, and the machine's limits by `limits`."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from load import Outcome, Shape
from processes import Children, Unmeasured, read_line, tail

START_SECONDS_MAX = 120
COMMAND_SECONDS_MAX = 240
# Beyond what a run is to take: preparing it, and the last answers.
SPARE_SECONDS = 60
# A run by number of requests ends when they are answered, and this bounds it.
FILL_SECONDS_MAX = 600
KEYRING = "bench"
OPERATIONS = {("encrypt", True): "batch-encrypt", ("decrypt", True): "batch-decrypt"}


@dataclass(frozen=True)
class Node:
    """One node as `cluster` tells of it."""

    id: int
    endpoint: str
    pid: int


class Conclave:
    """Three unsealed nodes with the settings they are shipped with, SoftHSM as their HSM."""

    name = "conclave"

    def __init__(self, binaries: Path, children: Children, keep: bool = False) -> None:
        """Starts them. Each node's audit record of a use is on a quorum's disks before its answer.

        `keep`: their files stay when they end, which needs that `children` do not remove the directory around them.
        """
        self._binaries = binaries
        self._children = children
        self._buffer = bytearray()
        self._log = children.scratch / "cluster.log"
        with self._log.open("w") as log:
            self._cluster = children.start(
                [binaries / "cluster"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={"CONCLAVE_BIN_DIR": str(binaries), **({"CONCLAVE_KEEP": "1"} if keep else {})},
            )
        self._state = self._answer(START_SECONDS_MAX)

    def _answer(self, timeout_seconds: float) -> dict:
        line = read_line(self._cluster, self._buffer, timeout_seconds)
        if line is None:
            raise Unmeasured(f"the cluster of Conclave ended: {tail(self._log.read_text())}")
        answer = json.loads(line)
        if "error" in answer:
            raise Unmeasured(f"the cluster of Conclave: {answer['error']}")
        return answer

    def command(self, line: str) -> dict:
        """Has `cluster` do something, as `failover`; returns what it measured."""
        try:
            self._cluster.stdin.write(line.encode() + b"\n")
            self._cluster.stdin.flush()
        except OSError:
            raise Unmeasured(f"the cluster of Conclave ended: {tail(self._log.read_text())}") from None
        return self._answer(COMMAND_SECONDS_MAX)

    def nodes(self) -> list[Node]:
        """Those that run, the leader first."""
        self._state = self.command("state")
        nodes = [Node(**node) for node in self._state["nodes"] if node["pid"]]
        return sorted(nodes, key=lambda node: (node.id != self._state["leader"], node.id))

    def pids(self) -> list[int]:
        """The servers' processes."""
        return [node.pid for node in self.nodes()]

    def node_dirs(self) -> list[Path]:
        """Where each node has its `config.toml` and its `data`."""
        return [Path(self._state["dir"]) / f"node{node['id']}" for node in self._state["nodes"]]

    def put_load(self, shape: Shape, seconds: float, warmup_seconds: float) -> Outcome:
        """Measures for so long."""
        return self.try_load(shape, seconds, warmup_seconds).checked("Conclave")

    def try_load(self, shape: Shape, seconds: float, warmup_seconds: float) -> Outcome:
        """The same where failures are something to measure."""
        window = ["--seconds", seconds, "--warmup-seconds", warmup_seconds]
        return self._load(shape, window, seconds + warmup_seconds)

    def answer(self, shape: Shape, count: int, seconds_max: int) -> Outcome:
        """Answers so many requests, or as many as there is time for, be it none."""
        return self._load(shape, ["--requests", count, "--seconds", seconds_max], seconds_max)

    def create_keys(self, count: int) -> None:
        """Creates so many keys with new names."""
        made = self.answer(Shape(operation="create-key"), count, FILL_SECONDS_MAX).checked("Conclave").requests
        if made < count:
            raise Unmeasured(f"Conclave created {made} of {count} keys within {FILL_SECONDS_MAX} s")

    def _load(self, shape: Shape, window: list, seconds: float) -> Outcome:
        nodes = self.nodes()
        operation = OPERATIONS.get((shape.operation, shape.batch > 1), shape.operation)
        command = [self._binaries / "load", "--json", *window]
        command += ["--endpoint", ",".join(node.endpoint for node in nodes)]
        command += ["--ca", self._state["ca"], "--cert", self._state["cert"]]
        command += ["--cert-key", self._state["cert_key"]]
        command += ["--key", f"{KEYRING}/versus-{shape.protection}", "--protection", shape.protection]
        command += ["--operation", operation, "--payload-bytes", shape.payload_bytes]
        command += ["--batch", shape.batch, "--callers", shape.callers]
        command += ["--connections", min(shape.connections, shape.callers)]
        command += ["--rate", shape.rate] if shape.rate else []
        command += ["--unary"] if shape.unary else []
        command += ["--node", nodes[-1].endpoint] if shape.through == "follower" else []
        for node in nodes:
            command += ["--pid", node.pid]
        told = json.loads(self._children.run(command, timeout_seconds=seconds + SPARE_SECONDS))
        latency = told["latency_ms"] or {"p50": 0.0, "p99": 0.0, "max": 0.0}
        failures = [f"{error['first']} ({reason})" for reason, error in told["errors"].items()]
        return Outcome(
            items_per_second=told["items_per_second"],
            p50_ms=latency["p50"],
            p99_ms=latency["p99"],
            server_cpu_us=told["node_cpu_us_per_request"] or 0.0,
            others_percent=told["others_cpu_percent"],
            requests=told["requests"],
            failed=told["failed"],
            first_failure="; ".join(failures),
            max_ms=latency["max"],
        )

    def stop(self) -> None:
        """Ends the nodes; `cluster` deletes their files."""
        self._children.stop([self._cluster])


@dataclass(frozen=True)
class Limit:
    """One figure of `limits`."""

    calls_per_second: float
    p50_us: float | None
    others_percent: float


def limits(binaries: Path, children: Children, kind: str, seconds: int) -> dict[str, Limit]:
    """What cannot be beaten on this machine, by its name. `kind`: echo, seal, token or disk.

    The disk measured is the one that the nodes' files are on.
    """
    command = [binaries / "limits", "--json", "--only", kind, "--seconds", seconds, "--dir", children.scratch]
    told = children.run(command, timeout_seconds=20 * seconds + SPARE_SECONDS)
    found = {}
    for line in map(json.loads, told.splitlines()):
        limit = Limit(line["rate_per_s"], line.get("p50_us"), line["others_cpu_percent"])
        found[line["limit"]] = limit
    return found
