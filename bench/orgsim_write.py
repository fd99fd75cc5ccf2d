"""How fast the local org takes writes, beside copying the same bytes over loopback in the same run.

Three rates, each through HTTP to an org in a process of its own, with the ledger's file on disk: single-row updates
through REST collections (200 a call), plain rows through Bulk insert, and rows through Bulk update with rules and
before-images. A Bulk rate runs from the upload to the job's end. The machine's load moves all figures together, so the
ratio is what to compare.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import floors
import httpx
import psutil
from report import Report

from holdfast.orgsim.testing import RunningOrg, start_org

BASE = "/services/data/v62.0"
CALL_ROWS = 200
ROWS = 100_000
RUNS = 3
FLOOR_BYTES = 200_000_000


@dataclass(frozen=True)
class Rate:
    """Rows and bytes of requests, in how many seconds the org took them, and how much CPU its process needed."""

    name: str
    wanted_per_s: int
    rows: int
    sent_bytes: int
    seconds: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


class Writes:
    """Writes to a served org."""

    def __init__(self, org: RunningOrg) -> None:
        headers = {"Authorization": f"Bearer {org.token()}"}
        self._process = psutil.Process(org.pid)
        self._http = httpx.Client(base_url=org.url, headers=headers, timeout=600, trust_env=False)

    def insert(self, rows: int) -> tuple[Rate, list[str]]:
        """Plain contacts through Bulk; the rate and the new ids."""
        lines = (
            f"Person {n},First{n},p{n}@example.org,+1 555 {n},Street {n},City {n % 97},About {n}\n" for n in range(rows)
        )
        head = "LastName,FirstName,Email,Phone,MailingStreet,MailingCity,Description\n"
        data = (head + "".join(lines)).encode()
        job, seconds, cpu = self._bulk("insert", data)
        text = self._http.get(f"{BASE}/jobs/ingest/{job}/successfulResults").text
        ids = [line[1:19] for line in text.splitlines()[1:]]
        return Rate("Bulk insert, plain rows", 100_000, rows, len(data), seconds, cpu), ids

    def update(self, ids: list[str]) -> Rate:
        """Bulk updates of a required, a checked, a lookup and two text fields."""
        lines = (
            f"{record_id},Renamed {n},n{n}@example.org,{ids[(n + 1) % len(ids)]},+1 777 {n},Now {n}\n"
            for n, record_id in enumerate(ids)
        )
        data = ("Id,LastName,Email,ReportsToId,Phone,Description\n" + "".join(lines)).encode()
        _, seconds, cpu = self._bulk("update", data)
        return Rate("Bulk update, with rules", 20_000, len(ids), len(data), seconds, cpu)

    def collections(self, ids: list[str]) -> Rate:
        """Updates through REST, 200 records a call, one call after the other."""
        bodies = [
            json.dumps(
                {
                    "allOrNone": False,
                    "records": [
                        {"attributes": {"type": "Contact"}, "id": i, "Phone": f"+1 888 {i[-6:]}", "Title": "Dr"}
                        for i in ids[start : start + CALL_ROWS]
                    ],
                }
            ).encode()
            for start in range(0, len(ids), CALL_ROWS)
        ]
        headers = {"Content-Type": "application/json"}
        started, cpu_before = time.perf_counter(), self._cpu()
        for body in bodies:
            answer = self._http.patch(f"{BASE}/composite/sobjects", content=body, headers=headers)
            assert all(result["success"] for result in answer.json()), answer.text[:500]
        seconds, cpu = time.perf_counter() - started, self._cpu() - cpu_before
        size = sum(map(len, bodies))
        return Rate("REST collections, updates", 5_000, len(ids), size, seconds, cpu)

    def _bulk(self, operation: str, data: bytes) -> tuple[str, float, float]:
        job = self._http.post(f"{BASE}/jobs/ingest", json={"object": "Contact", "operation": operation}).json()["id"]
        url = f"{BASE}/jobs/ingest/{job}"
        started, cpu = time.perf_counter(), self._cpu()
        self._http.put(f"{url}/batches", content=data, headers={"Content-Type": "text/csv"}).raise_for_status()
        self._http.patch(url, json={"state": "UploadComplete"}).raise_for_status()
        while (info := self._http.get(url).json())["state"] in ("UploadComplete", "InProgress"):
            time.sleep(0.02)
        seconds = time.perf_counter() - started
        assert (info["state"], info["numberRecordsFailed"]) == ("JobComplete", 0), info
        return job, seconds, self._cpu() - cpu

    def _cpu(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


def measure(report: Report, rows: int = ROWS) -> None:
    """All three rates, medians of a few orgs, each with its own floor beside it."""
    runs = [_once(rows) for _ in range(RUNS)]
    report.section(f"Local org: writing, {rows:,} contacts with the ledger on disk", "orgsim-4-writing")
    for rates in zip(*runs, strict=True):
        floor = floors.loopback_rate(FLOOR_BYTES, 1)
        per_s = median(rate.per_s for rate in rates)
        share = median(rate.sent_bytes / rate.seconds for rate in rates) / floor
        wanted = rates[0].wanted_per_s
        met = "met" if per_s >= wanted else "missed"
        per_cpu = median(rate.rows / rate.cpu_s for rate in rates)
        figures = f"{per_s:,.0f} rows/s, {per_cpu:,.0f} per second of the org's CPU, {share:.4f} of loopback"
        report.add(rates[0].name, f"{figures}; aim {wanted:,}: {met}")
    report.add("load of the machine meanwhile", f"{os.getloadavg()[0]:.0f} on {os.cpu_count()} cores")


def _once(rows: int) -> list[Rate]:
    with tempfile.TemporaryDirectory(prefix="orgsim-write-") as folder, start_org(data_dir=Path(folder)) as org:
        writes = Writes(org)
        inserted, ids = writes.insert(rows)
        return [writes.collections(ids[: max(rows // 10, CALL_ROWS)]), inserted, writes.update(ids)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--no-report", action="store_true", help="print only")
    options = parser.parse_args()
    report = Report()
    measure(report, options.rows)
    if not options.no_report:
        report.put_into_page()


if __name__ == "__main__":
    main()
