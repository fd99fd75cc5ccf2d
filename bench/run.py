"""Every benchmark, in one go: `make bench`. Ratios within one run; machines differ, ratios less.

Writes `docs/performance.md`. Figures are medians where there are several; wide machines make narrow figures.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import floors
import orgsim_read
import orgsim_write
from installation import MIB, Holdfast, PeakMemory, up
from report import NOTES, PAGE, Report

from holdfast.launcher.demo.data import demo_data
from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg, start_org

SMALL, LARGE = 7, 70  # copies of the NPSP data: 120,981 and 1,209,810 records
BASELINES = 5
IDLE_S = 20.0


def loaded_objects(org: RunningOrg) -> list[str]:
    """The objects of the data set, without the org's own (users, profiles and such)."""
    files = {path.stem for path in (demo_data() / "npsp-1k").glob("[!_]*.csv")}
    return sorted(files & org.objects().keys())


def median_of(times: int, measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(times))


def baseline(report: Report, holdfast: Holdfast, org: RunningOrg, objects: list[str]) -> str:
    """Baseline extract against curl and against the bare pipeline; returns a job that has its baseline."""
    token = org.token()
    pages = asyncio.run(floors.complete_jobs(org.url, token, objects))
    rows = sum(page.rows for page in pages)
    curl, bare, seconds, calls, jobs = [], [], [], 0, []
    for number in range(BASELINES):
        # In turn, so that a slow spell of the machine hits all three.
        curl.append(floors.curl_seconds(org.url, token, pages))
        bare.append(asyncio.run(floors.bare_pipeline_seconds(org.url, token, pages)))
        jobs.append(holdfast.job(org, f"baseline {number}", objects))
        before = org.calls()["total"]
        seconds.append(holdfast.run(jobs[-1])["progress"]["seconds_elapsed"])
        calls = org.calls()["total"] - before
    curl_s, bare_s, run_s = (statistics.median(each) for each in (curl, bare, seconds))
    report.section(f"Baseline of {rows:,} records in {len(objects)} objects")
    report.add("curl fetching the same pages, 4 at a time", f"{curl_s:.2f} s")
    report.add("bare pipeline (fetch, parse, fingerprint, Parquet)", f"{bare_s:.2f} s")
    report.add("Holdfast, from request to completed run", f"{run_s:.2f} s, {rows / run_s:,.0f} rows/s")
    report.add("all runs", ", ".join(f"{each:.2f}" for each in seconds) + " s")
    report.add("against curl", f"{run_s / curl_s:.1f} ×")
    report.add("against the bare pipeline", f"{run_s / bare_s:.1f} ×")
    allowed = 2 * bare_s + 1.5
    report.add("aim: 2 × bare pipeline + 1.5 s", f"{allowed:.2f} s: {'met' if run_s <= allowed else 'missed'}")
    report.add("API calls, counted by the org", f"{calls}")
    return jobs[-1]


def no_change(report: Report, holdfast: Holdfast, org: RunningOrg) -> None:
    """What a run costs when nothing changed, for the 14 objects of the demo."""
    objects = [*loaded_objects(org), "Domain__c"]
    job = holdfast.job(org, "no change", objects)
    holdfast.run(job)
    holdfast.run(job)  # the next one finds describes known
    calls, seconds = [], []
    for _ in range(3):
        before = org.calls()["total"]
        seconds.append(holdfast.run(job)["progress"]["seconds_elapsed"])
        calls.append(org.calls()["total"] - before)
    report.section(f"A run without changes, {len(objects)} objects")
    report.add("API calls, counted by the org", f"{statistics.median(calls):.0f}")
    report.add("seconds, from request to completed run", f"{statistics.median(seconds):.2f} s")


def stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def storage(report: Report, holdfast: Holdfast, org: RunningOrg, job: str, objects: list[str]) -> None:
    """Bytes of a baseline per record, and what a day adds on which 1 % of the records changed."""
    vault = holdfast.data / "vault" / job
    before = stored(vault)
    rows = sum(org.objects()[name]["rows"] for name in objects)
    changed = 0
    with OrgSession(org.url, org.client_id, org.client_secret) as session:
        for name in ("Contact", "Opportunity", "Address__c"):
            column = {"Contact": "Title", "Opportunity": "StageName", "Address__c": "MailingCity__c"}[name]
            limit = max(1, rows // 300)
            ids = [row["Id"] for row in session.query(f"SELECT Id FROM {name} ORDER BY Id LIMIT {limit}")]
            session.update(name, [{"id": each, column: "Changed"} for each in ids])
            changed += len(ids)
    holdfast.run(job)
    report.section("Bytes stored")
    report.add("baseline, per record, log and index included", f"{before / rows:.0f} B")
    report.add(f"added by a day with {changed:,} changed records (1 %)", f"{(stored(vault) - before) / 1024:,.0f} KiB")


def memory(report: Report, folder: Path) -> None:
    """Peak memory of the services above idle, at two sizes: what matters is the slope."""
    report.section("Peak memory of the services' process above idle")
    for copies in (SMALL, LARGE):
        with start_org(load=[demo_data() / "npsp-1k"], multiply=copies) as org, up(folder / f"m{copies}") as holdfast:
            objects = loaded_objects(org)
            rows = sum(org.objects()[name]["rows"] for name in objects)
            job = holdfast.job(org, "memory", objects)
            with PeakMemory(holdfast.processes()["services and launcher"]) as watch:
                run = holdfast.run(job)
            seconds = run["progress"]["seconds_elapsed"]
            report.add(
                f"{rows:,} records",
                f"{(watch.peak - watch.before) / MIB:.0f} MiB above {watch.before / MIB:.0f} MiB idle; "
                f"{seconds:.1f} s, {rows / seconds:,.0f} rows/s",
            )


def idle(report: Report, holdfast: Holdfast) -> None:
    """CPU and memory of each process while nothing happens."""
    processes = holdfast.processes()
    for process in processes.values():
        process.cpu_percent()
    time.sleep(IDLE_S)
    report.section(f"Idle, over {IDLE_S:.0f} s")
    for name, process in processes.items():
        report.add(name, f"{process.cpu_percent():.1f} % CPU, {process.memory_info().rss / MIB:.0f} MiB")


def write(report: Report) -> None:
    head = [
        "# Performance",
        "",
        "Made by `make bench`; the local org serves, everything runs on one machine. Take ratios, not seconds: the",
        "machine is shared and noisy.",
        "",
        f"Measured {datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, 2 cores, Python {platform.python_version()}.",
    ]
    tail = ["", NOTES.read_text().rstrip()]
    PAGE.write_text("\n".join([*head, *report.lines, *tail]) + "\n")
    print(f"\nWritten to {PAGE}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-memory", action="store_true", help="leave out the two memory runs")
    parser.add_argument("--no-report", action="store_true", help="print only")
    options = parser.parse_args()
    report, folder = Report(), Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    try:
        with start_org(load=[demo_data() / "npsp-1k"], multiply=SMALL) as org, up(folder / "up") as holdfast:
            idle(report, holdfast)
            objects = loaded_objects(org)
            job = baseline(report, holdfast, org, objects)
            storage(report, holdfast, org, job, objects)
        loads = [demo_data() / "npsp-1k", demo_data() / "dotgov"]
        with start_org(load=loads) as org, up(folder / "no-change") as holdfast:
            no_change(report, holdfast, org)
        if not options.without_memory:
            memory(report, folder)
        orgsim_read.measure(report)
        orgsim_write.measure(report)
        if not options.no_report:
            write(report)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
