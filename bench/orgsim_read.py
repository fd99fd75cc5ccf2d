"""How fast the local org is read, and how much memory ten million rows take: `make bench-orgsim`.

Each rate stands beside copying the same bytes over loopback in the same run, with the same client.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit

import floors
import httpx
import psutil
from installation import MIB
from report import Report

from holdfast.launcher.demo.data import demo_data
from holdfast.orgsim.org import Org
from holdfast.orgsim.store.generate import generate
from holdfast.orgsim.store.loading import load_folder
from holdfast.orgsim.testing import RunningOrg, start_org

V = "/services/data/v62.0"
COPIES = 70  # of npsp-1k: 1.2 million rows
OBJECT = "OpportunityContactRole"  # the largest one
RUNS = 5
REST_PAGES = 40
MB = 1_000_000


class Client:
    """Reads answers off the socket and drops them: what it costs is the kernel's copying, as for the floor."""

    def __init__(self, org: RunningOrg) -> None:
        self._address = (str(urlsplit(org.url).hostname), int(urlsplit(org.url).port or 80))
        self._token = org.token()
        headers = {"Authorization": f"Bearer {self._token}", "Accept-Encoding": "identity"}
        self.http = httpx.Client(base_url=org.url, headers=headers, timeout=300)

    def read(self, paths: Sequence[str], connections: int = 1) -> tuple[int, float]:
        """Bytes and seconds of reading the paths, each connection taking the next."""
        waiting, sizes = list(reversed(paths)), []

        def work() -> None:
            with closing(socket.create_connection(self._address)) as connection:
                buffer = bytearray(1 << 20)
                while waiting:
                    sizes.append(self._one(connection, waiting.pop(), buffer))

        threads = [threading.Thread(target=work) for _ in range(connections)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(sizes), time.perf_counter() - started

    def _one(self, connection: socket.socket, path: str, buffer: bytearray) -> int:
        request = f"GET {path} HTTP/1.1\r\nHost: org\r\nAuthorization: Bearer {self._token}\r\n\r\n"
        connection.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1 << 16)
        head, _, body = head.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise RuntimeError(head.decode())
        length, got = int(fields[b"content-length"]), len(body)
        while got < length:
            got += connection.recv_into(buffer, min(len(buffer), length - got))
        return length

    def job(self) -> tuple[list[str], float]:
        """Query all of the largest object: the paths of its pages, and the seconds until the job is complete."""
        described = self.http.get(f"{V}/sobjects/{OBJECT}/describe").json()["fields"]
        names = [f["name"] for f in described if f["type"] not in floors.NOT_VALUES]
        started = time.perf_counter()
        body = {"operation": "queryAll", "query": f"SELECT {','.join(names)} FROM {OBJECT}"}
        job = f"{V}/jobs/query/{self.http.post(f'{V}/jobs/query', json=body).raise_for_status().json()['id']}"
        while self.http.get(job).json()["state"] != "JobComplete":
            pass
        seconds = time.perf_counter() - started
        paths, url = [], f"{job}/resultPages"
        while url:
            listed = self.http.get(url).json()
            paths += [page["resultUrl"] for page in listed["resultPages"]]
            url = listed.get("nextRecordsUrl")
        return paths, seconds

    def change_one(self) -> None:
        """Change a row of the largest object, so that no page made before can be served again."""
        found = self.http.get(f"{V}/query?q={quote(f'SELECT Id FROM {OBJECT} LIMIT 1 OFFSET 1000')}").json()
        record_id = found["records"][0]["Id"]
        self.http.patch(f"{V}/sobjects/{OBJECT}/{record_id}", json={"Role": str(time.time())}).raise_for_status()


def loading(report: Report) -> None:
    """How long npsp-1k takes: the load itself, and until an org serves it."""

    def load() -> float:
        org, started = Org(), time.perf_counter()
        load_folder(org, demo_data() / "npsp-1k")
        return time.perf_counter() - started

    def start() -> float:
        started = time.perf_counter()
        with start_org(load=[demo_data() / "npsp-1k"]):
            return time.perf_counter() - started

    report.section("Local org: loading npsp-1k (17,283 rows)", "orgsim-2-loading")
    report.add("aim of the load", "under 1 s")
    report.add("load", f"{statistics.median(load() for _ in range(RUNS)):.2f} s")
    report.add("process start to serving, imports and listeners included", f"{min(start() for _ in range(3)):.2f} s")


