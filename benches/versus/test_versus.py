"""Tests of what needs no server: `python3 -m unittest discover benches/versus`."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import machine
import wrk
from measures import MEASURES, Sample, chosen
from processes import Children, Unmeasured, read_line
from report import Results
from targets import at_least, at_most

NAMED = {measure.name: measure for measure in MEASURES}


def json_of(results: Results, names: list[str]) -> list[dict]:
    """What would be printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        results.print_json([NAMED[name] for name in names])
    return [json.loads(line) for line in out.getvalue().splitlines()]


class Choosing(unittest.TestCase):
    """Names on the command line."""

    def test_a_name_is_itself_and_else_a_group(self) -> None:
        self.assertEqual([m.name for m in chosen("encrypt-32B-64callers", False)], ["encrypt-32B-64callers"])
        self.assertEqual([m.name for m in chosen("failover", True)], ["failover-median", "failover-worst"])
        with self.assertRaises(ValueError):
            chosen("fail", False)

    def test_targets_have_a_side(self) -> None:
        self.assertTrue(at_least(15).is_met(15) and not at_least(15).is_met(14.9))
        self.assertTrue(at_most(0.5).is_met(0.5) and not at_most(0.5).is_met(0.51))


class Reporting(unittest.TestCase):
    """Lines of JSON."""

    def test_rounds_are_a_median_and_a_spread(self) -> None:
        results, name = Results(), "encrypt-32B-64callers"
        for ours, theirs in ((30.0, 2.0), (40.0, 2.0), (28.0, 2.0)):
            results.add(NAMED[name], Sample(ours, theirs, 3.0))
        (line,) = json_of(results, [name])
        self.assertEqual((line["conclave"], line["openbao"], line["ratio"]), (30.0, 2.0, 15.0))
        self.assertEqual((line["spread"], line["met"]), ([14.0, 20.0], True))

    def test_trials_are_judged_by_their_figure(self) -> None:
        results, measure = Results(), NAMED["failover-worst"]
        results.add_trials(measure, Sample(4100.0, None, None), [1500.0, 4100.0])
        (line,) = json_of(results, [measure.name])
        self.assertEqual((line["met"], line["spread"], line["target"]), (False, [1500.0, 4100.0], "<= 4000 ms"))
        self.assertNotIn("ratio", line)

    def test_what_fails_is_said_and_the_rest_goes_on(self) -> None:
        results = Results()
        with contextlib.redirect_stderr(io.StringIO()), results.guard([NAMED["handover"]], "handover"):
            raise Unmeasured("no leader")
        self.assertFalse(results.is_complete)
        self.assertEqual(json_of(results, ["handover"]), [{"measure": "handover", "error": "no leader"}])


class Loading(unittest.TestCase):
    """The script for wrk, and what it prints."""

    def test_strings_are_quoted_for_lua(self) -> None:
        request = wrk.Request("/k-", '{"a": "\\n"}', {"X-Token": "t"}, numbered=True)
        script = wrk.script(request, answers_max=5)
        self.assertIn(r'wrk.body = "{\034a\034: \034\092n\034}"', script)
        self.assertIn('"/k-" .. n', script)
        self.assertIn("answered >= 5", script)

    def test_figures_are_found(self) -> None:
        told = '{"requests":10,"us":2000000,"p50_us":1500,"p99_us":9000,"refused":1,"broken":2}'
        figures = wrk.parse(f"Running 2s test\n\nFIGURES {told}\n")
        self.assertEqual(figures, wrk.Figures(requests=10, seconds=2.0, p50_ms=1.5, p99_ms=9.0, failed=3))
        with self.assertRaises(Unmeasured):
            wrk.parse("unable to connect")


class Running(unittest.TestCase):
    """Real processes."""

    def setUp(self) -> None:
        self.children = Children(Path(tempfile.mkdtemp()))
        self.addCleanup(self.children.clean_up)

    def test_all_that_was_started_ends(self) -> None:
        child = self.children.start([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        self.children.clean_up()
        self.assertIsNotNone(child.poll())
        self.assertFalse(self.children.scratch.exists())

    def test_failures_say_why(self) -> None:
        with self.assertRaisesRegex(Unmeasured, "out of cheese"):
            self.children.run([sys.executable, "-c", "raise SystemExit('out of cheese')"], 30)
        with self.assertRaisesRegex(Unmeasured, "did not end"):
            self.children.run([sys.executable, "-c", "import time; time.sleep(60)"], 0.5)

    def test_lines_come_one_by_one_until_the_end(self) -> None:
        child = self.children.start([sys.executable, "-c", "print('a\\nb')"], stdout=subprocess.PIPE)
        buffer = bytearray()
        self.assertEqual([read_line(child, buffer, 30) for _ in range(3)], ["a", "b", None])

    def test_the_kernel_tells_of_this_process(self) -> None:
        self.assertGreater(machine.rss_mib(os.getpid()), 1)
        self.assertGreater(machine.cpu_seconds(os.getpid()), 0)
        self.assertGreaterEqual(machine.Meter([os.getpid()]).end().others_percent, 0)


if __name__ == "__main__":
    unittest.main()
