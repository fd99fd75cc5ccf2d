"""A page of bodies that never came into the vault: its files are missing, and said to be, until they are attached."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from extractor_files import QUICK, Fetching, Uploads, cell

from holdfast.common.contracts.differ import BodiesGivenUp
from holdfast.extractor.files.losing import lose_page
from holdfast.extractor.files.steps import BODIES_LOST
from holdfast.orgsim.testing import RunningOrg

pytestmark = pytest.mark.integration
Make = Callable[..., Any]
CONTENTS = [b"one", b"two", b"three"]


@pytest.fixture
def uploads(org: RunningOrg) -> Iterator[Uploads]:
    with contextlib.closing(Uploads(org)) as made:
        yield made


@pytest.fixture
def fetching(harness: Make) -> Fetching:
    # All bodies of a run in one page, however slowly they come.
    return Fetching(harness(**{**QUICK, "extractor_bodies_after": timedelta(minutes=5)}))


async def pages(fetching: Fetching, run_id: Any) -> list[dict[str, Any]]:
    events = await fetching.one.events(run_id)
    return [body for kind, body in events if kind == "page.staged" and body["mode"] == "bodies"]


async def lose(fetching: Fetching, page: dict[str, Any]) -> None:
    names = ("job_id", "run_id", "run", "object", "page_id")
    reason = f"The page {page['path']} is damaged."
    event = BodiesGivenUp(**{name: page[name] for name in names}, reason=reason, code="damaged")
    for _ in range(2):  # Kafka may deliver it twice
        await fetching.one.db.run(BODIES_LOST, lambda unit: lose_page(unit, event))


async def again(fetching: Fetching, run_id: Any, times: int) -> list[dict[str, Any]]:
    """What was said of the run's files, once it was said so often."""
    async with asyncio.timeout(30):
        while len(said := await fetching.said(run_id)) < times:
            await asyncio.sleep(0.05)
    return said


async def states(fetching: Fetching, run_id: Any) -> dict[str, int]:
    rows = await fetching.one.db.fetch("SELECT state, count(*) FROM file WHERE run_id = $1 GROUP BY 1", run_id)
    return {row[0]: row[1] for row in rows}


async def test_files_of_a_lost_page_are_said_to_be_missing_and_attached_from_what_is_stored(
    org: RunningOrg, uploads: Uploads, fetching: Fetching
) -> None:
    ids = uploads.versions(CONTENTS)
    async with fetching.running():
        run_id = await fetching.one.request("ContentVersion")
        await fetching.one.finished(run_id)
        first = await fetching.settled(run_id)
        org.reset_calls()
        (page,) = await pages(fetching, run_id)
        await lose(fetching, page)
        _, lost, whole = await again(fetching, run_id, 3)
    assert (lost["stored"], lost["failed"], lost["bytes"]) == (0, first["files"], 0)
    assert page["path"] in lost["missing"][0]
    assert {name: whole[name] for name in first} == first
    (_, second) = await pages(fetching, run_id)
    assert (second["rows"], second["seq"]) == (page["rows"], page["seq"] + 1)
    truth = org.state("ContentVersion")
    cells = await fetching.cells()
    assert {record: cells[record][-1] for record in ids} == {record: truth[record]["VersionData"] for record in ids}
    assert not [route for route in org.calls()["routes"] if route["route"].endswith("/{field}/{value}")]


async def test_a_body_that_is_gone_as_well_is_fetched_again(
    org: RunningOrg, uploads: Uploads, fetching: Fetching
) -> None:
    ids = uploads.versions([b"first", b"gone", b"third"])
    async with fetching.running():
        run_id = await fetching.one.request("ContentVersion")
        await fetching.one.finished(run_id)
        await fetching.settled(run_id)
        name = hashlib.sha256(b"gone").hexdigest()
        folder = fetching.one.objects.local_path(f"{fetching.one.job_id}/blobs")
        next(folder.rglob(name)).unlink()
        org.reset_calls()
        await lose(fetching, (await pages(fetching, run_id))[0])
        said = await again(fetching, run_id, 3)
    assert (said[-1]["failed"], said[-1]["missing"]) == (0, [])
    cells = await fetching.cells()
    assert [cells[record][-1] for record in ids] == [cell(b"first"), cell(b"gone"), cell(b"third")]
    assert fetching.content(cells[ids[1]][-1]) == b"gone"
    fetched = [route for route in org.calls()["routes"] if route["route"].endswith("/{field}/{value}")]
    assert sum(route["calls"] for route in fetched) == 1


async def test_a_page_that_is_lost_again_and_again_waits_for_the_next_run(
    org: RunningOrg, uploads: Uploads, fetching: Fetching
) -> None:
    uploads.versions([b"only"])
    async with fetching.running():
        run_id = await fetching.one.request("ContentVersion")
        await fetching.one.finished(run_id)
        await fetching.settled(run_id)
        for times in (3, 5, 7):
            await lose(fetching, (await pages(fetching, run_id))[-1])
            await again(fetching, run_id, times)
        await lose(fetching, (await pages(fetching, run_id))[-1])
        last = (await again(fetching, run_id, 8))[-1]
        assert last["failed"] == last["files"]
        assert (await states(fetching, run_id)) == {"failed": last["files"]}
        later = await fetching.one.request("ContentVersion")
        await fetching.one.finished(later)
        assert (await again(fetching, run_id, 9))[-1]["failed"] == 0
    assert (await states(fetching, run_id)) == {"attached": last["files"]}
