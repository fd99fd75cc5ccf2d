"""Deletes, undelete and merge, of one record or of many, with what they do to other records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl

from holdfast.orgsim import ids
from holdfast.orgsim.clock import stamp
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.rules.batch import Batch
from holdfast.orgsim.rules.platform import AFTER_SAVE
from holdfast.orgsim.rules.refusals import Refusals
from holdfast.orgsim.saving.families import Family, lost_parents, pointing_at
from holdfast.orgsim.saving.newrows import touched
from holdfast.orgsim.saving.outcomes import Outcomes
from holdfast.orgsim.saving.recyclebin import BinEntry, drop, forget, put
from holdfast.orgsim.saving.transaction import RowLockedError
from holdfast.orgsim.saving.writing import Writer
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.store.living import deleted_ids, living

MERGEABLE = frozenset({"Account", "Contact", "Lead", "Case"})
MOST_LOSERS = 2


class Saver(Writer):
    """All that a user can do to records: what `Writer` saves, and deletes, undelete and merge."""

    def delete(self, record_id: str, obj: SObject | None = None) -> None:
        """Move a record to the recycle bin, with its details; other lookups to it are cleared.

        Raises:
            ApiError: 404 NOT_FOUND or ENTITY_IS_DELETED, or a rule refused it.
        """
        self.living(record_id, obj)
        self.delete_many(pl.Series([record_id]), obj).single()

    def hard_delete(self, record_id: str, obj: SObject | None = None) -> None:
        """Delete past the recycle bin."""
        self.living(record_id, obj)
        self.hard_delete_many(pl.Series([record_id]), obj).single()

    def undelete(self, record_id: str) -> None:
        """Take a record out of the bin with the children that went with it. Cleared lookups stay cleared.

        Raises:
            ApiError: UNDELETE_FAILED unless the record itself is in the bin.
        """
        self.undelete_many(pl.Series([record_id])).single()

    def delete_many(self, record_ids: pl.Series, obj: SObject | None = None) -> Outcomes:
        """Move records of any object, or only of `obj`, to the recycle bin; each has its own outcome."""
        wanted = ids.normalised(record_ids)
        refusals = Refusals()
        refusals.add(record_ids.fill_null("") == "", "MISSING_ARGUMENT", "Id not specified in a delete call")
        refusals.add(wanted.is_null(), "MALFORMED_ID", "malformed id " + record_ids.fill_null(""))
        again = ~wanted.is_first_distinct()
        with self.org.transactions.together():
            for found_obj, places in self._by_object(wanted, obj, refusals):
                self._delete_some(found_obj, wanted, places.filter(~again.gather(places)), refusals)
        refusals.add(again, "ENTITY_IS_DELETED", "entity is deleted", status=404)
        return _outcomes(wanted, refusals)

    def hard_delete_many(self, record_ids: pl.Series, obj: SObject | None = None) -> Outcomes:
        """Delete records past the recycle bin; each has its own outcome."""
        with self.org.transactions.together():
            outcomes = self.delete_many(record_ids, obj)
            done = outcomes.frame.filter(pl.col("code").is_null())["id"]
            forget(self.org, done.to_list(), "hard delete", who=self.user.id, api=self.api)
        return outcomes

    def undelete_many(self, record_ids: pl.Series) -> Outcomes:
        """Take records out of the bin, each with the children that went with it; each has its own outcome.

        A detail stays without its master. Other lookups to records that are deleted are cleared.
        """
        wanted = ids.normalised(record_ids)
        refusals = Refusals()
        absent = pl.Series([i is None or i not in self.org.recycle_bin for i in wanted.to_list()], dtype=pl.Boolean)
        refusals.add(absent | ~wanted.is_first_distinct(), "UNDELETE_FAILED", "Entity is not in the recycle bin")
        with self.org.transactions.together():
            for obj, places in self._by_object(wanted, None, refusals):
                rows = self.org.table(obj).fetch(wanted.gather(places))
                if "MasterRecordId" in rows.columns:
                    merged = rows.filter(pl.col("MasterRecordId").is_not_null())["Id"]
                    refusals.add(wanted.is_in(merged.implode()), "UNDELETE_FAILED", "Cannot undelete a merged record")
                    rows = rows.filter(pl.col("MasterRecordId").is_null())
                for orphans in [rows.filter(o)["Id"] for _, m, o in lost_parents(self.org, obj, rows, wanted) if m]:
                    refusals.add(wanted.is_in(orphans.implode()), "UNDELETE_FAILED", "The record's master is deleted")
                    rows = rows.filter(~pl.col("Id").is_in(orphans.implode()))
                for some in self._apart(obj, rows):
                    with self._refusing(some, wanted, refusals):
                        self._restore(obj, some, None, wanted)
                        self._restore_children(some["Id"].to_list(), wanted)
        return _outcomes(wanted, refusals)

    def merge(self, obj: SObject, winner_id: str, loser_ids: Sequence[str], values: Mapping[str, Any]) -> list[str]:
        """Fold up to two losers into the winner; ids of the children that were re-parented.

        Raises:
            ApiError: the object cannot be merged, or a record is missing.
        """
        strange = winner_id in loser_ids or len(set(loser_ids)) < len(loser_ids)
        if obj.name not in MERGEABLE or not 1 <= len(loser_ids) <= MOST_LOSERS or strange:
            raise ApiError(400, "INVALID_OPERATION", f"merge not supported for these records of {obj.name}")
        for loser_id in loser_ids:
            self.living(loser_id, obj)
        moved: list[str] = []
        with self.org.transactions.together():
            self.update(winner_id, values, obj)
            for loser_id in loser_ids:
                moved += self._move_children(obj, loser_id, winner_id)
                self._drop_loser(obj, loser_id, winner_id)
        return moved

    def _by_object(
        self, wanted: pl.Series, only: SObject | None, refusals: Refusals
    ) -> Iterator[tuple[SObject, pl.Series]]:
        """The places of ids by object, in order of first appearance. Ids of no object are refused."""
        prefixes = wanted.str.slice(0, 3)
        for prefix in prefixes.drop_nulls().unique(maintain_order=True).to_list():
            mask = (prefixes == prefix).fill_null(value=False) & ~refusals.mask(len(wanted))
            obj = self.org.schema.by_prefix(prefix)
            strange = only is not None and obj is not only
            if obj is None or strange or obj.name not in self.org.tables or not self.user.reads(obj.name):
                refusals.add(mask, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
            else:
                yield obj, mask.arg_true()

    def _delete_some(self, obj: SObject, wanted: pl.Series, places: pl.Series, refusals: Refusals) -> None:
        asked = wanted.gather(places)
        rows = self.org.table(obj).fetch(asked)
        mine = wanted.is_in(asked.implode())
        if rows.height < len(asked):
            lost = mine & ~wanted.is_in(rows["Id"].implode())
            refusals.add(lost, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        gone = deleted_ids(rows)
        refusals.add(wanted.is_in(gone.implode()), "ENTITY_IS_DELETED", "entity is deleted", status=404)
        if not obj.describe["deletable"] or not self.user.deletes(obj.name):
            message = "insufficient access rights on object id"
            refusals.add(mine, "INSUFFICIENT_ACCESS_OR_READONLY", message)
            return
        for some in self._apart(obj, rows):
            with self._refusing(some, wanted, refusals):
                self._delete_family(obj, some, wanted, refusals)

    def _delete_family(self, obj: SObject, rows: pl.DataFrame, wanted: pl.Series, refusals: Refusals) -> None:
        family = Family.of(self.org, self.user, self.api, obj, living(rows))
        for root, error in family.refused.items():
            refusals.add(wanted == root, error.code, error.message, error.fields, status=error.status)
        for batch in family.batches:
            self._store(batch, family.notes(batch))
        self._clear_lookups(family)
        put(self.org, family.bin_entries(self.org.clock.now()))

    def _apart(self, obj: SObject, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """All rows together; one by one while saves wait for a late commit, since each may meet a lock of its own."""
        if not self.org.transactions.contended:
            yield rows
            return
        for part in rows["Id"].to_frame().iter_slices(1):
            yield self.org.table(obj).fetch(part["Id"])  # as the row before has left it

    @contextmanager
    def _refusing(self, rows: pl.DataFrame, wanted: pl.Series, refusals: Refusals) -> Iterator[None]:
        """Take back what was done inside, and refuse the rows, if something that it changes is locked."""
        try:
            with self.org.transactions.together():
                yield
        except RowLockedError as error:
            refusals.add(wanted.is_in(rows["Id"].implode()), error.code, error.message, error.fields or ())

    def _clear_lookups(self, family: Family) -> None:
        now = stamp(self.org.clock.now())
        for parent, parent_ids in family.deleted():
            for child, lookup in pointing_at(self.org, parent):
                rows = self.org.table(child).where_in(lookup, parent_ids).filter(pl.col("IsDeleted") == "false")
                if rows.height:
                    after = rows.with_columns(
                        pl.lit(None, dtype=pl.String).alias(lookup), pl.lit(now).alias("SystemModstamp")
                    )
                    note = "lookup cleared: " + rows[lookup] + " deleted"
                    self._store(self._batch(child, "update", rows, after), note)

    def _restore_children(self, roots: Sequence[str], wanted: pl.Series) -> None:
        """What went to the bin with these records and is still there; their bin entries end."""
        pairs = [(child, root) for root in roots for child in self.org.recycle_bin[root].children]
        frame = pl.DataFrame(pairs, schema={"Id": pl.String, "root": pl.String}, orient="row")
        drop(self.org, roots)
        coming = pl.concat([wanted, frame["Id"].alias(wanted.name)])
        for obj, places in self._by_object(frame["Id"], None, Refusals()):
            rows = self.org.table(obj).fetch(frame["Id"].gather(places)).filter(pl.col("IsDeleted") == "true")
            known = rows.select("Id").join(frame, on="Id", how="left", maintain_order="left")
            self._restore(obj, rows, "with " + known["root"], coming)

    def _restore(self, obj: SObject, rows: pl.DataFrame, note: pl.Series | None, coming: pl.Series) -> None:
        if rows.height:
            after = touched(self.org, self.user, rows.with_columns(pl.lit("false").alias("IsDeleted")))
            for name, _, lost in lost_parents(self.org, obj, rows, coming):
                after = after.with_columns(pl.when(~lost).then(pl.col(name)))
            self._store(self._batch(obj, "undelete", rows, after), note)

    def _move_children(self, obj: SObject, loser_id: str, winner_id: str) -> list[str]:
        moved: list[str] = []
        now = stamp(self.org.clock.now())
        for child, lookup in pointing_at(self.org, obj):
            found = self.org.table(child).where_in(lookup, pl.Series([loser_id]))
            rows = found.filter(pl.col("IsDeleted") == "false")
            if rows.height:
                points = pl.when(pl.col("Id") != winner_id).then(pl.lit(winner_id))  # the winner is no child of its own
                after = rows.with_columns(points.alias(lookup), pl.lit(now).alias("SystemModstamp"))
                self._store(self._batch(child, "update", rows, after), f"re-parented from {loser_id}")
                moved += rows["Id"].to_list()
        return moved

    def _drop_loser(self, obj: SObject, loser_id: str, winner_id: str) -> None:
        rows = self.org.table(obj).fetch(pl.Series([loser_id]))
        after = rows.with_columns(pl.lit("true").alias("IsDeleted"))
        if "MasterRecordId" in obj.fields:
            after = after.with_columns(pl.lit(winner_id).alias("MasterRecordId"))
        batch = self._batch(obj, "merge", rows, touched(self.org, self.user, after))
        self._store(batch, f"into {winner_id}")
        put(self.org, {loser_id: BinEntry(self.org.clock.now())})

    def _batch(self, obj: SObject, operation: str, before: pl.DataFrame, after: pl.DataFrame) -> Batch:
        return Batch(self.org, obj, self.user, self.api, operation, after, before)

    def _store(self, batch: Batch, notes: str | pl.Series | None) -> None:
        self.org.transactions.save(
            batch.obj, batch.operation, batch.before, batch.after, who=self.user.id, api=self.api, notes=notes
        )
        for rule in AFTER_SAVE:
            rule(batch)


def _outcomes(wanted: pl.Series, refusals: Refusals) -> Outcomes:
    named = pl.DataFrame({"row": pl.int_range(len(wanted), dtype=pl.UInt32, eager=True), "id": wanted})
    return Outcomes.gather([named.join(refusals.frame(), on="row", how="left", maintain_order="left")])
