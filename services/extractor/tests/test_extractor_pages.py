"""Large Bulk results: pages side by side, what a killed worker fetches again, and answers that lie."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from holdfast.common.clock import SystemClock
from holdfast.common.errors import HoldfastError
from holdfast.extractor.bulk_source import BulkPace, BulkSource, BulkStart
from holdfast.extractor.reading import Elsewhere
from holdfast.extractor.result_pages import FIRST, Lookahead, Place, ResultReader
from holdfast.extractor.soql import ObjectQuery
from holdfast.orgsim.testing import RunningOrg, start_org
from holdfast.salesforce.models import BulkPage, JobInfo, ResultPages

pytestmark = pytest.mark.integration
Make = Callable[..., Any]
RESULTS = "jobs/query/[^/]+/results"
PARALLEL = {"extractor_page_bytes": 100_000}


@pytest.fixture(scope="module")
def one_org() -> Iterator[RunningOrg]:
    """An org whose listed pages are small."""
    with start_org(extra=["--bulk-page-bytes", "60000"]) as running:
        yield running


def define(org: RunningOrg, name: str, rows: int) -> list[str]:
    fields = [{"name": "Text__c", "type": "string", "length": 255}]
    return org.define(name, fields, [{"Name": f"{n}", "Text__c": "text"} for n in range(rows)])


def staged(events: list[tuple[str, dict[str, Any]]]) -> int:
    return sum(body["rows"] for kind, body in events if kind == "page.staged")


async def test_pages_are_fetched_side_by_side_and_once(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 6000)
    org.faults({"path": RESULTS, "count": None, "effect": {"latency_s": 0.5}})
    began = time.monotonic()
    events = await harness(**PARALLEL).run(thing)
    took = time.monotonic() - began
    pages = org.calls()["bulk_pages"]
    assert staged(events) == 6000
    assert len(pages) > 10 and {page["fetched"] for page in pages} == {1}
    assert took < len(pages) * 0.5 / 2, "one after the other would take twice as long, and more"


async def test_a_killed_worker_costs_no_more_than_the_pages_on_their_way(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 6000)
    one = harness(**PARALLEL, extractor_pages_ahead=3)
    org.faults({"path": RESULTS, "skip": 7, "count": 4, "effect": {"latency_s": 60}})
    async with one.running():
        run_id = await one.request(thing)
        async with asyncio.timeout(20):
            while await one.db.fetchval("SELECT count(*) FROM page") < 7:
                await asyncio.sleep(0.01)
    org.clear_faults()
    two = harness(**PARALLEL)
    async with two.running():
        events = await two.finished(run_id)
    assert staged(events) == 6000
    again = sum(page["fetched"] - 1 for page in org.calls()["bulk_pages"])
    assert again <= 4, "a page per connection at most"
    sequence = [body["seq"] for kind, body in events if kind == "page.staged"]
    assert sequence == list(range(1, len(sequence) + 1))


class LongResult:
    """A client for one result of many pages; knows which were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def result_pages(self, job_id: str, listing: str | None) -> ResultPages:
        first = int(listing or 0)
        return ResultPages(tuple(f"{n}" for n in range(first, first + 5)), f"{first + 5}" if first < 20 else None)

    async def download_from(self, job_id: str, address: str) -> BulkPage:
        self.asked.append(address)
        await asyncio.sleep(0)
        return BulkPage(b"x", 1, None)


async def test_no_more_pages_are_asked_for_than_may_be_fetched_again() -> None:
    org = LongResult()
    reader = ResultReader(org, "750", FIRST, Lookahead(3, 1000))  # type: ignore[arg-type]
    for _ in range(3):
        assert await reader.next()
        await asyncio.sleep(0.01)
        assert len(org.asked) <= 4, "those before are not durable yet"
    for durable in range(1, 21):
        reader.settled()
        await asyncio.sleep(0.01)
        assert len(org.asked) <= durable + 4, "a page per connection at most is not durable"
        assert await reader.next()
        await asyncio.sleep(0.01)
        assert len(org.asked) == min(durable + 4, 25), "and no connection is idle"
    await reader.close()


HEADER = b'"Id","Name"\n'
QUERY = ObjectQuery("Thing__c", ("Id", "Name"))


def rows(*numbers: int) -> bytes:
    return b"".join(b'"a00%015d","x"\n' % number for number in numbers)


class LyingOrg:
    """Answers for one job of three pages of two rows, as far as it is not told otherwise."""

    retired = None

    def __init__(self, listed: bool = False) -> None:
        self.listed = listed
        self.total = 6
        self.asked: list[int | None] = []
        self.answers: dict[str, list[BulkPage]] = {
            "": [BulkPage(HEADER + rows(1, 2), 2, "b")],
            "b": [BulkPage(HEADER + rows(3, 4), 2, "c")],
            "c": [BulkPage(HEADER + rows(5, 6), 2, None)],
        }

    async def get_query_job(self, job_id: str) -> JobInfo:
        return JobInfo(id=job_id, state="JobComplete", number_records_processed=self.total)

    async def result_pages(self, job_id: str, listing: str | None) -> ResultPages:
        return ResultPages(("", "b"), "more") if listing is None else ResultPages(("c",), None)

    async def download_from(self, job_id: str, address: str) -> BulkPage:
        return await self.download_page(job_id, address, None)

    async def download_page(self, job_id: str, locator: str | None, rows: int | None) -> BulkPage:
        self.asked.append(rows)
        answers = self.answers[locator or ""]
        return answers.pop(0) if len(answers) > 1 else answers[0]


