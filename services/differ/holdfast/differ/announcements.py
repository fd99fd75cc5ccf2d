"""What the rest of the world hears of commits."""

from __future__ import annotations

from holdfast.common.contracts.differ import ChangeCounts, ChangesCommitted
from holdfast.differ.store import PageRow, TableKey
from holdfast.vault.refs import Committed, Counts


def changes_committed(
    key: TableKey, page: PageRow, table: str, commit_seq: int, committed: Committed
) -> ChangesCommitted:
    """What the rest of the world hears of a commit."""
    return ChangesCommitted(
        job_id=key.job_id,
        run_id=page.run_id,
        run=page.run,
        object=key.object,
        table=table,
        commit_seq=commit_seq,
        version=committed.version,
        page_id=page.page_id,
        counts=change_counts(committed.counts),
        chain_head=committed.chain_head.head,
    )


def change_counts(counts: Counts) -> ChangeCounts:
    """The vault's counts as the public event has them."""
    return ChangeCounts(
        captured=counts.captured,
        created=counts.created,
        updated=counts.updated,
        touched=counts.touched,
        deleted=counts.deleted,
        undeleted=counts.undeleted,
    )
