"""Tests of what `growth` needs no server for: `python3 -m unittest discover benches/versus`."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
import time
import unittest
from pathlib import Path

from figures import LOG, MEASURES, OPEN, PER_RECORD, RATE_RECORDS, SNAPSHOT, Figure, Figures
from footprint import checkpoint_bytes, live_bytes, tables
from growing import with_snapshots_every
from load import Outcome
from processes import Unmeasured
from snapshots import Compared, Snapshots, Span, Window, born, compare
from windows import DEADLINE_MS, is_quiet, p99_of, quietest


def outcome(others_percent: float = 0.0, failed: int = 0) -> Outcome:
    """A window of which only the noise and the failures matter."""
    return Outcome(100.0, 1.0, 2.0, 80.0, others_percent, requests=200, failed=failed)


class InDirectory(unittest.TestCase):
    """Files as a node leaves them."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)
        self.checkpoints = self.root / "checkpoints"
        self.checkpoints.mkdir()

    def checkpoint(self, name: str, finished: bool = True) -> Path:
        """Another one."""
        (self.checkpoints / name / "db").mkdir(parents=True)
        if finished:
            (self.checkpoints / name / "MANIFEST").write_bytes(b"m")
        return self.checkpoints / name


class Counting(InDirectory):
    """Bytes and files of a database."""

    def setUp(self) -> None:
        super().setUp()
        (self.root / "db-1").mkdir()
        (self.root / "watermark").write_bytes(b"w" * 10)
        (self.root / "db-1" / "1.sst").write_bytes(b"s" * 1000)
        (self.root / "db-1" / "2.log").write_bytes(b"l" * 200)

    def test_links_of_a_checkpoint_take_nothing_until_the_live_file_is_gone(self) -> None:
        linked = self.checkpoint("t1-i5") / "db" / "1.sst"
        os.link(self.root / "db-1" / "1.sst", linked)
        self.assertEqual((live_bytes(self.root), checkpoint_bytes(self.root)), (1210, 1))
        (self.root / "db-1" / "1.sst").unlink()
        self.assertEqual((live_bytes(self.root), checkpoint_bytes(self.root)), (210, 1001))

    def test_an_inode_counts_once(self) -> None:
        os.link(self.root / "db-1" / "1.sst", self.root / "db-1" / "3.sst")
        self.assertEqual(live_bytes(self.root), 1210)
        os.link(self.root / "db-1" / "1.sst", self.checkpoint("t1-i5") / "db" / "1.sst")
        os.link(self.root / "db-1" / "1.sst", self.checkpoint("t1-i9") / "db" / "1.sst")
        self.assertEqual(checkpoint_bytes(self.root), 2)

    def test_tables_are_the_live_files_of_rows(self) -> None:
        os.link(self.root / "db-1" / "1.sst", self.checkpoint("t1-i5") / "db" / "1.sst")
        self.assertEqual(tables(self.root), {str(self.root / "db-1" / "1.sst")})


class Sighting(InDirectory):
    """Snapshots by their directories."""

    def setUp(self) -> None:
        super().setUp()
        self.snapshots = Snapshots([self.checkpoints])

    def test_a_directory_keeps_its_birth(self) -> None:
        before = time.time()
        made = self.checkpoint(".new-0", finished=False)
        birth = born(made)
        # The kernel's clock for files is a tick behind.
        self.assertTrue(before - 0.1 <= birth <= time.time())
        renamed = made.rename(self.checkpoints / "t1-i5")
        self.assertEqual(born(renamed), birth)
        with self.assertRaises(FileNotFoundError):
            born(made)

    def test_one_that_finishes_becomes_one_with_an_end(self) -> None:
        made = self.checkpoint(".new-0", finished=False)
        self.snapshots.look()
        self.assertTrue(self.snapshots.is_under_way())
        (begun,) = self.snapshots.spans()
        (made / "MANIFEST").write_bytes(b"m")
        made.rename(self.checkpoints / "t1-i5")
        self.snapshots.look()
        self.assertFalse(self.snapshots.is_under_way())
        (ended,) = self.snapshots.spans()
        self.assertEqual((begun.begin, begun.end), (ended.begin, None))
        self.assertGreaterEqual(ended.end, ended.begin - 0.1)

    def test_one_that_goes_is_remembered_and_no_new_one(self) -> None:
        old = self.checkpoint("t1-i5")
        self.snapshots.look()
        (self.checkpoints / ".new-1").mkdir()
        old.rename(self.checkpoints / ".new-1" / "removed")
        self.snapshots.look()
        self.assertEqual((len(self.snapshots.spans()), self.snapshots.is_under_way()), (1, False))


