"""What the processes cost while nothing happens."""

from __future__ import annotations

import time

from installation import MIB, up
from options import Options
from report import Report

IDLE_S = 20.0


def measure(report: Report, options: Options) -> None:
    """CPU and memory of each process."""
    with up(options.folder / "idle") as holdfast:
        processes = holdfast.processes()
        for process in processes.values():
            process.cpu_percent()
        time.sleep(IDLE_S)
        report.section(f"Idle, over {IDLE_S:.0f} s", "idle")
        for name, process in processes.items():
            report.add(name, f"{process.cpu_percent():.1f} % CPU, {process.memory_info().rss / MIB:.0f} MiB")
