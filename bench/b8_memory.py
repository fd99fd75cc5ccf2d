"""B8: peak memory of extractor and differ, each a process of its own, at growing sizes: what matters is the slope."""

from __future__ import annotations

import time
from contextlib import ExitStack

from apart import apart
from data import NARROW, one_object_org
from installation import MIB, PeakMemory
from options import Options
from report import Report

SERVICES = ("extractor", "differ")
SETTLE_S = 3.0
MOST_MIB = 300 * 1_000_000 / MIB


def measure(report: Report, options: Options) -> None:
    """A baseline and a full scan of one narrow object at each size, in a fresh installation."""
    sizes = [5_000, 50_000] if options.quick else [100_000, 1_000_000] + ([10_000_000] if options.large else [])
    report.section("B8 Memory: peak of extractor and differ above idle", "b8-memory")
    peaks: dict[str, list[float]] = {service: [] for service in SERVICES}
    for rows in sizes:
        above, idle, seconds = _one_size(options, rows)
        figures = []
        for service in SERVICES:
            peaks[service].append(above[service])
            figures.append(f"{service} {above[service]:.0f} MiB above {idle[service]:.0f} MiB")
        took = ", ".join(f"{each:.1f}" for each in seconds)
        report.add(f"{rows:,} records of 11 columns, baseline and full scan", "; ".join(figures), f"{took} s")
    for service in SERVICES:
        most = max(peaks[service])
        report.aim("B8", f"{service}: ≤ 300 MB above idle at {sizes[-1]:,} records", f"{most * MIB / 1e6:.0f} MB",
                   most <= MOST_MIB)  # fmt: skip
        slope = peaks[service][-1] / peaks[service][-2]
        report.aim("B8", f"{service}: slope ≤ 1.1 from {sizes[-2]:,} to {sizes[-1]:,} records", f"{slope:.2f}",
                   slope <= 1.1)  # fmt: skip


def _one_size(options: Options, rows: int) -> tuple[dict[str, float], dict[str, float], list[float]]:
    """Peaks above idle and idle in MiB, and the seconds of the two runs."""
    folder = options.folder / f"b8-{rows}"
    with one_object_org(folder, NARROW, rows) as org, apart(folder / "up") as holdfast:
        job = holdfast.create_job(holdfast.connect(org), [NARROW])
        time.sleep(SETTLE_S)
        seconds = []
        with ExitStack() as watching:
            watches = {name: watching.enter_context(PeakMemory(holdfast.process(name))) for name in SERVICES}
            for full in (False, True):
                run = holdfast.completed(holdfast.request_run(job, full=full))
                seconds.append(run["progress"]["seconds_elapsed"])
        above = {name: (watch.peak - watch.before) / MIB for name, watch in watches.items()}
        return above, {name: watch.before / MIB for name, watch in watches.items()}, seconds
