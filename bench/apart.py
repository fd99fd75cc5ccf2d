"""Holdfast with extractor, differ and the rest each in a process of its own, on embedded servers."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from environments import ROOT

from holdfast.launcher.stack import EmbeddedStack

sys.path.insert(0, str(ROOT))
from tests.integration import harness

GROUPS = [["extractor"], ["differ"], ["connections", "scheduler", "history", "gateway"]]
RUN_TIMEOUT_S = 900
harness.START_TIMEOUT_S = 180.0  # three cold processes on a machine that may be busy


class Apart(harness.Installation):
    """Its processes can be watched and killed one by one."""

    def process(self, service: str) -> psutil.Process:
        """The process of a service."""
        return psutil.Process(self._processes[self._at(service)].pid)

    def crash(self, service: str) -> None:
        """Kill a service as `kill -9` does, and start it again."""
        at = self._at(service)
        self._processes[at].send_signal(signal.SIGKILL)
        self._processes[at].wait()
        self._processes[at] = self._spawn(self._groups[at], self.env)
        self._wait_ready()
        if not self.alive:
            raise RuntimeError(f"{service} did not start again\n{self.log}")

    def completed(self, run_id: str) -> dict[str, Any]:
        """The run, once it has completed."""
        run = self.wait_run(run_id, RUN_TIMEOUT_S)
        if run["state"] != "completed":
            raise RuntimeError(f"the run ended {run['state']}: {run.get('missing')} {run.get('reason')}")
        return run

    def _at(self, service: str) -> int:
        return next(number for number, group in enumerate(self._groups) if service in group)


@contextmanager
def apart(folder: Path) -> Iterator[Apart]:
    """A running installation in a fresh folder."""
    data = folder / "services"
    data.mkdir(parents=True)
    stack = EmbeddedStack(folder / "servers")
    stack.start()
    try:
        holdfast = Apart(data, kafka=stack.kafka_servers, dsn=stack.postgres.ensure_database("bench"), groups=GROUPS)
        holdfast.env["HOLDFAST_LOG_LEVEL"] = "warning"
        try:
            holdfast.start()
            yield holdfast
        finally:
            holdfast.stop()
    finally:
        stack.stop()
