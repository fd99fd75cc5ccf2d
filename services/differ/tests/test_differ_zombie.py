"""A replica that stands still while another takes its table, and then goes on, adds nothing."""

from __future__ import annotations

from datetime import timedelta

import duckdb
import pytest
from differ_table import KEY, Differ, records

from holdfast.common.clock import SystemClock
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.leases import Leases
from holdfast.differ import store
from holdfast.differ.committing import Committer, Turn
from holdfast.vault.refs import Committed

pytestmark = pytest.mark.integration


async def _another_takes_over(paused: Differ) -> None:
    """The paused replica's term runs out; the other one finishes all of the table's work."""
    await paused.lease.release()
    other = Leases(paused.db, SystemClock(), "other")
    lease = await other.acquire(paused.lease.name, timedelta(seconds=30))
    assert lease is not None and lease.epoch > paused.lease.epoch
    await Differ(paused.db, paused.folder, lease).commit_all()
    await lease.release()


@pytest.mark.parametrize("stands_still", ["before the Delta commit", "after the Delta commit"])
async def test_who_comes_back_late_is_fenced(
    differ: Differ, monkeypatch: pytest.MonkeyPatch, stands_still: str
) -> None:
    await differ.stage(1, "baseline", records(1, 2))
    await differ.stage(2, "incremental", records(2, 3, name="b"))
    make, reserve = Committer._make, Committer._reserve
    paused: list[str] = []

    async def reserve_and_pause(self: Committer, turn: Turn) -> None:
        await reserve(self, turn)
        if self is differ.committer and not paused:
            paused.append(stands_still)
            await _another_takes_over(differ)

    async def make_and_pause(self: Committer, turn: Turn) -> Committed:
        made = await make(self, turn)
        if self is differ.committer and not paused:
            paused.append(stands_still)
            await _another_takes_over(differ)
        return made

    if stands_still.startswith("before"):
        monkeypatch.setattr(Committer, "_reserve", reserve_and_pause)
    else:
        monkeypatch.setattr(Committer, "_make", make_and_pause)
    with pytest.raises(HoldfastError) as caught:
        await differ.commit_all()
    # Refused by the lease, or already by the Delta log, which has moved on.
    assert paused and caught.value.kind in (Kind.FENCED, Kind.UNAVAILABLE)

    said = await differ.said("changes.committed")
    assert [(event["page_id"], event["commit_seq"]) for event in said] == [("page-1-1", 1), ("page-2-1", 2)]
    row = await store.get_table(differ.db, KEY)
    assert (row.commit_seq, row.pending_page, row.records) == (2, None, 3)
    files = str(differ.folder / "vault" / f"{KEY.job_id}/records/{KEY.object}/*/*.parquet")
    with duckdb.connect() as opened:
        counted = "SELECT count(*), count(DISTINCT _event_id) FROM read_parquet(?)"
        events = opened.execute(counted, [files]).fetchone()
    assert events == (4, 4)
