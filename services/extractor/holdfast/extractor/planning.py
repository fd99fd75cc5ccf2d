"""Which objects a run reads, and how. Pure: facts of the org in, a plan out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from holdfast.common.contracts.extractor import Mode
from holdfast.extractor.classification import classify, in_bulk
from holdfast.extractor.keys import key_of
from holdfast.extractor.soql import ObjectQuery, stamp_of, url_length
from holdfast.salesforce.definitions import IndexField
from holdfast.salesforce.models import Describe, ObjectSummary
from holdfast.vault.schema import NOT_STORED_TYPES, FieldType, RecordSchema

Strategy = Literal["rest", "bulk2"]


REST_PAGE_ROWS = 2000
# Salesforce cuts URLs and headers off at 16,384 bytes; the rest of the request needs its share.
LONGEST_QUERY_IN_URL = 14_000
# Bytes of a value in a CSV page, by type, nulls among them. Texts are taken for longer than most are, and long texts
# for a sentence: pages that turn out larger cost memory.
_BYTES_OF_TYPE = {
    "boolean": 7, "int": 6, "double": 9, "currency": 9, "percent": 6, "date": 10, "datetime": 24, "time": 12,
    "id": 21, "reference": 16, "picklist": 14, "email": 20, "phone": 14,
    "textarea": 60, "encryptedstring": 40, "multipicklist": 40,
}  # fmt: skip
_BYTES_OF_OTHERS = 20
_MOST_NAMES = 20
_FEWEST_PAGE_ROWS, _MOST_PAGE_ROWS = 1_000, 50_000


@dataclass(frozen=True)
class Chosen:
    """The objects to describe and read, and those that cannot be."""

    readable: tuple[str, ...]
    failed: Mapping[str, str]


@dataclass(frozen=True)
class Known:
    """What earlier runs of the job left behind for an object.

    Attributes:
        watermark: Newest stamp read, in Salesforce's time; None if it was read but held nothing
            to set a mark by.
        fields: The fields with which it was last read to its end; None if nobody knows.
        whole_at: When it was last read whole, by our clock, and `census_at` when all of it was last listed.
        key: What its records were told apart by, if they have no id.
    """

    watermark: datetime | None
    fields: frozenset[FieldType] | None = None
    whole_at: datetime | None = None
    census_at: datetime | None = None
    key: tuple[str, ...] = ()

    def lacks(self, schema: RecordSchema) -> bool:
        """Whether a field is new, is visible again, or has another type: its values in records that did not
        change since were never read, and no stamp will bring them."""
        return self.fields is not None and not self.fields.issuperset(schema.fields)


@dataclass(frozen=True)
class ObjectPlan:
    """How one object is read."""

    schema: RecordSchema
    mode: Mode
    since: datetime | None
    strategy: Strategy
    estimated_rows: int


def choose(
    selection: Sequence[str],
    offered: Iterable[ObjectSummary],
    counts: Mapping[str, int],
    known: Iterable[str],
) -> Chosen:
    """Decide which objects a run takes.

    Args:
        selection: Names asked for, in any case; empty takes every recommended object that has rows, and
            those that earlier runs of the job read: their last record may just have been deleted, and one
            that is no longer there, or no longer visible, must not go missing in silence.
        offered: The org's describe global.
        counts: Salesforce's cached counts; it leaves out objects without known rows.
        known: Objects that earlier runs of the job read.
    """
    objects = {entry.name.lower(): entry for entry in offered}
    if selection:
        return _by_name(selection, objects)
    before = _by_name(known, objects)
    filled = (name for name, count in counts.items() if count > 0)
    entries = (objects[name.lower()] for name in filled if name.lower() in objects)
    taken = {entry.name for entry in entries if classify(entry).recommended}
    return Chosen(tuple(sorted(taken.union(before.readable))), before.failed)


def _by_name(selection: Iterable[str], objects: Mapping[str, ObjectSummary]) -> Chosen:
    readable: dict[str, None] = {}
    failed: dict[str, str] = {}
    for asked in selection:
        entry = objects.get(asked.strip().lower())
        if entry is None:
            failed[asked] = f"The org has no object {asked}, or the connected user may not see it."
        elif not (verdict := classify(entry)).readable:
            failed[entry.name] = verdict.reason
        else:
            readable[entry.name] = None
    return Chosen(tuple(readable), failed)


def record_schema(
    describe: Describe, before: Iterable[FieldType] = (), index: Sequence[IndexField] = ()
) -> RecordSchema:
    """The fields that a backup reads: all but compound ones, which repeat their parts, and file bodies.

    Args:
        index: Of an object whose records have no id; their `Id` is the same for all and is not read.
        before: Fields as the job has them. One whose name is now written in another case keeps its spelling: to
            Salesforce it is the same field, and a table cannot have both.
    """
    kept = {field.name.lower(): field.name for field in before}
    fields = (FieldType(kept.get(field.name.lower(), field.name), field.type) for field in describe.fields)
    stored = tuple(field for field in fields if field.type not in NOT_STORED_TYPES)
    if not index:
        return RecordSchema(describe.name, stored)
    spelled = {field.name.lower(): field.name for field in stored}
    key = tuple(spelled[each.name.lower()] for each in index)
    descending = frozenset(name for name, each in zip(key, index, strict=True) if each.descending)
    return RecordSchema(describe.name, tuple(field for field in stored if field.type != "id"), key, descending)


def plan_object(
    describe: Describe,
    *,
    known: Known | None,
    full: bool,
    estimated_rows: int,
    overlap: timedelta,
    bulk_threshold_rows: int,
    index: Sequence[IndexField] = (),
) -> ObjectPlan:
    """Decide mode and strategy of one object.

    Args:
        index: Of an object whose records have no id.
        known: None if the job never read the object whole.
        full: Read every record again even if only the changed ones are needed.
        estimated_rows: Salesforce's cached count.
    """
    schema = record_schema(describe, known.fields or () if known else (), index)
    names = tuple(field.name for field in schema.fields)
    mode = _mode(known, schema, full=full)
    since = known.watermark - overlap if mode == "incremental" and known and known.watermark else None
    query = ObjectQuery(describe.name, names, since, key=key_of(schema))
    # How many rows changed is not known before asking; most objects changed little.
    rows = estimated_rows if mode != "incremental" else 0
    return ObjectPlan(schema, mode, since, strategy_of(query, rows, bulk_threshold_rows), rows)


def _mode(known: Known | None, schema: RecordSchema, *, full: bool) -> Mode:
    if known is None:
        return "baseline"
    # Without a stamp, or a mark to start from, only reading everything finds what changed.
    # Nor can big objects be asked what changed: their stamps are no part of their index.
    stamped = stamp_of([field.name for field in schema.fields]) is not None and not schema.key
    return "full" if full or not stamped or known.watermark is None or known.lacks(schema) else "incremental"


def strategy_of(query: ObjectQuery, rows: int, bulk_threshold_rows: int) -> Strategy:
    """How a query for about so many rows is best answered."""
    if not in_bulk(query.object):
        return "rest"
    too_long = url_length(query.ordered()) > LONGEST_QUERY_IN_URL
    return "bulk2" if rows >= bulk_threshold_rows or too_long else "rest"


def bulk_page_rows(fields: Iterable[FieldType], page_bytes: int) -> int:
    """Rows to ask for in one Bulk page of these fields so that it is about `page_bytes` long, and rarely longer."""
    rows = page_bytes // max(1, sum(_BYTES_OF_TYPE.get(field.type, _BYTES_OF_OTHERS) for field in fields))
    return max(_FEWEST_PAGE_ROWS, min(_MOST_PAGE_ROWS, rows))


def even_pages(rows: int, page_rows: int) -> int:
    """How many pages of one size bring so many rows, with a size as near to `page_rows` as can be.

    A page is at most half as long again: an eleventh thousand of rows after ten is not worth a call of its own.
    """
    return max(1, (rows + page_rows // 2) // page_rows)


def new_mark(newest_stamp: datetime | None, read_from: datetime | None, settled_after: timedelta) -> datetime | None:
    """The watermark that a complete reading leaves, in Salesforce's time only.

    Args:
        newest_stamp: Newest stamp that was read.
        read_from: When the org began to collect the rows, by its own clock; None if it did not say.
            A long Bulk job may return a row stamped later than a change of one it had already collected, so
            the mark never lies beyond its beginning.
        settled_after: Records stamped so long before `read_from` were all visible by then. Without this an
            object loaded in one go would be read again by every run, as its newest stamp never gets old.

    Returns:
        None if there is nothing to set a mark by.
    """
    if read_from is None:
        return newest_stamp
    settled = read_from - settled_after
    return settled if newest_stamp is None else min(read_from, max(newest_stamp, settled))


def lost_fields(before: RecordSchema | None, now: RecordSchema, gone: Iterable[str] = ()) -> list[str]:
    """What a complete reading has to say of fields that the last one still had: one sentence, or none.

    Hidden and deleted look the same to who may not see the field, so the sentence leaves open which it is.

    Args:
        gone: Fields, in lower case, of which the org said that it no longer has them: nothing is missing there.
    """
    left = {field.name.lower() for field in now.fields}.union(gone)
    gone = [field.name for field in before.fields if field.name.lower() not in left] if before else []
    if not gone:
        return []
    known = "its last known values are kept" if len(gone) == 1 else "their last known values are kept"
    return [f"The user can no longer read {_listed(gone)} of {now.object}; {known}."]


def _listed(names: list[str]) -> str:
    shown = names if len(names) <= _MOST_NAMES else [*names[: _MOST_NAMES - 1], f"{len(names) - _MOST_NAMES + 1} more"]
    return " and ".join(part for part in (", ".join(shown[:-1]), shown[-1]) if part)
