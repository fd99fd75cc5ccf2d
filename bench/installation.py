"""`holdfast up` as a child process, watched from outside: memory and CPU of each of its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from holdfast.launcher.stack.process import free_ports
from holdfast.orgsim.testing import RunningOrg

MIB = 1024 * 1024
READY = "Press Ctrl-C to stop."
RUN_TIMEOUT_S = 900
ENDED = {"completed", "partial", "failed"}


class Holdfast:
    """A running installation and its public API."""

    def __init__(self, process: subprocess.Popen[bytes], data: Path) -> None:
        self.process, self.data = process, data
        api = (data / "api-address").read_text().strip()
        token = (data / "admin-token").read_text().strip()
        self._http = httpx.Client(base_url=f"{api}/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """POST; raises with the answer's words."""
        answer = self._http.post(path, json=body)
        if answer.is_error:
            raise RuntimeError(f"POST {path}: {answer.text}")
        return dict(answer.json())

    def connect(self, org: RunningOrg, url: str = "") -> None:
        """A connection to the org, by an address other than its own if one is given."""
        self.post(
            "/connections", name="org", login_url=url or org.url, flow="client-credentials",
            client_id=org.client_id, secret=org.client_secret,
        )  # fmt: skip

    def job(self, org: RunningOrg, name: str, objects: list[str]) -> str:
        """A job on the org; its id. The first job brings the connection, if there is none."""
        if not self._http.get("/connections").json()["items"]:
            self.connect(org)
        return str(self.post("/jobs", name=name, connection="org", objects=objects)["id"])

    def plan(self, job_id: str) -> dict[str, Any]:
        """What a run that began now would read, and what it would cost."""
        answer = self._http.get(f"/jobs/{job_id}/plan")
        answer.raise_for_status()
        return dict(answer.json())

    def run(self, job_id: str, **options: Any) -> dict[str, Any]:
        """Run a job to its end. `progress.seconds_elapsed` is from request to completion, by the scheduler."""
        run, deadline = self.post(f"/jobs/{job_id}/runs", **options), time.monotonic() + RUN_TIMEOUT_S
        while run["state"] not in ENDED:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the run did not end within {RUN_TIMEOUT_S} s: {run}")
            time.sleep(0.2)
            run = self._http.get(f"/runs/{run['id']}").json()
        if run["state"] != "completed":
            raise RuntimeError(f"the run ended {run['state']}: {run['missing']} {run['reason']}")
        return dict(run)

    def processes(self) -> dict[str, psutil.Process]:
        """The services' process and each server that it started, by name."""
        found = {"services and launcher": psutil.Process(self.process.pid)}
        for child in found["services and launcher"].children(recursive=True):
            name = _name(child)
            if name is not None:
                found.setdefault(name, child)
        return found


def _name(process: psutil.Process) -> str | None:
    command = " ".join(process.cmdline())
    if "kafka.Kafka" in command:
        return "kafka"
    if process.name() == "postgres" and "-D" in process.cmdline():
        return "postgres"
    return None


@contextmanager
def up(data: Path, settings: Mapping[str, str] | None = None) -> Iterator[Holdfast]:
    """`holdfast up` in a fresh folder, with environment variables on top."""
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")},
        "HOLDFAST_DATA": str(data),
        "HOLDFAST_ALLOW_INSECURE_SALESFORCE": "true",
        "HOLDFAST_LOG_LEVEL": "warning",
        "HOLDFAST_GATEWAY_HTTP": f"127.0.0.1:{free_ports([], 1)[0]}",
        **(settings or {}),
    }
    data.mkdir(parents=True)
    with (data / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "holdfast.launcher.main", "up"], env=env, stdout=log, stderr=log
        )
    try:
        while READY not in (data / "up.log").read_text():
            if process.poll() is not None:
                raise RuntimeError((data / "up.log").read_text())
            time.sleep(0.05)
        yield Holdfast(process, data)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


class PeakMemory:
    """Resident memory of a process, sampled every 20 ms while the block runs; in bytes."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.before = self.peak = process.memory_info().rss

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.02):
            self.peak = max(self.peak, self._process.memory_info().rss)
