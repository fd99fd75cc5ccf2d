"""What a record was: the one module through which the past is read. All calls block.

Queries are put together from field names of stored schemas, quoted, and from checked record ids.
Rules: `docs/formats/vault.md` §6. Ids are accepted with 15 or 18 characters.
"""

# ruff: noqa: S608
from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.columns import ATTACHED, DELETED, EVENT_COLUMNS, OPERATIONS
from holdfast.vault.events import NEWEST, OLDEST, Events, name_of, names_of, quoted
from holdfast.vault.location import StoreLocation, VaultRoot
from holdfast.vault.record_id import long_id

Store = StoreLocation | VaultRoot
Values = dict[str, str | None]

MAX_PAGE_ROWS = 1000


@dataclass(frozen=True)
class RecordVersion:
    """One event of a record, with its values before and after it.

    Attributes:
        changed: Names of the fields whose value moved; empty unless updated or undeleted.
        before: Last observed value of every field before the event; None for the record's first event.
        after: The same after it; for a deletion the values that the deleted record had.
    """

    event_id: str
    record_id: str
    operation: str
    run: int
    seq: int
    observed_at: datetime
    modified_at: datetime | None
    changed: tuple[str, ...]
    merged_into: str | None
    before: Values | None
    after: Values


@dataclass(frozen=True)
class ChangePage:
    """Events of a run, in a stable order. `cursor` is None after the last page."""

    versions: tuple[RecordVersion, ...]
    cursor: str | None


def state_at(
    store: Store, job_id: str, object_name: str, run: int, record_ids: Iterable[str] | None = None
) -> pa.Table:
    """Every record that exists after a run: `_record_id`, `_modified_at`, then `Id` and every field, as strings.

    Args:
        run: The run; runs after it are not seen.
        record_ids: Only these records.

    Raises:
        HoldfastError: NOT_FOUND if the object has no table; DAMAGED; INVALID for a malformed id.
    """
    with Events(VaultRoot.of(store), job_id, object_name, run) as events:
        return events.table(_state_query(events, record_ids))


def _state_query(events: Events, record_ids: Iterable[str] | None) -> str:
    where = _only(record_ids)
    everywhere = frozenset(i for i, schema in events.schemas.items() if not schema.of_bodies)
    groups: dict[frozenset[str], list[str]] = {}
    for name, observers in events.observers.items():
        groups.setdefault(observers, []).append(name)
    always = groups.pop(everywhere, [])
    columns = ["n._record_id", "n._modified_at", 'n._record_id AS "Id"']
    columns += [f"n.{name_of(name)}" for name in always]
    joins = []
    for number, (observers, names) in enumerate(sorted(groups.items(), key=lambda item: item[1])):
        schemas = ", ".join(quoted(schema) for schema in sorted(observers))
        joins.append(
            f"LEFT JOIN ({_newest(names, f'{where} AND _schema IN ({schemas})')}) g{number} USING (_record_id)"
        )
        columns += [f"g{number}.{name_of(name)}" for name in names]
    newest = _newest(["_op", "_modified_at", *always], f"{where} AND {_OF_RECORDS}")
    return (
        f"SELECT {', '.join(columns)} FROM ({newest}) n {' '.join(joins)} "
        f"WHERE n._op <> '{DELETED}' ORDER BY n._record_id"
    )


# Bodies that came in say nothing of whether their record lives.
_OF_RECORDS = f"_op <> '{ATTACHED}'"


def _newest(names: Sequence[str], where: str) -> str:
    return (
        f"SELECT _record_id, {names_of(names)} FROM events WHERE {where} "
        f"QUALIFY row_number() OVER (PARTITION BY _record_id ORDER BY {NEWEST}) = 1"
    )


def _only(record_ids: Iterable[str] | None) -> str:
    if record_ids is None:
        return "true"
    ids = ", ".join(quoted(long_id(record_id)) for record_id in record_ids)
    return f"_record_id IN ({ids})" if ids else "false"


def count(store: Store, job_id: str, object_name: str, run: int) -> int:
    """Number of records that exist after a run."""
    with Events(VaultRoot.of(store), job_id, object_name, run) as events:
        newest = _newest(["_op"], _OF_RECORDS)
        result = events.table(f"SELECT count(*) AS n FROM ({newest}) WHERE _op <> '{DELETED}'")
        return int(result.column("n")[0].as_py())


