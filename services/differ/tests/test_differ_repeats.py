"""Pages, manifests and crashes against a real Postgres and a vault in a folder: what is said, and how often."""

from __future__ import annotations

import shutil

import pytest
from differ_table import KEY, Differ, records, run_id

from holdfast.common.contracts.differ import ChangeCounts
from holdfast.common.contracts.extractor import PageMode
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import DurableStep
from holdfast.common.postgres_errors import RetryUnitError
from holdfast.differ import committing, store
from holdfast.differ.store import PageRow

pytestmark = pytest.mark.integration


class LosesFirstAnswer(DurableStep):
    """A commit that is stored and whose answer gets lost, once."""

    def after(self) -> None:
        if not _lost:
            _lost.append(True)
            raise RetryUnitError(Kind.UNAVAILABLE, "The database is not reachable right now.")


_lost: list[bool] = []


async def test_a_commit_whose_answer_is_lost_is_announced_once(differ: Differ, monkeypatch: pytest.MonkeyPatch) -> None:
    _lost.clear()
    monkeypatch.setattr(committing, "COMMIT_RECORDED", LosesFirstAnswer(committing.COMMIT_RECORDED.name))
    await differ.stage(1, "baseline", records(1, 2))
    await differ.commit_all()
    assert _lost
    assert [event["counts"]["captured"] for event in await differ.said("changes.committed")] == [2]


async def test_records_that_a_repeated_baseline_does_not_return_are_unseen(differ: Differ) -> None:
    await differ.stage(1, "baseline", records(1, 2, 3))  # the object failed after this page
    await differ.commit_all()
    await differ.stage(2, "baseline", records(1, 2))
    await differ.commit_all()
    diffed = await differ.complete(2, "baseline")
    assert diffed["counts"]["unseen"] == 1
    assert len(diffed["gaps"]) == 1


async def test_an_empty_repeated_baseline_says_what_it_did_not_return(differ: Differ) -> None:
    await differ.stage(1, "baseline", records(1, 2, 3))
    await differ.commit_all()
    assert (await differ.complete(2, "baseline"))["counts"]["unseen"] == 3


async def test_what_the_extractor_could_not_read_is_said_beside_what_was_not_returned(differ: Differ) -> None:
    await differ.stage(1, "baseline", records(1, 2, 3))
    await differ.commit_all()
    await differ.complete(1, "baseline")
    await differ.stage(2, "full", records(1, 2))
    await differ.commit_all()
    said = (await differ.complete(2, "full", ["The user can no longer read Fax of Thing__c."]))["gaps"]
    assert said[0] == "The user can no longer read Fax of Thing__c."
    assert "1 record is in the backup and not in the org (a00Hn0000000003IAA)" in said[1] and len(said) == 2


async def test_a_first_baseline_has_seen_all_it_holds(differ: Differ) -> None:
    await differ.stage(1, "baseline", records(1, 2))
    await differ.stage(1, "baseline", records(2, 3), seq=2)
    await differ.commit_all()
    diffed = await differ.complete(1, "baseline")
    assert (diffed["counts"]["captured"], diffed["counts"]["unseen"], diffed["gaps"]) == (3, 0, [])


@pytest.mark.parametrize("fault", ["rolled back", "gone"])
async def test_a_reading_without_changes_does_not_confirm_a_table_that_lost_commits(differ: Differ, fault: str) -> None:
    for run in (1, 2):
        await differ.stage(run, "incremental", records(run))
        await differ.commit_all()
    table = differ.root.path(f"{KEY.job_id}/records/{KEY.object}")
    assert table is not None
    if fault == "gone":
        shutil.rmtree(table)
    else:
        max((table / "_delta_log").glob("*.json")).unlink()
    differ.tables.forget(KEY)  # the service starts again
    with pytest.raises(HoldfastError) as caught:
        await differ.complete(3, "incremental")
    assert caught.value.kind is Kind.DAMAGED
    assert await differ.said("object.diffed") == []


class Died(BaseException):
    """The process ended here."""


class DiesBefore(DurableStep):
    def before(self) -> None:
        raise Died


