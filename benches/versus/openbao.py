"""OpenBao: three nodes on loopback with Raft storage, TLS, a file audit device and the transit engine.

Its own settings otherwise, and the root token, whose requests are the cheapest: a policy's check is spared.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import wrk
from load import Outcome, Shape
from machine import Meter
from processes import Children, Unmeasured, need, tail

NODES = (1, 2, 3)
PORTS = range(10_000, 16_900)  # below those of Conclave's cluster, and of the system's own
SHARES, THRESHOLD = 5, 3
START_SECONDS_MAX = 120
POLL_SECONDS = 0.1
FILL_SECONDS_MAX, FILL_BURST_SECONDS = 600, 5
KEY = "versus"
# What GET sys/health answers by its status.
ACTIVE, NOT_INITIALISED, SEALED, STANDBY = 200, 501, 503, (429, 473)

CONFIG = """\
ui = false
api_addr = "https://127.0.0.1:{api}"
cluster_addr = "https://127.0.0.1:{peer}"
storage "raft" {{
  path = "{directory}/data"
  node_id = "n{id}"
{joins}}}
listener "tcp" {{
  address = "127.0.0.1:{api}"
  cluster_address = "127.0.0.1:{peer}"
  tls_cert_file = "{tls}/server.pem"
  tls_key_file = "{tls}/server.key"
}}
audit "file" "file" {{
  options {{
    file_path = "audit.log"
  }}
}}
"""
JOIN = """\
  retry_join {{
    leader_api_addr = "https://127.0.0.1:{api}"
    leader_ca_cert_file = "{tls}/ca.pem"
  }}
