"""A page of bodies that can never be committed is given up alone: what comes after it goes on, and nobody waits."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from differ_table import KEY, Differ, census, records, run_id

from holdfast.common.contracts.extractor import OrgCount, View
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import DurableStep
from holdfast.common.postgres import Unit
from holdfast.differ import committing, store
from holdfast.differ.losing import FEWEST_FAILURES
from holdfast.vault.reading import record_history

pytestmark = pytest.mark.integration
FILE = f"sha256:{'0' * 64}:1"
BODIES = 1_000_001
ORG = "00D000000000001EAA"


async def backed_up(differ: Differ) -> None:
    await differ.stage(1, "baseline", records(1, 2))
    await differ.drain()
    await differ.complete(1, "baseline")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


async def turns(differ: Differ, kind: Kind = Kind.DAMAGED) -> None:
    """As many turns as it takes to give up, each of which fails."""
    for _ in range(FEWEST_FAILURES):
        with pytest.raises(HoldfastError) as caught:
            await differ.drain()
        assert caught.value.kind is kind


async def committed(differ: Differ) -> list[str]:
    return [one["page_id"] for one in await differ.said("changes.committed")]


@pytest.mark.parametrize("how", ["cut", "gone"])
async def test_a_damaged_page_of_a_complete_object_is_given_up_alone(differ: Differ, how: str) -> None:
    await backed_up(differ)
    await differ.stage_bodies(1, BODIES, {1: FILE})
    await differ.stage_bodies(1, BODIES + 1, {2: FILE})
    await differ.stage(2, "incremental", records(3))
    path = await differ.staged_file(1, BODIES)
    cut(path) if how == "cut" else path.unlink()
    await turns(differ, Kind.DAMAGED if how == "cut" else Kind.NOT_FOUND)
    await differ.drain()
    assert await committed(differ) == ["page-1-1", f"page-1-{BODIES + 1}", "page-2-1"]
    (lost,) = await differ.said("bodies.failed")
    assert (lost["page_id"], lost["run"], lost["run_id"]) == (f"page-1-{BODIES}", 1, str(run_id(1)))
    assert path.name in lost["reason"]
    assert (await differ.complete(2, "incremental"))["gaps"] == []
    assert await differ.said("object.failed") == []
    assert await store.due_tables(differ.db) == []


async def test_a_damaged_page_of_bodies_does_not_take_an_open_object_with_it(differ: Differ) -> None:
    await differ.stage(1, "baseline", records(1, 2))
    await differ.stage_bodies(1, BODIES, {1: FILE})
    cut(await differ.staged_file(1, BODIES))
    await turns(differ)
    await differ.drain()
    assert (await differ.complete(1, "baseline"))["counts"]["captured"] == 2
    assert len(await differ.said("bodies.failed")) == 1
    assert await differ.said("object.failed") == []


async def test_bodies_of_an_object_that_was_given_up_are_added_all_the_same(differ: Differ) -> None:
    await backed_up(differ)
    await differ.stage(2, "incremental", records(3))
    cut(await differ.staged_file(2, 1))
    await turns(differ)
    await differ.stage_bodies(2, BODIES, {3: FILE})
    await differ.settle()
    assert (await committed(differ))[-1] == f"page-2-{BODIES}", "no later run asks for these bodies again"
    await differ.stage(3, "full", records(1, 2, 3))
    await differ.drain()
    assert (await differ.complete(3, "full"))["counts"]["created"] == 1


class Died(BaseException):
    """The process ended here."""


class DiesBefore(DurableStep):
    def before(self) -> None:
        raise Died


class DiesAfter(DurableStep):
    def after(self) -> None:
        raise Died


async def test_the_number_that_was_reserved_for_it_is_free(differ: Differ, monkeypatch: pytest.MonkeyPatch) -> None:
    await backed_up(differ)
    await differ.stage_bodies(1, BODIES, {1: FILE})
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(committing, "NUMBER_RESERVED", DiesAfter("differ.commit_number_reserved"))
        await differ.drain()
    differ.__post_init__()
    cut(await differ.staged_file(1, BODIES))
    await turns(differ)
    await differ.stage_bodies(1, BODIES + 1, {1: FILE})
    await differ.drain()
    assert (await committed(differ))[-1] == f"page-1-{BODIES + 1}"


async def test_what_was_given_up_and_stands_in_the_table_all_the_same_is_not_said_again(
    differ: Differ, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backed_up(differ)
    await differ.stage_bodies(1, BODIES, {1: FILE})
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(committing, "COMMIT_RECORDED", DiesBefore("differ.commit_recorded"))
        await differ.drain()
    differ.__post_init__()
    await differ.db.run(DurableStep("test.differ_gave_up"), _gave_up)
    await differ.stage_bodies(1, BODIES + 1, {1: FILE, 2: FILE})
    await differ.drain()
    for record in records(1, 2):
        versions = record_history(differ.root, str(KEY.job_id), KEY.object, record["Id"])
        assert [version.operation for version in versions] == ["captured", "attached"]


async def _gave_up(unit: Unit) -> None:
    """As a process does that could not read the table's log, while the commit was in it."""
    await store.release_commit(unit, KEY, f"page-1-{BODIES}")
    assert await store.give_up_page(unit, f"page-1-{BODIES}", "The log could not be read.")


def said_at_the_end(count: int) -> dict[str, Any]:
    return {
        "count": OrgCount(records=count, at=datetime(2026, 1, 2, tzinfo=UTC)),
        "view": View(organization_id=ORG, user_id="005", sees_all=True, unchanged=True),
    }


async def _whose(unit: Unit) -> None:
    await store.put_job_connection(unit, KEY.job_id, UUID(int=9))
    await store.put_connection_organization(unit, UUID(int=9), ORG)


@pytest.mark.parametrize("mode", ["deletions", "census"])
async def test_a_damaged_list_gives_its_object_up(differ: Differ, mode: Any) -> None:
    await backed_up(differ)
    gone = [{**record, "IsDeleted": "true"} for record in records(2)]
    await differ.stage(2, mode, gone if mode == "deletions" else records(1))
    await differ.extracted(2, "incremental", **said_at_the_end(1))
    cut(await differ.staged_file(2, 1))
    await turns(differ)
    (lost,) = await differ.said("object.failed")
    assert lost["run"] == 2
    assert await store.due_tables(differ.db) == []


async def test_a_damaged_page_of_absence_gives_its_object_up(differ: Differ) -> None:
    await differ.db.run(DurableStep("test.differ_org"), _whose)
    await backed_up(differ)
    await differ.stage(2, "full", records(1))
    await differ.drain()
    await differ.extracted(2, "full", **said_at_the_end(1))
    await differ.drain()  # asks for a list of all that live
    await differ.stage(2, "census", records(1), seq=2)
    listed = {"pass_number": 2, "purpose": "census", "census": census(records(1))}
    await differ.extracted(2, "full", **listed, **said_at_the_end(1))
    await differ.drain()  # stages the absence of the second record
    (path,) = await differ.db.fetch("SELECT path FROM page WHERE own AND NOT committed")
    cut(Path(str(differ.root.path(path[0]))))
    await turns(differ)
    assert [one["run"] for one in await differ.said("object.failed")] == [2]
    assert await store.staged_pages(differ.db, KEY, 10) == []
    assert await store.complete_manifests(differ.db, KEY) == []
    assert [one["run"] for one in await differ.said("object.diffed")] == [1]