async def full_reading(differ: Differ, pages: int) -> list[PageRow]:
    """A baseline of so many pages, in the table, and the same pages again, staged by a full reading."""
    runs: list[tuple[int, PageMode]] = [(1, "baseline"), (2, "full")]
    for run, mode in runs:
        await differ.commit_all()
        for seq in range(1, pages + 1):
            await differ.stage(run, mode, records(2 * seq, 2 * seq + 1), seq=seq)
    return await store.staged_pages(differ.db, KEY, 64)


async def test_pages_that_say_nothing_new_are_recorded_several_at_once(differ: Differ) -> None:
    staged, settled = await full_reading(differ, 20), []
    while staged:
        settled.append(await differ.committer.commit(KEY, differ.lease, staged))
        staged = staged[settled[-1] :]
    assert settled == [1, 2, 4, 8, 5]
    diffed = await differ.complete(2, "full")
    assert (diffed["counts"]["unseen"], diffed["gaps"]) == (0, [])
    assert {event["run"] for event in await differ.said("changes.committed")} == {1}
    pages = await store.pages_of_object(differ.db, run_id(2), KEY.object)
    assert [page.counts for page in pages] == [ChangeCounts()] * 20


@pytest.mark.parametrize("dies", ["before", "after"])
async def test_repeats_whose_record_is_interrupted_are_settled_once(
    differ: Differ, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    staged = await full_reading(differ, 4)
    await differ.committer.commit(KEY, differ.lease, staged)
    with monkeypatch.context() as patch, pytest.raises(Died):
        step = (DiesBefore if dies == "before" else DiesAfter)(committing.COMMIT_RECORDED.name)
        patch.setattr(committing, "COMMIT_RECORDED", step)
        await differ.committer.commit(KEY, differ.lease, staged[1:])
    left = await store.staged_pages(differ.db, KEY, 64)
    assert len(left) == (3 if dies == "before" else 1)
    await differ.commit_all()
    diffed = await differ.complete(2, "full")
    assert diffed["counts"]["unseen"] == 0
    assert len(await differ.said("changes.committed")) == 4


async def test_who_lost_the_table_records_no_repeats(differ: Differ) -> None:
    staged = await full_reading(differ, 4)
    await differ.committer.commit(KEY, differ.lease, staged)
    await differ.db.fetch("UPDATE lease SET epoch = epoch + 1")
    with pytest.raises(HoldfastError) as caught:
        await differ.committer.commit(KEY, differ.lease, staged[1:])
    assert caught.value.kind is Kind.FENCED
    assert len(await store.staged_pages(differ.db, KEY, 64)) == 3


class DiesAfter(DurableStep):
    def after(self) -> None:
        raise Died


@pytest.mark.parametrize(
    ("step", "dies"),
    [("NUMBER_RESERVED", DiesAfter), ("COMMIT_RECORDED", DiesBefore), ("COMMIT_RECORDED", DiesAfter)],
    ids=["reserved, not committed", "committed, not recorded", "recorded, not known"],
)
async def test_a_commit_that_was_begun_is_settled_once_before_any_other(
    differ: Differ, monkeypatch: pytest.MonkeyPatch, step: str, dies: type[DurableStep]
) -> None:
    await differ.stage(1, "baseline", records(1, 2))
    await differ.stage(2, "incremental", records(2, 3, name="b"))
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(committing, step, dies(getattr(committing, step).name))
        await differ.commit_all()

    differ.__post_init__()  # the service starts again, and is handed the later page first
    later = await store.get_page(differ.db, "page-2-1")
    await differ.committer.commit(KEY, differ.lease, [later])
    assert [event["page_id"] for event in await differ.said("changes.committed")][:1] == ["page-1-1"]
    await differ.commit_all()

    said = await differ.said("changes.committed")
    assert [(event["page_id"], event["commit_seq"]) for event in said] == [("page-1-1", 1), ("page-2-1", 2)]
    assert (said[0]["counts"]["captured"], said[1]["counts"]["updated"]) == (2, 1)
    row = await store.get_table(differ.db, KEY)
    assert (row.commit_seq, row.pending_page, row.records) == (2, None, 3)
    assert row.chain_head == (await differ.tables.get(KEY, row)).head.head
    assert await store.staged_pages(differ.db, KEY, 10) == []
