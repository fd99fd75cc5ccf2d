"""B2: one large object of an org that is far away: 25 MB/s per connection, 100 ms."""

from __future__ import annotations

import asyncio
from typing import Any

import floors
from b1_baseline import proofs_of
from data import WIDE, one_object_org
from installation import up
from options import Options
from proxy import far_away
from report import Report, Runs

RATE, LATENCY_S = 25e6, 0.1
CURLS = 5
ROUNDS = 3


def measure(report: Report, options: Options) -> None:
    """Holdfast beside a reader of one page after the other and five curls."""
    rows = 20_000 if options.quick else 1_000_000 if options.large else 200_000
    with (
        one_object_org(options.folder / "b2", WIDE, rows) as org,
        far_away(org.url, RATE, LATENCY_S) as url,
        up(options.folder / "b2-up") as holdfast,
    ):
        token = org.token()
        pages = asyncio.run(floors.complete_jobs(org.url, token, [WIDE]))
        holdfast.connect(org, url)
        one, five, ours = [], [], []
        run: dict[str, Any] = {"objects": []}
        for number in range(ROUNDS):
            one.append(asyncio.run(floors.curls_seconds(url, token, pages, 1)))
            five.append(asyncio.run(floors.curls_seconds(url, token, pages, CURLS)))
            run = holdfast.run(holdfast.job(org, f"far {number}", [WIDE]))
            ours.append(run["progress"]["seconds_elapsed"])
        sequential, parallel, mine = Runs(one), Runs(five), Runs(ours)
        report.section(f"B2 Far away: {rows:,} records of 60 columns at 25 MB/s per connection and 100 ms", "b2-far")
        report.add("a sequential reader: one curl after the other, parsed and written", f"{sequential.median:.1f} s",
                   str(sequential))  # fmt: skip
        report.add(f"floor: {CURLS} curls at a time into a bare parse-and-write, jobs complete",
                   f"{parallel.median:.1f} s", str(parallel))  # fmt: skip
        report.add("**Holdfast**, request to completed", f"**{mine.median:.1f} s**", str(mine))
        report.add("pages", f"{len(pages)} of about 10 MB; proof: {proofs_of(run) or 'the run said nothing of it'}")
        times = sequential.median / mine.median
        report.aim("B2", "≥ 4 × a sequential reader", f"{times:.1f} ×", times >= 4)
        times = mine.median / parallel.median
        report.aim("B2", "≤ 1.5 × five parallel curls piped into parse-and-write", f"{times:.2f} ×", times <= 1.5)
