"""Files that wait to be fetched, as leased rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.postgres import Database, Record, Unit
from holdfast.extractor.files.queueing import sql
from holdfast.extractor.files.steps import FILE_LEASED
from holdfast.extractor.patience import Failures
from holdfast.extractor.store import Run


@dataclass(frozen=True)
class FileClaim:
    """A leased file.

    Attributes:
        part: Reference of an image within a rich text; empty for the body of a field.
        kept_with: The record to ask for the image, where it is another one.
        odd_sha256: Hash of the last body that was not as stated.
    """

    file_id: UUID
    run: Run
    object: str
    record_id: str
    field: str
    part: str
    kept_with: str | None
    stated_bytes: int | None
    stated_md5: str | None
    odd_sha256: str | None
    epoch: int

    @property
    def key(self) -> UUID:
        """Key of the leased row."""
        return self.file_id

    @classmethod
    def of(cls, row: Record) -> FileClaim:
        """A row of `claim_file`."""
        names = ("file_id", "object", "record_id", "field", "part", "kept_with")
        stated = ("stated_bytes", "stated_md5", "odd_sha256", "epoch")
        return cls(run=Run.of(row), **{name: row[name] for name in (*names, *stated)})


@dataclass(frozen=True)
class FileRows:
    """The queue, as leased rows.

    Attributes:
        calls_a_day, bytes_a_day: Per org; at these no further file of it is leased until the next day.
    """

    db: Database
    holder: str
    lease: timedelta
    calls_a_day: int
    bytes_a_day: int

    async def claim(self, in_hand: Collection[UUID] = ()) -> FileClaim | None:
        """Lease a file of an org that nothing else is reading, and that is not in hand."""
        limits = (self.calls_a_day, self.bytes_a_day)

        async def work(unit: Unit) -> Record | None:
            return await unit.fetchrow(sql.claim_file, self.holder, self.lease, *limits, list(in_hand))

        row = await self.db.run(FILE_LEASED, work)
        return None if row is None else FileClaim.of(row)

    async def renew(self, claims: Sequence[FileClaim]) -> set[UUID]:
        """Prolong leases; returns those that were still held."""
        keys, epochs = [claim.key for claim in claims], [claim.epoch for claim in claims]

        async def work(unit: Unit) -> set[UUID]:
            return {row[0] for row in await unit.fetch(sql.renew_files, self.holder, keys, epochs, self.lease)}

        return await self.db.run(FILE_LEASED, work)

    async def still_held(self, claims: Sequence[FileClaim]) -> set[UUID]:
        """Those that nobody has taken away; only looks."""
        keys, epochs = [claim.key for claim in claims], [claim.epoch for claim in claims]
        return {row[0] for row in await self.db.fetch(sql.still_held_files, keys, epochs)}

    async def release(self, claims: Sequence[FileClaim]) -> None:
        """Give files back."""

        async def work(unit: Unit) -> None:
            await unit.executemany(sql.release_file, [(claim.key, claim.epoch) for claim in claims])

        await self.db.run(FILE_LEASED, work)


async def lock_file(unit: Unit, claim: FileClaim) -> bool:
    """Take the file's row for this unit; False if it no longer waits.

    Raises:
        HoldfastError: FENCED if somebody else holds it by now.
    """
    row = await unit.fetchrow(sql.lock_file, claim.key)
    if row is None or row["epoch"] != claim.epoch:
        raise HoldfastError(Kind.FENCED, "Another worker has taken over.", code="lease-lost", detail=str(claim.key))
    return bool(row["state"] == "waiting")


async def file_failures(db: Database, claim: FileClaim) -> Failures:
    """How long the file's fetching has been failing."""
    row = await db.fetchrow(sql.file_failures, claim.key)
    return Failures(row["failures"], row["failing_for"]) if row else Failures(0, timedelta(0))


async def busy_connections(db: Database) -> frozenset[UUID]:
    """Orgs whose records are being read."""
    return frozenset(row[0] for row in await db.fetch(sql.busy_connections))
