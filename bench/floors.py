"""What a baseline cannot be faster than: `curl` fetching the same pages, and the bare pipeline without a product.

The bare pipeline is fetch -> parse -> canonical text -> fingerprint -> Parquet in one process, nothing durable,
nothing recorded, nothing committed. Both read Bulk API 2.0 pages of jobs that are already complete.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from holdfast.extractor.planning import bulk_page_rows
from holdfast.extractor.settings import ExtractorSettings
from holdfast.salesforce.rows import parse_csv
from holdfast.vault.canonical import canonical
from holdfast.vault.page import PageMeta, write_page
from holdfast.vault.schema import FieldType, RecordSchema

VERSION = "v62.0"
FETCHES = 4
PAGE_BYTES = ExtractorSettings.model_fields["extractor_page_bytes"].default
TRANSFORMS = 2
NOT_VALUES = {"address", "location", "base64"}


@dataclass(frozen=True)
class ResultPage:
    """A page of a complete Bulk query job."""

    object: str
    path: str
    rows: int
    schema: RecordSchema


async def complete_jobs(url: str, token: str, objects: list[str]) -> list[ResultPage]:
    """Make a queryAll job per object and walk its pages once, to learn their locators. Pages as Holdfast asks for."""
    pages: list[ResultPage] = []
    async with httpx.AsyncClient(base_url=url, headers=_authorized(token), timeout=120) as http:
        for name in objects:
            schema = await _schema(http, name)
            soql = f"SELECT {','.join(field.name for field in schema.fields)} FROM {name}"
            job = await http.post(f"/services/data/{VERSION}/jobs/query", json={"operation": "queryAll", "query": soql})
            base = f"/services/data/{VERSION}/jobs/query/{job.raise_for_status().json()['id']}"
            while (await http.get(base)).json()["state"] != "JobComplete":
                await asyncio.sleep(0.01)
            locator, most = None, bulk_page_rows(schema.fields, PAGE_BYTES)
            while locator != "null":
                path = f"{base}/results?maxRecords={most}" + (f"&locator={locator}" if locator else "")
                answer = await http.get(path)
                pages.append(ResultPage(name, path, int(answer.headers["Sforce-NumberOfRecords"]), schema))
                locator = answer.headers["Sforce-Locator"]
    return pages


async def _schema(http: httpx.AsyncClient, name: str) -> RecordSchema:
    described = (await http.get(f"/services/data/{VERSION}/sobjects/{name}/describe")).raise_for_status().json()
    fields = [FieldType(f["name"], f["type"]) for f in described["fields"] if f["type"] not in NOT_VALUES]
    return RecordSchema(name, tuple(fields))


def curl_seconds(url: str, token: str, pages: list[ResultPage]) -> float:
    """Wall seconds for `curl`, one process per page, four at a time."""
    started = time.perf_counter()
    waiting, running = list(pages), []
    while waiting or running:
        while waiting and len(running) < FETCHES:
            command = ["curl", "-sf", "-o", "/dev/null", "-H", f"Authorization: Bearer {token}"]
            running.append(subprocess.Popen([*command, url + waiting.pop().path]))
        ended = running.pop(0)
        if ended.wait() != 0:
            raise RuntimeError(f"curl failed: {ended.args[-1]}")
    return time.perf_counter() - started


def one_curl_seconds(url: str, token: str, pages: list[ResultPage]) -> float:
    """Wall seconds for one `curl` that fetches all pages, four at a time."""
    lines = [f'url = "{url}{page.path}"\noutput = "/dev/null"\n' for page in pages]
    config = f'header = "Authorization: Bearer {token}"\n' + "".join(lines)
    command = [
        "curl",
        "-sf",
        "--no-progress-meter",
        "--parallel",
        "--parallel-immediate",
        "--parallel-max",
        str(FETCHES),
        "-K",
        "-",
    ]
    started = time.perf_counter()
    subprocess.run(command, input=config.encode(), check=True, capture_output=True)
    return time.perf_counter() - started


async def bare_pipeline_seconds(url: str, token: str, pages: list[ResultPage]) -> float:
    """Wall seconds for the transformation alone: four fetches and two transformations at a time."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    fetching, transforming = asyncio.Semaphore(FETCHES), asyncio.Semaphore(TRANSFORMS)
    limits = httpx.Limits(max_connections=FETCHES)
    try:
        async with httpx.AsyncClient(base_url=url, headers=_authorized(token), limits=limits, timeout=120) as http:

            async def one(number: int, page: ResultPage) -> None:
                async with fetching:
                    body = (await http.get(page.path)).raise_for_status().content
                    async with transforming:
                        await asyncio.to_thread(_transform, page, number, body, folder)

            started = time.perf_counter()
            await asyncio.gather(*(one(number, page) for number, page in enumerate(pages)))
            return time.perf_counter() - started
    finally:
        shutil.rmtree(folder)


async def curls_seconds(url: str, token: str, pages: list[ResultPage], at_once: int) -> float:
    """Wall seconds for that many `curl`s at a time, each piped into the bare transformation of its page."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    fetching, transforming = asyncio.Semaphore(at_once), asyncio.Semaphore(TRANSFORMS)

    async def one(number: int, page: ResultPage) -> None:
        async with fetching:
            curl = await asyncio.create_subprocess_exec(
                "curl", "-sf", "-H", f"Authorization: Bearer {token}", url + page.path, stdout=subprocess.PIPE
            )
            body, _ = await curl.communicate()
            if curl.returncode != 0:
                raise RuntimeError(f"curl failed: {page.path}")
            async with transforming:
                await asyncio.to_thread(_transform, page, number, body, folder)

    try:
        started = time.perf_counter()
        await asyncio.gather(*(one(number, page) for number, page in enumerate(pages)))
        return time.perf_counter() - started
    finally:
        shutil.rmtree(folder)


def loopback_rate(size: int, connections: int) -> float:
    """Bytes per second from a process that only sends, over loopback, to threads that only receive."""
    command = [sys.executable, "-c", _SENDER, str(size // connections)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender:
        assert sender.stdout is not None
        port = int(sender.stdout.readline())

        def receive() -> None:
            buffer = bytearray(1 << 20)
            with socket.create_connection(("127.0.0.1", port)) as connection:
                while connection.recv_into(buffer):
                    pass

        threads = [threading.Thread(target=receive) for _ in range(connections)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - started
        sender.terminate()
    return size / seconds


_SENDER = """
import socket, sys, threading
def send(connection, size, piece=memoryview(bytes(1 << 18))):
    with connection:
        while size > 0:
            size -= connection.send(piece[:size])
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=send, args=(server.accept()[0], int(sys.argv[1])), daemon=True).start()
"""


def _transform(page: ResultPage, number: int, body: bytes, folder: Path) -> None:
    table = canonical(parse_csv(body, page.rows), page.schema, "bulk")
    meta = PageMeta("bench", page.object, 1, number, str(number), "baseline", page.schema, datetime.now(UTC))
    written = write_page(table, meta, folder / f"{number}.parquet")
    if written.rows != page.rows:
        raise RuntimeError(f"{page.object}: {written.rows} rows of {page.rows}")


def _authorized(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
