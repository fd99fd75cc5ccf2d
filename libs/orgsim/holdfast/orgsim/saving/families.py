"""Whom a delete takes along: the details below the records, found by joins, level by level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.rules.batch import Batch
from holdfast.orgsim.rules.links import targets
from holdfast.orgsim.rules.platform import BEFORE_DELETE
from holdfast.orgsim.saving.newrows import touched
from holdfast.orgsim.saving.outcomes import error_of
from holdfast.orgsim.saving.recyclebin import BinEntry
from holdfast.orgsim.saving.transaction import LOCKED, LOCKED_SENTENCE
from holdfast.orgsim.schema.objects import SObject

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org

_SYSTEM_LOOKUPS = frozenset({"MasterRecordId", "CreatedById", "LastModifiedById", "OwnerId"})


def pointing_at(org: Org, parent: SObject) -> Iterator[tuple[SObject, str]]:
    """Each (object with rows, lookup) that can point at `parent`; owners, audit fields and big objects are left out."""
    for child, lookup in org.schema.children_of(parent.name):
        if child.name in org.tables and child.has_bin and lookup["name"] not in _SYSTEM_LOOKUPS:
            yield child, lookup["name"]


def lost_parents(
    org: Org, obj: SObject, rows: pl.DataFrame, coming: pl.Series
) -> Iterator[tuple[str, bool, pl.Series]]:
    """Lookups of rows from the bin that point at a deleted record: the field, whether it names a master, which rows.

    `coming` are ids of records that leave the bin together with these.
    """
    for lookup in obj.references():
        name = lookup["name"]
        if name in _SYSTEM_LOOKUPS or name not in rows.columns:
            continue
        asked = rows[name].drop_nulls().unique()
        dead = targets(org, asked).filter(pl.col("IsDeleted") == "true")["Id"].to_list()
        dead += [i for parent in lookup["referenceTo"] for i, _ in org.purged.get(parent, ())]
        lost = asked.filter(asked.is_in(pl.Series(dead, dtype=pl.String).implode()) & ~asked.is_in(coming.implode()))
        if len(lost):
            master = lookup["relationshipOrder"] is not None or not lookup["nillable"]
            yield name, master, rows[name].is_in(lost.implode()).fill_null(value=False)


@dataclass
class Family:
    """Records to be deleted (the roots) and the details that go with them.

    Attributes:
        batches: Level by level, the roots first.
        links: For each batch the `root` of each row and the `parent` that took it along (null for a root).
        refused: Roots that a rule keeps, with the reason. Nothing of their families is in the batches.
    """

    batches: list[Batch] = field(default_factory=list)
    links: list[pl.DataFrame] = field(default_factory=list)
    refused: dict[str, ApiError] = field(default_factory=dict)

    @classmethod
    def of(cls, org: Org, user: User, api: str, obj: SObject, rows: pl.DataFrame) -> Family:
        """The family of living rows of one object."""
        family = cls()
        nothing = pl.lit(None, dtype=pl.String)
        family._add(org, user, api, obj, rows, rows.select("Id", root="Id", parent=nothing))
        level = 0
        while level < len(family.batches):
            family._add_details(org, user, api, family.batches[level], family.links[level])
            level += 1
        family._check()
        return family

    def _add(self, org: Org, user: User, api: str, obj: SObject, rows: pl.DataFrame, links: pl.DataFrame) -> None:
        after = touched(org, user, rows.with_columns(pl.lit("true").alias("IsDeleted")))
        self.batches.append(Batch(org, obj, user, api, "delete", after, rows))
        self.links.append(links)

    def _add_details(self, org: Org, user: User, api: str, parents: Batch, links: pl.DataFrame) -> None:
        for child, definition in org.schema.children_of(parents.obj.name):
            lookup = definition["name"]
            if child.name not in org.tables or not child.has_bin or not org.schema.cascades_from(child, definition):
                continue
            found = org.table(child).where_in(lookup, links["Id"]).filter(pl.col("IsDeleted") == "false")
            known = [batch.after["Id"] for batch in self.batches if batch.obj is child]
            if known and found.height:
                found = found.filter(~pl.col("Id").is_in(pl.concat(known).implode()))
            if found.height:
                pointers = found.select("Id", parent=lookup)
                up = links.select("root", parent="Id")
                self._add(org, user, api, child, found, pointers.join(up, on="parent", maintain_order="left"))

    def _check(self) -> None:
        for batch, links in zip(self.batches, self.links, strict=True):
            locked = batch.org.transactions.looked_up(batch.after["Id"])
            if locked is not None:
                batch.refuse(locked, LOCKED, LOCKED_SENTENCE)
            for rule in BEFORE_DELETE:
                rule(batch)
            for line in batch.refusals.frame().rows(named=True):
                self.refused.setdefault(links["root"][line["row"]], error_of(line))
        if self.refused:
            lost = pl.Series(list(self.refused)).implode()
            keeps = [~links["root"].is_in(lost) for links in self.links]
            self.links = [links.filter(keep) for links, keep in zip(self.links, keeps, strict=True)]
            self.batches = [batch.filtered(keep) for batch, keep in zip(self.batches, keeps, strict=True)]

    def deleted(self) -> Iterator[tuple[SObject, pl.Series]]:
        """Object and ids of each level."""
        return ((batch.obj, batch.after["Id"]) for batch in self.batches if batch.height)

    def notes(self, batch: Batch) -> pl.Series | None:
        """Why the rows of a level go: null for roots."""
        links = next(found for own, found in zip(self.batches, self.links, strict=True) if own is batch)
        return None if links["parent"].null_count() == links.height else "with " + links["parent"]

    def bin_entries(self, at: datetime) -> dict[str, BinEntry]:
        """What the recycle bin remembers of the roots."""
        entries = {root: BinEntry(at) for root in self.links[0]["Id"].to_list()}
        for links in self.links[1:]:
            for root, children in links.group_by("root").agg("Id").iter_rows():
                entries[root].children += children
        return entries
