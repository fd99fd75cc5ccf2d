"""Deletes, the recycle bin, undelete and merge, with what they do to other records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from holdfast.orgsim.clock import stamp
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.org import Org
from holdfast.orgsim.saving.writing import Writer
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.store.table import Row

BIN_DAYS = timedelta(days=15)
MERGEABLE = frozenset({"Account", "Contact", "Lead", "Case"})
MOST_LOSERS = 2


@dataclass
class BinEntry:
    """A record in the recycle bin and the children that went with it."""

    at: datetime
    children: list[str] = field(default_factory=list)


class Deleter(Writer):
    """Deletes and restores on behalf of a user."""

    def delete(self, record_id: str, obj: SObject | None = None) -> None:
        """Move a record to the recycle bin, with its details; other lookups to it are cleared.

        Raises:
            ApiError: 404 NOT_FOUND or ENTITY_IS_DELETED.
        """
        found, row = self.living(record_id, obj)
        if not found.describe["deletable"]:
            raise ApiError(400, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", [])
        entry = BinEntry(self.org.clock.now())
        self.org.recycle_bin[record_id] = entry
        self._soft_delete(found, row, entry, None)

    def hard_delete(self, record_id: str, obj: SObject | None = None) -> None:
        """Delete past the recycle bin."""
        self.delete(record_id, obj)
        purge(self, record_id, "hard delete")

    def undelete(self, record_id: str) -> None:
        """Take a record out of the bin with the children that went with it. Cleared lookups stay cleared.

        Raises:
            ApiError: UNDELETE_FAILED unless the record itself is in the bin.
        """
        entry = self.org.recycle_bin.get(record_id)
        found = self.org.find(record_id)
        if entry is None or found is None:
            raise ApiError(400, "UNDELETE_FAILED", "Entity is not in the recycle bin", [])
        obj, row = found
        if row.get("MasterRecordId") is not None:
            raise ApiError(400, "UNDELETE_FAILED", "Cannot undelete a merged record", [])
        del self.org.recycle_bin[record_id]
        self._restore(obj, row, None)
        for child_id in entry.children:
            child = self.org.find(child_id)
            if child is not None and child[1].get("IsDeleted") == "true":
                self._restore(*child, f"with {record_id}")

    def merge(self, obj: SObject, winner_id: str, loser_ids: Sequence[str], values: Mapping[str, Any]) -> list[str]:
        """Fold up to two losers into the winner; ids of the children that were re-parented.

        Raises:
            ApiError: the object cannot be merged, or a record is missing.
        """
        if obj.name not in MERGEABLE or not 1 <= len(loser_ids) <= MOST_LOSERS or winner_id in loser_ids:
            raise ApiError(400, "INVALID_OPERATION", f"merge not supported for these records of {obj.name}")
        losers = [self.living(i, obj)[1] for i in loser_ids]
        self.update(winner_id, values, obj)
        moved: list[str] = []
        for loser in losers:
            for child, lookup, row in list(self._pointing_at(obj, str(loser["Id"]))):
                after = {**row, lookup["name"]: winner_id, "SystemModstamp": stamp(self.org.clock.now())}
                self._store(child, "update", row, after, f"re-parented from {loser['Id']}")
                moved.append(str(row["Id"]))
            self._drop_loser(obj, loser, winner_id)
        return moved

    def _drop_loser(self, obj: SObject, loser: Row, winner_id: str) -> None:
        after = {**loser, "IsDeleted": "true"}
        if "MasterRecordId" in obj.fields:
            after["MasterRecordId"] = winner_id
        self.touch(after)
        self.org.recycle_bin[str(loser["Id"])] = BinEntry(self.org.clock.now())
        self._store(obj, "merge", loser, after, f"into {winner_id}")

    def _soft_delete(self, obj: SObject, row: Row, entry: BinEntry, note: str | None) -> None:
        record_id = str(row["Id"])
        after = {**row, "IsDeleted": "true"}
        self.touch(after)
        self._store(obj, "delete", row, after, note)
        for child, lookup, child_row in list(self._pointing_at(obj, record_id)):
            child_id = str(child_row["Id"])
            current = self.org.table(child).get(child_id)
            if current is None or current["IsDeleted"] == "true" or current[lookup["name"]] != record_id:
                continue
            if self.org.schema.cascades_from(child, lookup):
                entry.children.append(child_id)
                self._soft_delete(child, current, entry, f"with {record_id}")
            else:
                cleared = {**current, lookup["name"]: None, "SystemModstamp": stamp(self.org.clock.now())}
                self._store(child, "update", current, cleared, f"lookup cleared: {record_id} deleted")

    def _restore(self, obj: SObject, row: Row, note: str | None) -> None:
        after = {**row, "IsDeleted": "false"}
        self.touch(after)
        self._store(obj, "undelete", row, after, note)

    def _pointing_at(self, obj: SObject, record_id: str) -> Iterator[tuple[SObject, dict[str, Any], Row]]:
        """Living records with a lookup to this one."""
        for child, lookup in self.org.schema.children_of(obj.name):
            if child.name not in self.org.tables or lookup["name"] in _SYSTEM_LOOKUPS:
                continue
            frame = self.org.table(child).frame()
            rows = frame.filter((pl.col(lookup["name"]) == record_id) & (pl.col("IsDeleted") == "false"))
            for row in rows.iter_rows(named=True):
                yield child, lookup, row


_SYSTEM_LOOKUPS = frozenset({"MasterRecordId", "CreatedById", "LastModifiedById", "OwnerId"})


def purge(writer: Deleter, record_id: str, note: str) -> None:
    """Forget a deleted record and the children that went with it, for good. getDeleted still names them.

    Raises:
        ApiError: the record is not in the bin.
    """
    org = writer.org
    entry = org.recycle_bin.pop(record_id, None)
    if entry is None:
        raise ApiError(400, "ENTITY_IS_DELETED", "entity is not in the recycle bin", [])
    for gone_id in (record_id, *entry.children):
        found = org.find(gone_id)
        if found is None or found[1].get("IsDeleted") != "true":
            continue
        obj, row = found
        org.table(obj).remove(gone_id)
        org.purged.setdefault(obj.name, []).append((gone_id, str(row["SystemModstamp"])))
        org.ledger.record(org.clock.now(), obj.name, gone_id, "harddelete", before=row, after=None,
                          who=writer.user.id, api=writer.api, note=note)  # fmt: skip


def purge_expired(org: Org) -> None:
    """Empty the bin of what has lain there for 15 days. Cheap when nothing is due."""
    while org.recycle_bin:
        record_id, entry = next(iter(org.recycle_bin.items()))
        if entry.at + BIN_DAYS > org.clock.now():
            return
        purge(Deleter(org, org.admin, "platform"), record_id, "recycle bin expired")
