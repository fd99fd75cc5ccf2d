"""Open vault tables, each held under its lease and known to be up to date with Postgres."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.common.errors import HoldfastError
from holdfast.differ.store import PageRow, TableKey, TableRow
from holdfast.vault.compaction import Policy
from holdfast.vault.location import VaultRoot
from holdfast.vault.log import LogCommit
from holdfast.vault.refs import StagedRef
from holdfast.vault.schema import RecordSchema, schema_key
from holdfast.vault.table import RecordTable
from holdfast.vault.verify import commits_after


class Tables:
    """A bounded cache of open tables. Whoever asks holds the table's lease.

    A cached table whose commit number is not the one in Postgres has been written by another replica in the
    meantime, and is opened afresh.

    Attributes:
        root: The vault.
        signing_key: Signs the chains, and the proofs beside the tables.
    """

    def __init__(self, root: VaultRoot, key: Ed25519PrivateKey, keep: int) -> None:
        self.root, self.signing_key = root, key
        self._keep = keep
        self._open: OrderedDict[TableKey, RecordTable] = OrderedDict()
        self._schemas: dict[tuple[str, str], RecordSchema] = {}

    async def get(self, key: TableKey, row: TableRow, first: PageRow | None = None) -> RecordTable:
        """The table, with its state index covering every commit that Postgres knows of.

        Args:
            first: A page that is about to be committed: a table that is made for it gets its columns at once.
        """
        table = self._open.pop(key, None)
        if table is None or table.head.commit_seq != row.commit_seq or table.version < row.version:
            schema = None
            if first is not None and row.commit_seq == 0:
                schema = await self._schema(str(key.job_id), first.schema_id)
            table = await asyncio.to_thread(
                RecordTable.open_or_create, self.root, str(key.job_id), key.object, self.signing_key, schema
            )
        self._open[key] = table
        while len(self._open) > self._keep:
            self._open.popitem(last=False)
        return table

    async def commits_after(self, key: TableKey, row: TableRow, table: RecordTable) -> list[LogCommit]:
        """The table's commits after the last one that Postgres knows.

        Raises:
            HoldfastError: DAMAGED if they do not follow it, or are not signed by this installation.
        """
        return await asyncio.to_thread(
            commits_after,
            self.root,
            str(key.job_id),
            key.object,
            key=self.signing_key.public_key(),
            known=row.head,
            newest=table.version,
        )

    def worth_compacting(self, key: TableKey, policy: Policy) -> bool:
        """Whether a table that is open has enough small files; nothing is read for the answer."""
        table = self._open.get(key)
        return table is not None and bool(policy.batch(table.index.layout))

    def forget(self, key: TableKey) -> None:
        """Drop a table whose state is in doubt; the next use opens it afresh."""
        self._open.pop(key, None)

    async def staged(self, key: TableKey, page: PageRow) -> StagedRef:
        """A staged page as the vault takes it, with the schema that it was read with."""
        return StagedRef(
            path=page.path,
            page_id=page.page_id,
            run=page.run,
            seq=page.seq,
            rows=page.rows,
            sha256=page.sha256,
            mode=page.mode,
            schema=await self._schema(str(key.job_id), page.schema_id),
            again=page.again,
        )

    async def _schema(self, job_id: str, schema_id: str) -> RecordSchema:
        if (job_id, schema_id) not in self._schemas:
            path = schema_key(job_id, schema_id)
            data = await asyncio.to_thread(self.root.read, path)
            try:
                self._schemas[job_id, schema_id] = RecordSchema.from_json(data)
            except HoldfastError as error:
                raise HoldfastError(error.kind, f"The vault's file {path} is damaged.", detail=error.message) from error
        return self._schemas[job_id, schema_id]