"""
EXTENSIONS = "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n"


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, from a place that differs between runs."""
    free = []
    start = os.getpid() * 2 * len(NODES) % len(PORTS)
    for place in range(len(PORTS)):
        port = PORTS[(start + place) % len(PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        free.append(port)
        if len(free) == count:
            return free
    raise Unmeasured(f"no {count} ports from {PORTS.start} on are free")


@dataclass
class Node:
    """One server."""

    id: int
    api: int
    peer: int
    directory: Path
    process: subprocess.Popen | None = None


class OpenBao:
    """A cluster of three, unsealed, with one key."""

    name = "openbao"

    def __init__(self, bao: Path, children: Children, directory: Path) -> None:
        """Starts it with all its files in `directory`, and waits until all three are voters."""
        need("wrk", "wrk")
        self._bao = bao
        self._children = children
        self._tls = directory / "tls"
        self._token: str | None = None
        self._ciphertext: str | None = None
        self._tag = 0
        ports = _free_ports(2 * len(NODES))
        pairs = zip(ports[::2], ports[1::2], strict=True)
        self._nodes = [Node(id, api, peer, directory / f"n{id}") for id, (api, peer) in zip(NODES, pairs, strict=True)]
        self._make_certificates()
        for node in self._nodes:
            self._start(node)
        self._form()

    def _make_certificates(self) -> None:
        """An authority, and one certificate for 127.0.0.1 that all nodes use."""
        self._tls.mkdir(parents=True)
        (self._tls / "extensions").write_text(EXTENSIONS)
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        signed_by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
        openssl = need("openssl", "openssl")
        for words in (
            ["req", "-x509", *new_key, "-days", "30", "-subj", "/CN=versus", "-keyout", "ca.key", "-out", "ca.pem"],
            ["req", *new_key, "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.csr"],
            [
                "x509",
                "-req",
                *signed_by,
                "-days",
                "30",
                "-extfile",
                "extensions",
                "-in",
                "server.csr",
                "-out",
                "server.pem",
            ],
        ):
            self._children.run([openssl, *words], timeout_seconds=60, cwd=self._tls)
        self._trust = ssl.create_default_context(cafile=str(self._tls / "ca.pem"))

    def _start(self, node: Node) -> None:
        """In a directory of its own, to which the path of its audit file is relative."""
        (node.directory / "data").mkdir(parents=True)
        joins = "".join(JOIN.format(api=other.api, tls=self._tls) for other in self._nodes if other is not node)
        config = node.directory / "config.hcl"
        settings = {"api": node.api, "peer": node.peer, "id": node.id, "directory": node.directory}
        config.write_text(CONFIG.format(**settings, tls=self._tls, joins=joins))
        with (node.directory / "log").open("w") as log:
            node.process = self._children.start(
                [self._bao, "server", f"-config={config}"],
                cwd=node.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _ask(self, node: Node, method: str, path: str, body: dict | None = None) -> tuple[int, dict]:
        """One request over a connection of its own."""
        connection = http.client.HTTPSConnection("127.0.0.1", node.api, timeout=30, context=self._trust)
        headers = {"X-Vault-Token": self._token} if self._token else {}
        try:
            connection.request(method, f"/v1/{path}", json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else {}
        except (OSError, ValueError, http.client.HTTPException) as why:
            raise Unmeasured(f"OpenBao's node {node.id} did not answer {method} {path}: {why}") from why
        finally:
            connection.close()

    def _must(self, node: Node, method: str, path: str, body: dict | None = None) -> dict:
        status, answer = self._ask(node, method, path, body)
        if status not in (200, 204):
            raise Unmeasured(f"OpenBao answers {status} to {method} {path}: {answer.get('errors')}")
        return answer

    def _health(self, node: Node) -> int:
        try:
            return self._ask(node, "GET", "sys/health")[0]
        except Unmeasured:
            return 0

    def _until(self, what: str, done: Callable[[], bool]) -> None:
        """Waits, unless a server has ended."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while not done():
            for node in self._nodes:
                if node.process.poll() is not None or time.monotonic() > deadline:
                    log = tail((node.directory / "log").read_text(errors="replace"))
                    raise Unmeasured(f"OpenBao: waited in vain for {what}; node {node.id} says: {log}")
            time.sleep(POLL_SECONDS)

    def _form(self) -> None:
        """Initialises the first node, unseals all, mounts transit."""
        first = self._nodes[0]
        self._until("the first node", lambda: self._health(first) == NOT_INITIALISED)
        request = {"secret_shares": SHARES, "secret_threshold": THRESHOLD}
        secrets = self._must(first, "PUT", "sys/init", request)
        shares = secrets["keys_base64"][:THRESHOLD]

        def unsealed(node: Node) -> bool:
            """A node refuses shares until it has reached the first one, so they are given again."""
            if self._health(node) == SEALED:
                for share in shares:
                    self._ask(node, "PUT", "sys/unseal", {"key": share})
            return self._health(node) in (ACTIVE, *STANDBY)

        for node in self._nodes:
            self._until(f"node {node.id} to be unsealed", lambda node=node: unsealed(node))
        self._until("a leader", lambda: self._health(first) == ACTIVE)
        self._token = secrets["root_token"]
        self._must(first, "POST", "sys/mounts/transit", {"type": "transit"})
        self._must(first, "POST", f"transit/keys/{KEY}", {"type": "aes256-gcm96"})
        self._until("three voters", self._is_settled)

    def _is_settled(self) -> bool:
        """A node that has joined votes only after a while; until then a quorum is cheaper than it should be."""
        try:
            status, answer = self._ask(self._leader(), "GET", "sys/storage/raft/autopilot/state")
        except Unmeasured:
            return False
        state = answer.get("data") or {}
        return status == 200 and state["healthy"] and len(state["voters"]) == len(NODES)

    def _leader(self) -> Node:
        for node in self._nodes:
            if self._health(node) == ACTIVE:
                return node
        raise Unmeasured("OpenBao has no leader")

    def pids(self) -> list[int]:
        """The servers' processes."""
        return [node.process.pid for node in self._nodes]

    def _request(self, shape: Shape, leader: Node) -> wrk.Request:
        """What wrk is to send. The answer to the first such request is looked at."""
        plaintext = base64.b64encode(bytes(at % 251 for at in range(shape.payload_bytes))).decode()
        if shape.operation == "encrypt" and shape.batch > 1:
            path, body, told = "encrypt", {"batch_input": [{"plaintext": plaintext}] * shape.batch}, "batch_results"
        elif shape.operation == "encrypt":
            path, body, told = "encrypt", {"plaintext": plaintext}, "ciphertext"
        elif shape.operation == "decrypt":
            sealed = self._must(leader, "POST", f"transit/encrypt/{KEY}", {"plaintext": plaintext})
            path, body, told = "decrypt", {"ciphertext": sealed["data"]["ciphertext"]}, "plaintext"
        elif shape.operation == "data-key":
            path, body, told = "datakey/plaintext", {"bits": 256}, "plaintext"
        else:
            self._tag += 1
            path = f"/v1/transit/keys/k{self._tag}-"
            return wrk.Request(path, "{}", {"X-Vault-Token": self._token}, numbered=True)
        path = f"transit/{path}/{KEY}"
        if told not in self._must(leader, "POST", path, body)["data"]:
            raise Unmeasured(f"OpenBao's answer to {path} has no {told}")
        return wrk.Request(f"/v1/{path}", json.dumps(body), {"X-Vault-Token": self._token})

    def put_load(self, shape: Shape, seconds: int, warmup_seconds: int) -> Outcome:
        """Measures for so long, through the leader, with a connection for each caller."""
        leader = self._leader()
        address = f"https://127.0.0.1:{leader.api}"
        if warmup_seconds:
            wrk.run(self._children, address, self._request(shape, leader), shape.callers, warmup_seconds)
        request = self._request(shape, leader)
        meter = Meter(self.pids())
        seen = wrk.run(self._children, address, request, shape.callers, seconds)
        usage = meter.end()
        return Outcome(
            items_per_second=(seen.requests - seen.failed) * shape.batch / seen.seconds,
            p50_ms=seen.p50_ms,
            p99_ms=seen.p99_ms,
            server_cpu_us=1e6 * usage.servers_seconds / max(seen.requests, 1),
            others_percent=usage.others_percent,
            requests=seen.requests,
            failed=seen.failed,
        ).checked("OpenBao")

    def create_keys(self, count: int) -> None:
        """Creates so many keys with new names."""
        leader = self._leader()
        address = f"https://127.0.0.1:{leader.api}"
        shape = Shape(operation="create-key")
        deadline = time.monotonic() + FILL_SECONDS_MAX
        there = 0
        while there < count:
            if time.monotonic() > deadline:
                raise Unmeasured(f"OpenBao created {there} of {count} keys within {FILL_SECONDS_MAX} s")
            # wrk always runs for all its time, though it asks nothing more after the last answer that it may have.
            request = self._request(shape, leader)
            wrk.run(self._children, address, request, shape.callers, FILL_BURST_SECONDS, answers_max=count - there)
            there = len(self._must(leader, "LIST", "transit/keys")["data"]["keys"])

    def stop(self) -> None:
        """Ends the servers, at once, since nobody needs what they keep; their files stay until all are removed."""
        self._children.stop([node.process for node in self._nodes], patience_seconds=0)