def pages(report: Report) -> None:
    """Bulk 2.0 result pages and REST pages, warm and cold."""
    with start_org(load=[demo_data() / "npsp-1k"], multiply=COPIES) as org:
        client = Client(org)
        paths, _ = client.job()
        size, _ = client.read(paths)
        report.section(
            f"Local org: reading, {size / MB:.0f} MB of Bulk 2.0 pages and pages of 2,000 rows by REST",
            "orgsim-3-reading",
        )
        for connections, aim in ((1, 150), (4, 200)):
            rate(report, f"warm Bulk pages, {connections} connections", lambda n=connections: client.read(paths, n),
                 connections, aim)  # fmt: skip

        def cold() -> tuple[int, float]:
            client.change_one()
            made, seconds = client.job()
            size, reading = client.read(made)
            return size, seconds + reading

        rate(report, "Bulk pages after an edit, job included", cold, 1, 60)
        rate(report, "REST pages", lambda: rest(client), 1, 50)


def rest(client: Client) -> tuple[int, float]:
    """Pages of 2,000 rows of the largest object."""
    soql = f"SELECT Id, Role, IsPrimary, ContactId, OpportunityId, CreatedDate, SystemModstamp FROM {OBJECT}"
    first = client.http.get(f"{V}/query?q={quote(soql)}").json()["nextRecordsUrl"]
    stem = first.rpartition("-")[0]
    return client.read([f"{stem}-{2_000 * page}" for page in range(1, REST_PAGES + 1)])


def rate(report: Report, what: str, measure: Callable[[], tuple[int, float]], connections: int, aim: int) -> None:
    """Median of several runs, each beside the floor taken just before."""
    rates, shares = [], []
    for _ in range(RUNS):
        floor = floors.loopback_rate(200 * MB, connections)
        size, seconds = measure()
        rates.append(size / seconds / MB)
        shares.append(size / seconds / floor)
    met = "met" if statistics.median(rates) >= aim else "missed"
    report.add(what, f"{statistics.median(rates):,.0f} MB/s, {statistics.median(shares):.2f} of loopback; "
                     f"aim {aim} MB/s: {met}")  # fmt: skip


def many_rows(report: Report, rows: int) -> None:
    """Make a data set, serve it, and read it, with the peak memory of each."""
    folder = Path(tempfile.mkdtemp(prefix="orgsim-bench-"))
    try:
        report.section(f"Local org: {rows:,} rows of 14 objects", "orgsim-1-many")
        started = time.perf_counter()
        generate(folder / "data", [demo_data() / "npsp-1k", demo_data() / "dotgov"], rows, 7)
        size = sum(file.stat().st_size for file in (folder / "data").glob("*.arrow"))
        peak = peak_memory(psutil.Process().pid)
        report.add("generate", f"{time.perf_counter() - started:.0f} s, {size / 1e9:.2f} GB, peak {peak:,.0f} MiB")
        started = time.perf_counter()
        with start_org(extra=["--data", str(folder / "data")]) as org:
            report.add("start from these files", f"{time.perf_counter() - started:.1f} s; aim 10 s")
            _read_many(report, Client(org), org.pid)
    finally:
        shutil.rmtree(folder)


def _read_many(report: Report, client: Client, pid: int) -> None:
    started = time.perf_counter()
    count = client.http.get(f"{V}/query?q={quote(f'SELECT COUNT() FROM {OBJECT}')}").json()["totalSize"]
    report.add(f"COUNT() of {count:,} rows", f"{time.perf_counter() - started:.2f} s")
    size, seconds = rest(client)
    report.add(f"{REST_PAGES} REST pages", f"{size / seconds / MB:,.0f} MB/s")
    paths, complete = client.job()
    size, seconds = client.read(paths)
    report.add("Bulk job over the largest object, until complete", f"{complete:.2f} s")
    report.add(f"its {size / MB:,.0f} MB, while they are made", f"{size / (complete + seconds) / MB:,.0f} MB/s")
    size, seconds = client.read(paths, 4)
    report.add("the same again, 4 connections", f"{size / seconds / MB:,.0f} MB/s")
    report.add("peak memory of the org after all this", f"{peak_memory(pid):,.0f} MiB; aim 2,000 MB")


def peak_memory(pid: int) -> float:
    """The most that a process held, in MiB."""
    if sys.platform != "linux":
        return psutil.Process(pid).memory_info().rss / MIB
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def measure(report: Report, rows: int = 0) -> None:
    """All of it; without `rows` the large data set is left out."""
    if rows:  # first, while this process is small
        many_rows(report, rows)
    loading(report)
    pages(report)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="0 leaves the large data set out")
    parser.add_argument("--no-report", action="store_true", help="print only")
    options = parser.parse_args()
    report = Report()
    measure(report, options.rows)
    if not options.no_report:
        report.put_into_page()


if __name__ == "__main__":
    main()
