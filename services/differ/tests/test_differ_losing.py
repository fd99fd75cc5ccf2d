"""A page that can never be committed: its object is given up for its run, all are told, and the next run goes on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from differ_table import AT_ONCE, KEY, Differ, records, run_id

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import DurableStep
from holdfast.common.postgres import Unit
from holdfast.differ import committing, store
from holdfast.differ.losing import FEWEST_FAILURES, Losses

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)


async def fails(differ: Differ, give_up_after: timedelta = AT_ONCE) -> HoldfastError:
    with pytest.raises(HoldfastError) as caught:
        await differ.drain(give_up_after)
    return caught.value


async def lost(differ: Differ) -> list[tuple[int, str]]:
    return [(event["run"], event["reason"]) for event in await differ.said("object.failed")]


async def backed_up(differ: Differ) -> None:
    await differ.stage(1, "baseline", records(1, 2, 3))
    await differ.drain()
    await differ.complete(1, "baseline")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


async def give_up(differ: Differ) -> Path:
    """Run 2 brings changes in three pages, the second of which is damaged; it comes to its end."""
    for number in (1, 2, 3):
        await differ.stage(2, "incremental", records(number, name="b"), seq=number)
    path = await differ.staged_file(2, 2)
    cut(path)
    for _ in range(FEWEST_FAILURES):
        assert await lost(differ) == []
        assert (await fails(differ)).kind is Kind.DAMAGED
    return path


async def test_a_damaged_page_loses_its_object_for_the_run_and_says_so_once(differ: Differ) -> None:
    await backed_up(differ)
    path = await give_up(differ)
    ((run, reason),) = await lost(differ)
    assert run == 2
    assert "Page 2 of Thing__c" in reason and path.name in reason and "is damaged" in reason
    await differ.drain()
    assert await store.staged_pages(differ.db, KEY, 10) == []
    assert [one["page_id"] for one in await differ.said("changes.committed")] == ["page-1-1", "page-2-1"]
    assert len(await lost(differ)) == 1


async def test_what_comes_late_of_a_lost_object_is_left_alone(differ: Differ) -> None:
    await backed_up(differ)
    await give_up(differ)
    await differ.stage(2, "incremental", records(4), seq=4)
    before = await differ.said("object.diffed")
    await differ.complete(2, "incremental")
    await differ.drain()
    assert await differ.said("object.diffed") == before
    assert await store.due_tables(differ.db) == []


async def test_the_next_whole_reading_heals_it(differ: Differ) -> None:
    await backed_up(differ)
    await give_up(differ)
    await differ.stage(3, "full", records(1, 2, 3, name="b"))
    await differ.drain()
    diffed = await differ.complete(3, "full")
    assert (diffed["run"], diffed["counts"]["updated"], diffed["counts"]["unseen"], diffed["gaps"]) == (3, 2, 0, [])
    await differ.stage(4, "incremental", records(4))
    await differ.drain()
    assert (await differ.complete(4, "incremental"))["gaps"] == []


async def test_a_run_that_read_only_newer_changes_does_not_claim_to_be_whole(differ: Differ) -> None:
    await backed_up(differ)
    await give_up(differ)
    await differ.stage(3, "incremental", records(4))
    await differ.drain()
    (gap,) = (await differ.complete(3, "incremental"))["gaps"]
    assert "What run 2 read of Thing__c" in gap


async def test_nothing_is_given_up_before_its_time_and_the_time_outlives_the_process(differ: Differ) -> None:
    await backed_up(differ)
    await differ.stage(2, "incremental", records(1, name="b"))
    path = await differ.staged_file(2, 1)
    whole = path.read_bytes()
    cut(path)
    for _ in range(FEWEST_FAILURES + 2):
        await fails(differ, HOUR)
    assert await lost(differ) == []
    await differ.db.run(DurableStep("test.differ_later"), _hours_pass)
    differ.__post_init__()  # the service starts again
    await fails(differ, HOUR)
    assert len(await lost(differ)) == 1
    path.write_bytes(whole)
    await differ.drain()
    assert len(await differ.said("changes.committed")) == 1, "what is given up stays so"


async def _hours_pass(unit: Unit) -> None:
    await unit.execute("UPDATE page SET failing_since = failing_since - interval '2 hours'")


async def test_a_file_that_is_put_back_in_time_is_committed(differ: Differ) -> None:
    await differ.stage(1, "baseline", records(1))
    path = await differ.staged_file(1, 1)
    whole = path.read_bytes()
    path.unlink()
    assert (await fails(differ, HOUR)).kind is Kind.NOT_FOUND
    path.write_bytes(whole)
    await differ.drain(HOUR)
    assert len(await differ.said("changes.committed")) == 1
    assert await lost(differ) == []


@pytest.mark.parametrize("how", ["cut", "gone"])
async def test_a_damaged_schema_is_named(differ: Differ, how: str) -> None:
    await differ.stage(1, "baseline", records(1))
    (path,) = (differ.folder / "vault").glob("*/schemas/*.json")
    cut(path) if how == "cut" else path.unlink()
    for _ in range(FEWEST_FAILURES):
        await fails(differ)
    ((_, reason),) = await lost(differ)
    assert path.name in reason


async def test_an_object_store_that_is_away_costs_no_object(differ: Differ) -> None:
    await differ.stage(1, "baseline", records(1))
    page = await store.get_page(differ.db, "page-1-1")
    losses = Losses(differ.db, timedelta(0))
    for kind in (Kind.UNAVAILABLE, Kind.FENCED, Kind.TIMEOUT, Kind.UNKNOWN_OUTCOME):
        for _ in range(FEWEST_FAILURES):
            await losses.page_failed(KEY, differ.lease, page, HoldfastError(kind, "Not now."))
    assert await lost(differ) == []
    assert await differ.db.fetchval("SELECT max(failures) FROM page") == 0


class Died(BaseException):
    """The process ended here."""


class DiesAfter(DurableStep):
    def after(self) -> None:
        raise Died


async def test_the_number_of_a_commit_that_was_begun_and_given_up_is_free(
    differ: Differ, monkeypatch: pytest.MonkeyPatch
) -> None:
    await differ.stage(1, "baseline", records(1))
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(committing, "NUMBER_RESERVED", DiesAfter("differ.commit_number_reserved"))
        await differ.drain()
    differ.__post_init__()
    cut(await differ.staged_file(1, 1))
    for _ in range(FEWEST_FAILURES):
        await fails(differ)
    assert len(await lost(differ)) == 1
    await differ.stage(2, "baseline", records(1, 2))
    await differ.drain()
    assert [(one["page_id"], one["commit_seq"]) for one in await differ.said("changes.committed")] == [("page-2-1", 1)]


async def test_an_object_that_cannot_be_confirmed_is_given_up_too(differ: Differ) -> None:
    await backed_up(differ)
    await differ.stage(2, "incremental", records(1, name="b"))
    await differ.drain()
    await differ.db.run(DurableStep("test.differ_altered"), _announce_others)
    for _ in range(FEWEST_FAILURES):
        await fails(differ)
    ((run, reason),) = await lost(differ)
    assert run == 2 and "not those that were read" in reason
    await differ.drain()
    assert [one["run"] for one in await differ.said("object.diffed")] == [1]
    assert (await differ.said("object.failed"))[0]["run_id"] == str(run_id(2))


async def _announce_others(unit: Unit) -> None:
    """A manifest of other pages than those that came."""
    await unit.execute(
        "INSERT INTO manifest (run_id, object, job_id, run, mode, pages, rows, sha256, correlation_id) "
        "VALUES ($1, $2, $3, 2, 'incremental', 1, 1, 'other', $1)",
        run_id(2),
        KEY.object,
        KEY.job_id,
    )
