"""Benchmarks, all or by name: `python bench/run.py B1 B3`. Writes `bench/results/` and `docs/performance.md`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import b1_baseline
import b2_far
import b3_calls
import b4_diff
import b5_bytes
import b8_memory
import b9_fidelity
import b10_kill
import idle
import orgsim_read
import orgsim_write
from options import Options
from report import Report

Benchmark = Callable[[Report, Options], None]


def _orgsim(report: Report, options: Options) -> None:
    orgsim_read.measure(report, 10_000_000 if options.large else 0)
    orgsim_write.measure(report)


ALL: dict[str, Benchmark] = {
    "B1": b1_baseline.measure,
    "B2": b2_far.measure,
    "B3": b3_calls.measure,
    "B4": b4_diff.measure,
    "B5": b5_bytes.measure,
    "B8": b8_memory.measure,
    "B9": b9_fidelity.measure,
    "B10": b10_kill.measure,
    "idle": idle.measure,
    "orgsim": _orgsim,
}


def main() -> int:
    """Command line; 1 if a benchmark broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)}; all by default")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--large", action="store_true", help="the large sizes too: about an hour")
    size.add_argument("--quick", action="store_true", help="small sizes that only show that it works; nothing is kept")
    parser.add_argument("--no-report", action="store_true", help="print only")
    given = parser.parse_args()
    names = {name.lower(): name for name in ALL}
    unknown = [name for name in given.names if name.lower() not in names]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]}; there are {', '.join(ALL)}")
    broken = []
    for name in [names[each.lower()] for each in given.names] or list(ALL):
        report, started = Report(), time.perf_counter()
        folder = Path(tempfile.mkdtemp(prefix=f"holdfast-bench-{name}-"))
        try:
            ALL[name](report, Options(folder, large=given.large, quick=given.quick))
        except Exception:
            traceback.print_exc()
            broken.append(name)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(f"\n{name} took {time.perf_counter() - started:.0f} s", flush=True)
        if not given.no_report and not given.quick and name not in broken:
            report.put_into_page()  # after each, so that what comes later cannot lose it
    if broken:
        print(f"Broken: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
