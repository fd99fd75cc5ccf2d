"""Sharing at its simplest: whose records a user sees and changes, by the object's default and its Share rows.

The model: an object is open to read and write, open to read, or private; a detail follows its master. On a private
object a user sees the records that they or a group of theirs own, and those that a Share row gives them. There are no
roles above, no sharing rules, no teams and no implicit sharing of parents and children.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.schema import derived
from holdfast.orgsim.schema.objects import SObject

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org

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
