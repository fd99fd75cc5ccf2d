"""The event columns: `docs/formats/vault.md` §2."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", "UTC")

EVENT_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("_event_id", pa.string()),
    ("_record_id", pa.string()),
    ("_op", pa.string()),
    ("_run", pa.int64()),
    ("_seq", pa.int64()),
    ("_observed_at", TIMESTAMP),
    ("_modified_at", TIMESTAMP),
    ("_fingerprint", pa.int64()),
    ("_changed", pa.list_(pa.string())),
    ("_merged_into", pa.string()),
    ("_schema", pa.string()),
)
EVENT_COLUMNS: tuple[str, ...] = tuple(name for name, _ in EVENT_FIELDS)

CAPTURED, CREATED, UPDATED = "captured", "created", "updated"
TOUCHED, DELETED, UNDELETED = "touched", "deleted", "undeleted"
# A file's body came in. It says nothing of whether the record lives, and is no change of it.
ATTACHED = "attached"
OPERATIONS = (CAPTURED, CREATED, UPDATED, TOUCHED, DELETED, UNDELETED)


def table_schema(field_names: Iterable[str]) -> pa.Schema:
    """Arrow schema of a table or file: event columns, then one string column per field."""
    return pa.schema([*EVENT_FIELDS, *((name, pa.string()) for name in field_names)])
