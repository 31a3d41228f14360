"""Load on OpenBao by `wrk`: kept-alive TLS connections, each asking again when it is answered."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

from processes import Children, Unmeasured, need, tail

# Longer than any answer takes, so that wrk's histogram holds the slowest too.
ANSWER_SECONDS_MAX = 30

# wrk rounds what it prints for people, so the figures come from its Lua hook.
DONE = r"""
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\nFIGURES {"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
"""

NUMBERED = """
local n = 0
request = function()
  n = n + 1
  return wrk.format(nil, %s .. n)
end
"""

BOUNDED = """
local answered = 0
response = function()
  answered = answered + 1
  if answered >= %d then wrk.thread:stop() end
end
"""


@dataclass(frozen=True)
class Request:
    """What each request is. With `numbered` the path ends in a number that counts up."""

    path: str
    body: str
    headers: Mapping[str, str]
    numbered: bool = False


@dataclass(frozen=True)
class Figures:
    """What wrk saw."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int


def _quoted(text: str) -> str:
    """A Lua string that holds exactly this."""
    plain = (chr(b) if 32 <= b < 127 and chr(b) not in '"\\' else f"\\{b:03d}" for b in text.encode())
    return '"' + "".join(plain) + '"'


def script(request: Request, answers_max: int | None = None) -> str:
    """The Lua program of one run. It may stop asking after a number of answers, before its time is over."""
    headers = {"Content-Type": "application/json", **request.headers}
    lines = ['wrk.method = "POST"', f"wrk.body = {_quoted(request.body)}"]
    lines += [f"wrk.headers[{_quoted(name)}] = {_quoted(value)}" for name, value in headers.items()]
    if request.numbered:
        lines.append(NUMBERED % _quoted(request.path))
    if answers_max is not None:
        lines.append(BOUNDED % answers_max)
    return "\n".join(lines) + DONE


def parse(printed: str) -> Figures:
    """The figures in what wrk printed."""
    found = re.search(r"^FIGURES (\{.*\})$", printed, re.MULTILINE)
    if not found:
        raise Unmeasured(f"wrk printed no figures: {tail(printed)}")
    told = json.loads(found.group(1))
    return Figures(
        requests=told["requests"],
        seconds=told["us"] / 1e6,
        p50_ms=told["p50_us"] / 1e3,
        p99_ms=told["p99_us"] / 1e3,
        failed=told["refused"] + told["broken"],
    )


def run(
    children: Children,
    address: str,
    request: Request,
    connections: int,
    seconds: int,
    answers_max: int | None = None,
) -> Figures:
    """Puts load on one server with one thread, as `load` has."""
    program = need("wrk", "wrk")
    with tempfile.NamedTemporaryFile("w", suffix=".lua", dir=children.scratch) as file:
        file.write(script(request, answers_max))
        file.flush()
        command = [program, "-t", "1", "-c", connections, "-d", f"{seconds}s"]
        command += ["--timeout", f"{ANSWER_SECONDS_MAX}s", "-s", file.name, address + request.path]
        return parse(children.run(command, timeout_seconds=seconds + 2 * ANSWER_SECONDS_MAX))