async def read(
    org: LyingOrg, place: str | None = None, bodies: tuple[str, ...] = (), page_rows: int = 1000
) -> list[str]:
    """The ids that a source brings, a page that is not believed being fetched up to three times, as staging does."""

    async def created(job_id: str, created_at: datetime | None) -> None:
        raise AssertionError("there is a job")

    source = BulkSource(
        org,  # type: ignore[arg-type]
        QUERY,
        BulkStart("750", place, 0, 0, bodies),
        created=created,
        clock=SystemClock(),
        pace=BulkPace(page_rows, timedelta(0), timedelta(0), timedelta(hours=1), 0 if org.listed else 1000),
        lookahead=Lookahead(2, 1 << 20),
    )
    found: list[str] = []
    try:
        while (fetched := await source.next()) is not None:
            for tries_left in reversed(range(3)):
                try:
                    found += fetched.parse().column("Id").to_pylist()
                    break
                except HoldfastError:
                    if not tries_left:
                        raise
                fetched = await fetched.again()
    finally:
        await source.close()
    return found


ALL = [row.decode()[1:19] for row in rows(1, 2, 3, 4, 5, 6).split(b"\n")[:-1]]
LIES: dict[str, Callable[[LyingOrg], object]] = {
    "a page cut on a row boundary": lambda org: org.answers["b"].insert(0, BulkPage(HEADER + rows(3), 2, "c")),
    "a page cut inside a quoted value": lambda org: org.answers["b"].insert(
        0, BulkPage(HEADER + rows(3, 4)[:-3], 2, "c")
    ),
    "a page repeated in place of another": lambda org: org.answers["b"].insert(
        0, BulkPage(HEADER + rows(1, 2), 2, "c")
    ),
    "the header among the rows": lambda org: org.answers["b"].insert(0, BulkPage(HEADER + HEADER + rows(3), 2, "c")),
    "another header": lambda org: org.answers["b"].insert(0, BulkPage(b'"Name","Id"\n' + rows(3, 4), 2, "c")),
}


@pytest.mark.parametrize("listed", [False, True], ids=["by locator", "side by side"])
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_page_that_lies_is_fetched_again(lie: Callable[[LyingOrg], object], listed: bool) -> None:
    org = LyingOrg(listed)
    lie(org)
    assert await read(org) == ALL


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_page_that_goes_on_lying_is_not_taken(lie: Callable[[LyingOrg], object]) -> None:
    org = LyingOrg()
    lie(org)
    del org.answers["b"][1:]
    with pytest.raises(HoldfastError):
        await read(org)


async def test_a_repeated_page_is_known_by_those_that_are_durable() -> None:
    org = LyingOrg()
    first: list[str] = []

    async def bodies() -> None:
        source = BulkSource(
            org,  # type: ignore[arg-type]
            QUERY,
            BulkStart("750", None, 0),
            created=lambda job, at: _nothing(),
            clock=SystemClock(),
            pace=BulkPace(1000, timedelta(0), timedelta(0), timedelta(hours=1), 1000),
            lookahead=Lookahead(0, 1),
        )
        fetched = await source.next()
        assert fetched is not None
        first.append(fetched.body)

    await bodies()
    org.answers["b"] = [BulkPage(HEADER + rows(1, 2), 2, "c")]
    with pytest.raises(HoldfastError, match="what another page"):
        await read(org, "b", tuple(first))


def _nothing() -> Awaitable[None]:
    return asyncio.sleep(0)


@pytest.mark.parametrize(
    ("locator", "page"),
    [("c", BulkPage(HEADER + rows(5, 6), 2, "b")), ("b", BulkPage(HEADER + rows(3, 4), 2, "b"))],
    ids=["back to an earlier page", "the same page again"],
)
async def test_locators_that_lead_back_are_noticed(locator: str, page: BulkPage) -> None:
    org = LyingOrg()
    org.answers[locator] = [page]
    with pytest.raises(Elsewhere, match="follows twice"):
        await read(org)


@pytest.mark.parametrize("total", [5, 7], ids=["fewer promised", "more promised"])
@pytest.mark.parametrize("listed", [False, True], ids=["by locator", "side by side"])
async def test_the_pages_must_come_to_what_the_job_counted(total: int, listed: bool) -> None:
    org = LyingOrg(listed)
    org.total = total
    with pytest.raises(Elsewhere, match=re.escape(f"6 of {total} rows came")):
        await read(org)


async def test_the_pages_of_a_result_are_of_one_size() -> None:
    org = LyingOrg()
    await read(org, page_rows=5)
    assert set(org.asked) == {6}, "one row more is no page of its own"
    org = LyingOrg()
    await read(org, page_rows=4)
    assert set(org.asked) == {3}, "not four and two"


@pytest.mark.parametrize("place", [None, "1@", "0@more"], ids=["all", "after a page", "next listing"])
async def test_a_listed_result_goes_on_at_its_place(place: str | None) -> None:
    org = LyingOrg(listed=True)
    org.total = {None: 6, "1@": 4, "0@more": 2}[place]
    assert await read(org, place) == ALL[-org.total :]
    assert place is None or str(Place.parse(place)) == place
    assert Place.parse("MTAwMDox") is None
