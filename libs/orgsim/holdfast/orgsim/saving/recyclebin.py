"""The recycle bin: what lies in it, with whom it went there, and how it is emptied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from holdfast.orgsim.clock import stamp
from holdfast.orgsim.errors import ApiError

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org
    from holdfast.orgsim.saving.writing import Writer

BIN_DAYS = timedelta(days=15)


@dataclass
class BinEntry:
    """A record in the recycle bin and the children that went with it."""

    at: datetime
    children: list[str] = field(default_factory=list)


def put(org: Org, entries: Mapping[str, BinEntry]) -> None:
    """Lay records into the bin, as part of the transaction."""
    if entries:
        org.transactions.effect(lambda: org.recycle_bin.update(entries), lambda: _without(org, entries))


def drop(org: Org, record_ids: Sequence[str]) -> None:
    """Take records out of the bin, as part of the transaction."""
    entries = {record_id: org.recycle_bin[record_id] for record_id in record_ids}
    org.transactions.effect(lambda: _without(org, entries), lambda: _back(org, entries))


def forget(org: Org, record_ids: Sequence[str], note: str, *, who: str, api: str) -> None:
    """Remove records of the bin for good, with the children that went with them. getDeleted still names them."""
    entries = {record_id: org.recycle_bin[record_id] for record_id in record_ids}
    gone = pl.Series("Id", [i for r, entry in entries.items() for i in (r, *entry.children)], dtype=pl.String)
    with org.transactions.together():
        drop(org, record_ids)
        prefixes = gone.str.slice(0, 3)
        for prefix in prefixes.unique(maintain_order=True).to_list():
            obj = org.schema.by_prefix(prefix)
            if obj is None or obj.name not in org.tables:
                continue
            found = org.table(obj).fetch(gone.filter(prefixes == prefix))
            rows = found.filter(pl.col("IsDeleted") == "true")
            org.transactions.save(obj, "harddelete", rows, None, who=who, api=api, notes=note)
            _remember(org, obj.name, _deleted_at(rows, entries))


def deleted_with(org: Org, prefix: str) -> list[tuple[str, str]]:
    """(id, stamp) of the children in the bin whose ids begin with `prefix`: when their record went there."""
    found = ((i, entry.at) for entry in org.recycle_bin.values() for i in entry.children if i.startswith(prefix))
    return [(i, stamp(at)) for i, at in found]


def _deleted_at(rows: pl.DataFrame, entries: Mapping[str, BinEntry]) -> list[tuple[str, str]]:
    """(id, stamp) of rows; history and share rows carry no stamp of their own and went when their record did."""
    if "SystemModstamp" in rows.columns:
        return rows.select("Id", "SystemModstamp").rows()
    times = {child: stamp(entry.at) for entry in entries.values() for child in entry.children}
    return [(i, times[i]) for i in rows["Id"].to_list()]


def _remember(org: Org, name: str, fresh: Sequence[tuple[str, str]]) -> None:
    known = org.purged.setdefault(name, [])

    def take_back() -> None:
        del known[len(known) - len(fresh) :]

    org.transactions.effect(lambda: known.extend(fresh), take_back)


def purge(writer: Writer, record_id: str, note: str) -> None:
    """Forget a deleted record and the children that went with it, for good. getDeleted still names them.

    Raises:
        ApiError: the record is not in the bin.
    """
    if record_id not in writer.org.recycle_bin:
        raise ApiError(400, "ENTITY_IS_DELETED", "entity is not in the recycle bin", [])
    forget(writer.org, [record_id], note, who=writer.user.id, api=writer.api)


def purge_expired(org: Org) -> None:
    """Empty the bin of what has lain there for 15 days. Cheap when nothing is due."""
    due = []
    for record_id, entry in org.recycle_bin.items():
        if entry.at + BIN_DAYS > org.clock.now():
            break
        due.append(record_id)
    if due:
        forget(org, due, "recycle bin expired", who=org.admin.id, api="platform")


def _without(org: Org, entries: Mapping[str, BinEntry]) -> None:
    for record_id in entries:
        org.recycle_bin.pop(record_id, None)


def _back(org: Org, entries: Mapping[str, BinEntry]) -> None:
    """Put entries back where they were: the bin stays in order of time."""
    whole = sorted({**entries, **org.recycle_bin}.items(), key=lambda item: item[1].at)
    org.recycle_bin.clear()
    org.recycle_bin.update(whole)
