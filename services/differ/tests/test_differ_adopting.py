"""Postgres was restored to an older state and the vault was not: the table is right, and nothing comes twice."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from differ_table import KEY, Differ, records

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import DurableStep
from holdfast.common.postgres import Unit
from holdfast.differ import store
from holdfast.differ.tables import Tables
from holdfast.vault.reading import state_at
from holdfast.vault.verify import verify_table

pytestmark = pytest.mark.integration
KEY_BYTES = b"k" * 32


async def three_runs(differ: Differ) -> None:
    await differ.stage(1, "baseline", records(1, 2))
    await differ.stage(2, "incremental", records(2, 3, name="b"))
    await differ.stage(3, "incremental", records(3, 4, name="c"))
    await differ.commit_all()


async def restore(differ: Differ, commits: int, pages: str) -> None:
    """Put Postgres back to when it knew so many commits; the pages after it are not committed, or not known."""
    head = [event["chain_head"] for event in await differ.said("changes.committed")][:commits][-1:] or [""]

    async def work(unit: Unit) -> None:
        await unit.execute(
            "UPDATE vault_table SET commit_seq = $1, chain_head = $2, pending_page = NULL, version = $1", commits, *head
        )
        if pages == "unknown":
            await unit.execute("DELETE FROM page WHERE run > $1", commits)
        await unit.execute(
            "UPDATE page SET committed = false, commit_seq = NULL, version = NULL, counts = '{}' WHERE run > $1",
            commits,
        )
        if pages == "one begun":
            await unit.execute("UPDATE vault_table SET pending_page = $1", f"page-{commits + 1}-1")
        await unit.execute("DELETE FROM outbox")

    await differ.db.run(DurableStep("test.differ_restored"), work)
    differ.__post_init__()  # the service starts again


async def whole(differ: Differ) -> int:
    """Check the table against its row; how many events it holds."""
    row = await store.get_table(differ.db, KEY)
    key = Ed25519PrivateKey.from_private_bytes(KEY_BYTES).public_key()
    report = verify_table(differ.root, str(KEY.job_id), KEY.object, key=key, expected=row.head)
    assert report.whole, report.damage
    assert row.pending_page is None
    assert row.commit_seq == report.head.commit_seq
    return report.rows


@pytest.mark.parametrize("pages", ["not committed", "unknown", "one begun"])
@pytest.mark.parametrize("commits", [0, 1])
async def test_the_database_catches_up_with_the_vault(differ: Differ, commits: int, pages: str) -> None:
    await three_runs(differ)
    before = await whole(differ)
    await restore(differ, commits, pages)
    if pages == "unknown":
        await differ.stage(2, "incremental", records(2, 3, name="b"))  # Kafka brings it again
    await differ.stage(4, "incremental", records(4, 5, name="d"))
    await differ.drain()

    assert await whole(differ) == before + 2, "one updated, one created"
    said = [(one["page_id"], one["commit_seq"]) for one in await differ.said("changes.committed")]
    known_again = [2] if pages == "unknown" else range(commits + 1, 4)
    found = [(f"page-{number}-1", number) for number in known_again]
    assert said == [*found, ("page-4-1", 4)]
    state = state_at(differ.root, str(KEY.job_id), KEY.object, 4)
    assert sorted(state.column("Name").to_pylist()) == ["a", "b", "c", "d", "d"]
    assert await store.staged_pages(differ.db, KEY, 10) == []


async def test_a_run_without_pages_catches_up_too(differ: Differ) -> None:
    await three_runs(differ)
    await restore(differ, 1, "not committed")
    await differ.complete(4, "incremental")
    await whole(differ)
    assert (await store.get_table(differ.db, KEY)).commit_seq == 3


@pytest.mark.parametrize("fault", ["another head", "another signer"])
async def test_commits_that_are_not_ours_are_not_taken_over(differ: Differ, fault: str) -> None:
    await three_runs(differ)
    await restore(differ, 1, "not committed")
    if fault == "another head":
        await differ.db.run(
            DurableStep("test.differ_other_head"),
            lambda unit: unit.execute("UPDATE vault_table SET chain_head = $1", "ab" * 32),
        )
    else:
        other = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
        differ.committer._tables = Tables(differ.root, other, keep=4)
    for _ in range(2):
        with pytest.raises(HoldfastError) as caught:
            await differ.commit_all()
        assert (caught.value.kind, caught.value.code) == (Kind.DAMAGED, "foreign-commits")
    assert (await store.get_table(differ.db, KEY)).commit_seq == 1
    assert await differ.said("changes.committed") == []