def operations(store: Store, job_id: str, object_name: str, run: int) -> dict[str, int]:
    """Events of one run by operation; those that did not occur are 0."""
    with Events(VaultRoot.of(store), job_id, object_name, run) as events:
        query = f"SELECT _op, count(*) AS n FROM events WHERE _run = $run AND {_OF_RECORDS} GROUP BY _op"
        found = events.table(query, {"run": run}).to_pylist()
    return dict.fromkeys(OPERATIONS, 0) | {row["_op"]: row["n"] for row in found}


def record_history(store: Store, job_id: str, object_name: str, record_id: str) -> list[RecordVersion]:
    """Every event of a record, oldest first; empty if it was never seen.

    Raises:
        HoldfastError: NOT_FOUND if the object has no table; INVALID for a malformed id; DAMAGED.
    """
    with Events(VaultRoot.of(store), job_id, object_name) as events:
        return _versions(events, [long_id(record_id)])


def changes_of(
    store: Store,
    job_id: str,
    object_name: str,
    run: int,
    ops: Sequence[str] | None = None,
    *,
    limit: int = 100,
    cursor: str | None = None,
) -> ChangePage:
    """Events of one run, ordered by page and record id, with the values before and after.

    Args:
        ops: Only these operations; all by default.
        limit: Events in the answer, at most `MAX_PAGE_ROWS`.
        cursor: Of the answer before.

    Raises:
        HoldfastError: NOT_FOUND if the object has no table; INVALID for an unknown operation, limit or cursor.
    """
    after_seq, after_id = _position(cursor)
    wanted = _operations(ops)
    if not 1 <= limit <= MAX_PAGE_ROWS:
        raise HoldfastError(Kind.INVALID, f"limit has to be between 1 and {MAX_PAGE_ROWS}.", field="limit")
    with Events(VaultRoot.of(store), job_id, object_name, run) as events:
        query = (
            "SELECT _event_id, _seq, _record_id FROM events "
            "WHERE _run = $run AND _op IN (SELECT unnest($ops)) AND (_seq, _record_id) > ($seq, $id) "
            "ORDER BY _seq, _record_id LIMIT $limit"
        )
        parameters = {"run": run, "ops": wanted, "seq": after_seq, "id": after_id, "limit": limit + 1}
        rows = events.table(query, parameters).to_pylist()
        page = rows[:limit]
        versions = {v.event_id: v for v in _versions(events, sorted({row["_record_id"] for row in page}))}
    more = f"{page[-1]['_seq']}:{page[-1]['_record_id']}" if len(rows) > limit else None
    chosen = tuple(versions[row["_event_id"]] for row in page)
    return ChangePage(chosen, base64.urlsafe_b64encode(more.encode()).decode() if more else None)


def _operations(ops: Sequence[str] | None) -> list[str]:
    wanted = list(OPERATIONS if ops is None else ops)
    unknown = sorted(set(wanted) - set(OPERATIONS))
    if unknown:
        raise HoldfastError(Kind.INVALID, f"{unknown[0]!r} is not an operation.", field="ops")
    return wanted


def _position(cursor: str | None) -> tuple[int, str]:
    if cursor is None:
        return -1, ""
    try:
        seq, _, record_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(":")
        return int(seq), record_id
    except (ValueError, binascii.Error) as error:
        raise HoldfastError(Kind.INVALID, "The cursor is not one of ours.", field="cursor") from error


def _versions(events: Events, record_ids: Sequence[str]) -> list[RecordVersion]:
    """All events of some records, oldest first within each, with their values."""
    if not record_ids:
        return []
    query = f"SELECT * FROM events WHERE {_only(record_ids)} ORDER BY _record_id, {OLDEST}"
    names = list(events.observers)
    versions: list[RecordVersion] = []
    current, state = "", Values()
    for row in events.table(query).to_pylist():
        first = row["_record_id"] != current
        if first:
            current, state = row["_record_id"], {"Id": row["_record_id"], **dict.fromkeys(names)}
        before = None if first else state
        observed = events.schemas[row["_schema"]].names
        state = {name: row[name] if name in observed else value for name, value in state.items()}
        versions.append(_version(row, before, state))
    return versions


def _version(row: dict[str, Any], before: Values | None, after: Values) -> RecordVersion:
    event = {name: row[name] for name in EVENT_COLUMNS}
    return RecordVersion(
        event_id=event["_event_id"],
        record_id=event["_record_id"],
        operation=event["_op"],
        run=event["_run"],
        seq=event["_seq"],
        observed_at=event["_observed_at"],
        modified_at=event["_modified_at"],
        changed=tuple(event["_changed"] or ()),
        merged_into=event["_merged_into"],
        before=before,
        after=after,
    )