class Comparing(unittest.TestCase):
    """Which windows count, and for what."""

    def test_spans_meet_if_they_share_an_instant(self) -> None:
        window = Span(10, 12)
        for other in (Span(9, 11), Span(11, 13), Span(9, 13), Span(10.5, 11), Span(9), Span(11)):
            self.assertTrue(window.meets(other) and other.meets(window), other)
        for other in (Span(8, 9), Span(8, 10), Span(12, 13), Span(13)):
            self.assertFalse(window.meets(other) or other.meets(window), other)

    def test_windows_are_parted_by_snapshots(self) -> None:
        windows = [Window(Span(at, at + 2), p99) for at, p99 in ((0, 5.0), (2, 9.0), (4, 30.0), (6, 7.0), (8, 12.0))]
        compared = compare(windows, [Span(2.5, 4.5), Span(9)])
        self.assertEqual(compared, Compared(during=(9.0, 30.0, 12.0), apart=(5.0, 7.0)))
        self.assertEqual(compared.medians(), (12.0, 6.0))
        self.assertTrue(compared.is_enough(2) and not compared.is_enough(3))
        with self.assertRaisesRegex(Unmeasured, "0 windows had a snapshot and 5 had none"):
            compare(windows, []).medians()

    def test_the_quietest_windows_count(self) -> None:
        outcomes = [outcome(percent) for percent in (40.0, 3.0, 10.0, 12.0)]
        self.assertEqual([each.others_percent for each in quietest(outcomes, 2)], [3.0, 10.0])
        self.assertEqual(list(map(is_quiet, outcomes)), [False, True, True, False])

    def test_a_request_that_failed_is_slower_than_any_answer(self) -> None:
        self.assertEqual([p99_of(outcome(failed=failed)) for failed in (0, 2, 3)], [2.0, 2.0, DEADLINE_MS])

    def test_snapshots_come_as_often_as_asked_for(self) -> None:
        config = "[raft]\nsnapshot_every_entries = 20000\nkeep_entries = 5000\n[hsm]\n"
        often = "[raft]\nsnapshot_every_entries = 600\nkeep_entries = 600\n[hsm]\n"
        self.assertEqual(with_snapshots_every(config, 600), often)
        self.assertIn("keep_entries = 5000", with_snapshots_every(config, 9000))
        with self.assertRaises(Unmeasured):
            with_snapshots_every("[hsm]\n", 600)


class Judging(unittest.TestCase):
    """Verdicts, and how they are told."""

    def test_a_ratio_is_bounded_where_it_is_meant(self) -> None:
        self.assertIs(Figure(RATE_RECORDS, 90.0, 100.0).is_met, True)
        self.assertIs(Figure(RATE_RECORDS, 89.0, 100.0).is_met, False)
        self.assertIs(Figure(SNAPSHOT, 19.9, 10.0).is_met, True)
        self.assertIs(Figure(SNAPSHOT, 20.0, 10.0).is_met, False)

    def test_else_the_figure_is(self) -> None:
        self.assertIs(Figure(PER_RECORD, 399.0).is_met, True)
        self.assertIs(Figure(PER_RECORD, 400.0).is_met, False)
        self.assertIs(Figure(OPEN, 10.0).is_met, False)
        self.assertIsNone(Figure(LOG, 1e9).is_met)

    def test_each_measure_has_a_line(self) -> None:
        figures, out = Figures(), io.StringIO()
        figures.add(Figure(SNAPSHOT, 15.0, 10.0, 4.04, "3 windows"))
        with contextlib.redirect_stderr(io.StringIO()), figures.guard([SNAPSHOT, OPEN]):
            raise Unmeasured("no node")
        with contextlib.redirect_stdout(out):
            figures.print_json()
        lines = {line["measure"]: line for line in map(json.loads, out.getvalue().splitlines())}
        self.assertEqual(list(lines), [measure.name for measure in MEASURES])
        told = {"value": 15.0, "beside": 10.0, "ratio": 1.5, "unit": "ms", "target": "< 2", "met": True}
        told |= {"measure": "snapshot-p99", "others_cpu_percent": 4.0, "note": "3 windows"}
        self.assertEqual(lines["snapshot-p99"], told)
        self.assertEqual(lines["open-seconds"], {"measure": "open-seconds", "error": "no node"})
        self.assertEqual(lines["log-bytes"]["error"], "interrupted before")
        self.assertFalse(figures.is_complete)

    def test_the_table_says_what_is_missing(self) -> None:
        figures, out = Figures(), io.StringIO()
        figures.add(Figure(RATE_RECORDS, 8000.0, 10000.0, 2.0))
        with contextlib.redirect_stdout(out):
            figures.print_table()
        self.assertRegex(out.getvalue(), r"rate-records-grown +8,000 1/s +10,000 1/s +0\.8 +>= 0\.9 +NO +2 %")
        self.assertIn("open-seconds: NOT MEASURED: interrupted before", out.getvalue())


if __name__ == "__main__":
    unittest.main()
