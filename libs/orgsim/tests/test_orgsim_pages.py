"""Bulk result pages: parts of one text that is rendered once."""

import asyncio
import csv
import gzip
import io
import threading
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.orgsim.api.bulk2 import execution, result_file, spool
from holdfast.orgsim.api.bulk2.pages import Pages

V = "/services/data/v62.0"
NASTY = st.none() | st.text(st.sampled_from('"\n\r,;a|'), min_size=1, max_size=6)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of three rows, and results that go to a file after 40 bytes."""
    monkeypatch.setattr(result_file, "BLOCK_ROWS", 3)
    monkeypatch.setattr(spool, "IN_MEMORY_BYTES", 40)


def made(
    rows: list[tuple[str | None, ...]], *, separator: str = ",", newline: str = "\n", page_bytes: int = 60
) -> Pages:
    frame = pl.DataFrame(rows, schema={"A": pl.String, "B": pl.String}, orient="row")
    return Pages(
        frame, ["A", "B"], ["A", "B"], separator=separator, newline=newline, page_bytes=page_bytes, file_id="0Ga1"
    )


async def text_of(pages: Pages, start: int, count: int) -> str:
    region = await pages.page(start, count)
    return (pages.header + b"".join(region.pieces())).decode()


@given(
    rows=st.lists(st.tuples(NASTY, NASTY), max_size=14),
    separator=st.sampled_from([",", "|", "\t"]),
    newline=st.sampled_from(["\n", "\r\n"]),
    size=st.integers(1, 15),
)
@settings(max_examples=60)
def test_pages_of_any_size_are_the_rows_once(
    rows: list[tuple[str | None, str | None]], separator: str, newline: str, size: int
) -> None:
    async def read() -> list[list[str]]:
        pages, found = made(rows, separator=separator, newline=newline), []
        with ThreadPoolExecutor(1) as pool:
            pages.render_first()
            pages.render_rest(pool)
            for start in range(0, max(1, len(rows)), size):
                text = await text_of(pages, start, size)
                parsed = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
                assert parsed[0] == ["A", "B"]
                found += parsed[1:]
        return found

    assert asyncio.run(read()) == [[a or "", b or ""] for a, b in rows]


async def test_a_page_waits_until_its_rows_are_text() -> None:
    pages = made([(str(n), "x" * 20) for n in range(20)])
    pages.render_first()
    last = asyncio.ensure_future(text_of(pages, 18, 2))
    await asyncio.sleep(0)
    assert not last.done()
    with ThreadPoolExecutor(1) as pool:
        pages.render_rest(pool)
        assert [row[0] for row in csv.reader(io.StringIO(await last))] == ["A", "18", "19"]


async def test_a_compressed_page_is_made_once_and_holds_the_header() -> None:
    pages = made([(str(n), "é") for n in range(5)], page_bytes=10_000)
    pages.render_first()
    first, again = await pages.compressed(1, 2), await pages.compressed(1, 2)
    assert gzip.decompress(first.read()).decode() == '"A","B"\n"1","é"\n"2","é"\n'
    assert first.source is again.source


async def test_a_job_at_work_is_in_progress_and_keeps_the_rows_of_its_moment(
    api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "PATIENCE_S", 0.01)
    new_id = (await api.http.post(f"{V}/sobjects/Account", json={"Name": "before"})).json()["id"]
    go, jobs = threading.Event(), api.org.bulk_jobs
    busy = [jobs.pool.submit(go.wait) for _ in range(2)]
    body = {"operation": "query", "query": "SELECT Name FROM Account"}
    job = (await api.http.post(f"{V}/jobs/query", json=body)).json()
    assert job["state"] == "UploadComplete"
    url = f"{V}/jobs/query/{job['id']}"
    assert (await api.http.get(url)).json()["state"] == "InProgress"
    early = await api.http.get(f"{url}/results")
    assert (early.status_code, early.json()[0]["errorCode"]) == (400, "INVALIDJOBSTATE")
    await api.http.patch(f"{V}/sobjects/Account/{new_id}", json={"Name": "after"})
    go.set()
    monkeypatch.setattr(execution, "PATIENCE_S", 10)
    assert (await api.http.get(url)).json()["state"] == "JobComplete"
    assert (await api.http.get(f"{url}/results")).text == '"Name"\n"before"\n'
    assert all(each.result() for each in busy)


async def test_pages_come_compressed_to_those_who_ask(api) -> None:
    await api.http.post(f"{V}/sobjects/Account", json={"Name": "one"})
    body = {"operation": "query", "query": "SELECT Name FROM Account"}
    job = (await api.http.post(f"{V}/jobs/query", json=body)).json()["id"]
    url = f"{V}/jobs/query/{job}/results"
    plain = await api.http.get(url, headers={"Accept-Encoding": "identity"})
    packed = await api.http.get(url, headers={"Accept-Encoding": "gzip"})
    assert ("Content-Encoding" in plain.headers, packed.headers["Content-Encoding"]) == (False, "gzip")
    assert plain.text == packed.text == '"Name"\n"one"\n'
