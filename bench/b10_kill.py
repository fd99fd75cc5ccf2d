"""B10: the extractor is killed with `kill -9` in the middle of an object: what is fetched again, lost or doubled."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
from apart import apart
from data import WIDE, one_object_org
from environments import ROOT
from options import Options
from report import Report, Runs

from holdfast.extractor.settings import ExtractorSettings
from holdfast.orgsim.testing import RunningOrg

sys.path.insert(0, str(ROOT))
from tests.integration.tables import files_at

ROUNDS = 3
HALF_TIMEOUT_S = 120


def measure(report: Report, options: Options) -> None:
    """Three baselines, each killed when half of its pages have been fetched."""
    rows = 50_000 if options.quick else 1_000_000 if options.large else 200_000
    folder = options.folder / "b10"
    with one_object_org(folder, WIDE, rows) as org, apart(folder / "up") as holdfast:
        connection = holdfast.connect(org)
        holdfast.completed(holdfast.request_run(holdfast.create_job(connection, [WIDE], name="first")))
        pages = _fetches(org)
        again, wrong, at = [], [], []
        for number in range(ROUNDS):
            org.reset_calls()
            job = holdfast.create_job(connection, [WIDE], name=f"killed-{number}")
            run_id = holdfast.request_run(job)
            at.append(_wait_for(org, pages // 2) / pages)
            holdfast.crash("extractor")
            holdfast.completed(run_id)
            again.append(float(_fetches(org) - pages))
            wrong.append(_wrong_events(holdfast.vault / job / "records" / WIDE, rows))
        shares = Runs([count / pages for count in again])
        report.section(f"B10 Killed: the extractor at half of {rows:,} records of 60 columns", "b10-kill")
        report.add("pages of the object, about 10 MB each", f"{pages}")
        report.add("fetched when it was killed", f"{Runs(at).median:.0%} of the pages", str(Runs(at)))
        report.add("**pages fetched again** ÷ all", f"{shares.median:.3f}", ", ".join(f"{n:.0f}" for n in again))
        report.add("events lost or doubled", f"{sum(wrong)}", ", ".join(map(str, wrong)))
        connections = 1 + int(ExtractorSettings.model_fields["extractor_pages_ahead"].default)
        aim = f"fetched again: ≤ one page per connection ({connections})"
        report.aim("B10", aim, f"at most {max(again):.0f} pages", max(again) <= connections)
        report.aim("B10", "lost or doubled events: 0", f"{sum(wrong)}", not any(wrong))


def _fetches(org: RunningOrg) -> int:
    """Result pages that the org has handed out since the counters were at zero, repeats counted."""
    pages: list[dict[str, Any]] = org.calls()["bulk_pages"]
    return sum(page["fetched"] for page in pages)


def _wait_for(org: RunningOrg, fetched: int) -> int:
    deadline = time.monotonic() + HALF_TIMEOUT_S
    while (now := _fetches(org)) < fetched:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{now} pages came within {HALF_TIMEOUT_S} s")
        time.sleep(0.01)
    return now


def _wrong_events(table: Path, rows: int) -> int:
    """Records without an event, and events beyond one per record: of a baseline each has exactly one."""
    frames = [pl.read_parquet(file, columns=["_record_id", "_event_id"]) for file in files_at(table)]
    events = pl.concat(frames)
    lost = rows - events["_record_id"].n_unique()
    doubled = len(events) - events["_record_id"].n_unique()
    return lost + doubled + (len(events) - events["_event_id"].n_unique())
