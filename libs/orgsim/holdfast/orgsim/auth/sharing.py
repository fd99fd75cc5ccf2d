"""Sharing at its simplest: whose records a user sees and changes, by the object's default and its Share rows.

The model: an object is open to read and write, open to read, or private; a detail follows its master. On a private
object a user sees the records that they or a group of theirs own, and those that a Share row gives them. There are no
roles above, no sharing rules, no teams and no implicit sharing of parents and children.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.schema import derived
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.store.table import Table

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
READABLE = ("Read", "Edit", "All")
EDITABLE = ("Edit", "All")


def readable_rows(org: Org, obj: SObject, user: User) -> pl.Expr | None:
    """Which rows of `obj` the user sees; None for all of them."""
    if obj.traits.sharing in ("ReadWrite", "Read") or user.sees_all(obj.name):
        return None
    return _shared(org, obj, user, READABLE)


def editable_rows(org: Org, obj: SObject, user: User) -> pl.Expr | None:
    """Which rows of `obj` the user may change, as far as sharing goes; None for all of them."""
    if obj.traits.sharing == "ReadWrite" or user.modifies_all(obj.name):
        return None
    return _shared(org, obj, user, EDITABLE)


def visible(org: Org, obj: SObject, user: User, rows: Frame) -> Frame:
    """Rows of `obj` as the user gets them from any API: without those that sharing keeps back, secrets masked."""
    shared = readable_rows(org, obj, user)
    if shared is not None:
        rows = rows.filter(shared)
    masked = [_mask(field) for field in obj.fields.values() if field["type"] == "encryptedstring"]
    return rows.with_columns(masked) if masked and not user.may("ViewEncryptedData") else rows


class SeenTable:
    """A table as one user sees it."""

    def __init__(self, org: Org, obj: SObject, user: User) -> None:
        self._org, self._obj, self._user = org, obj, user
        self._table = org.table(obj)
        self.columns = self._table.columns
        self.version = self._table.version

    def __len__(self) -> int:
        return len(self._table)

    def scan(self) -> pl.LazyFrame:
        """As `Table.scan`."""
        return visible(self._org, self._obj, self._user, self._table.scan())

    def frame(self) -> pl.DataFrame:
        """As `Table.frame`."""
        return visible(self._org, self._obj, self._user, self._table.frame())

    def frozen(self) -> SeenTable:
        """As `Table.frozen`; what is shared stays as it is now, too."""
        made = copy.copy(self)
        made._org, made._table = self._org.at_this_moment(), self._table.frozen()
        return made

    def span(self, first: str, before: str | None) -> pl.DataFrame:
        """As `Table.span`."""
        return visible(self._org, self._obj, self._user, self._table.span(first, before))

    def fetch(self, ids: pl.Series) -> pl.DataFrame:
        """As `Table.fetch`."""
        return visible(self._org, self._obj, self._user, self._table.fetch(ids))

    def where_in(self, column: str, values: pl.Series) -> pl.DataFrame:
        """As `Table.where_in`."""
        return visible(self._org, self._obj, self._user, self._table.where_in(column, values))


def seen(org: Org, obj: SObject, user: User) -> Table | SeenTable:
    """The rows of `obj` as the user gets them; the table itself where nothing is kept back."""
    secrets = any(field["type"] == "encryptedstring" for field in obj.fields.values())
    if not secrets and readable_rows(org, obj, user) is None:
        return org.table(obj)
    return SeenTable(org, obj, user)


def _mask(field: Mapping[str, Any]) -> pl.Expr:
    """Every character behind the mask's, or all but the last four."""
    text, sign = pl.col(field["name"]), field["mask"] or "*"
    kept = 4 if field["maskType"] in ("lastFour", "creditCard", "ssn", "sin") else 0
    behind = pl.lit(sign).repeat_by((text.str.len_chars().cast(pl.Int64) - kept).clip(0)).list.join("")
    return pl.when(text.is_not_null()).then(behind + (text.str.tail(kept) if kept else pl.lit(""))).alias(field["name"])


def sees(org: Org, obj: SObject, user: User, record_id: str) -> bool:
    """Whether the user sees one record."""
    rows = readable_rows(org, obj, user)
    return rows is None or org.table(obj).fetch(pl.Series([record_id])).filter(rows).height > 0


def _shared(org: Org, obj: SObject, user: User, levels: Sequence[str]) -> pl.Expr | None:
    if obj.traits.sharing == "ControlledByParent":
        return _through_master(org, obj, user, levels)
    if "OwnerId" not in obj.fields:
        return None
    me = [user.id, *_groups(org, user)]
    mine = pl.col("OwnerId").is_in(me)
    shares = org.tables.get(derived.derived_name(obj.name, derived.SHARE))
    if shares is None:
        return mine
    rows = shares.where_in("UserOrGroupId", pl.Series(me)).filter(
        (pl.col("IsDeleted") == "false") & pl.col(derived.access_field(obj.name)).is_in(levels)
    )
    return mine | pl.col("Id").is_in(rows[derived.parent_field(obj.name, derived.SHARE)].implode())


def _through_master(org: Org, obj: SObject, user: User, levels: Sequence[str]) -> pl.Expr | None:
    lookup = next((f for f in obj.references() if f["relationshipOrder"] == 0 and f["cascadeDelete"]), None)
    master = None if lookup is None else org.schema.find(lookup["referenceTo"][0])
    if lookup is None or master is None:
        return None
    rows = (readable_rows if levels == READABLE else editable_rows)(org, master, user)
    if rows is None:
        return None
    ids = org.table(master).frame().filter(rows)["Id"]
    return pl.col(lookup["name"]).is_in(ids.implode())


def _groups(org: Org, user: User) -> list[str]:
    members = org.tables.get("GroupMember")
    found = [] if members is None else members.where_in("UserOrGroupId", pl.Series([user.id]))["GroupId"].to_list()
    everyone = org.tables.get("Group")
    if everyone is not None:
        found += everyone.where_in("Type", pl.Series(["Organization"]))["Id"].to_list()
    return found
