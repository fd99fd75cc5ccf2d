"""The newest state of each record of a vault, read with DuckDB straight from the Delta log and the Parquet files.

Nothing here runs a line of the code that wrote the vault: what is compared with it must not share its mistakes.
"""

# Queries are put together from column names of the table itself, quoted.
# ruff: noqa: S608
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

NUMERIC = frozenset({"int", "long", "double", "currency", "percent"})

# Events of a record, newest first, by the order that the vault's format gives: stamp, run, page, row.
NEWEST = """
row_number() OVER (
    PARTITION BY _record_id ORDER BY _modified_at DESC NULLS LAST, _run DESC, _seq DESC, file_row_number DESC
) = 1
"""
# Bodies of files come in by events of their own, which say nothing of whether their record lives.
OF_RECORDS = "_op <> 'attached'"
EVENTS = "read_parquet($files, union_by_name = true, filename = true, file_row_number = true)"


def backup_table(table: Path) -> pa.Table | None:
    """The newest state of every record in a table, with the event columns of its newest event; None without a table.

    A field that the newest event did not read has the value of the newest event that did: not read is not null.
    """
    files = committed_files(table)
    if not files:
        return None
    with duckdb.connect() as connection:
        columns = [
            row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {EVENTS}", {"files": files}).fetchall()
        ]
        used = connection.execute(f"SELECT _schema, bool_and({OF_RECORDS}) FROM {EVENTS} GROUP BY 1", {"files": files})
        groups = _fields_by_schemas(table, dict(used.fetchall()), columns)
        return connection.sql(_state_query(groups), params={"files": files}).to_arrow_table()


def _fields_by_schemas(table: Path, used: dict[str, bool], columns: list[str]) -> dict[tuple[str, ...], list[str]]:
    """The table's fields, grouped by the schemas that read them; those that every schema of records has the key ()."""
    of_records = tuple(sorted(schema for schema, records in used.items() if records))
    folder = table.parent.parent / "schemas"
    read_by = {
        schema: {each["name"] for each in json.loads((folder / f"{schema}.json").read_text())["fields"]}
        for schema in used
    }
    groups: dict[tuple[str, ...], list[str]] = {(): []}
    for name in (column for column in columns if not column.startswith("_")):
        readers = tuple(sorted(schema for schema, fields in read_by.items() if name in fields))
        if name not in ("filename", "file_row_number"):
            groups.setdefault(() if readers == of_records else readers, []).append(name)
    return groups


def _state_query(groups: dict[tuple[str, ...], list[str]]) -> str:
    """SQL for the newest event of each record, its fields taken from the newest event that read them."""
    partial = {schemas: names for schemas, names in groups.items() if schemas}
    left_out = ", ".join(["filename", "file_row_number", *(_quoted(n) for names in partial.values() for n in names)])
    query = f"SELECT * EXCLUDE ({left_out}) FROM {EVENTS} WHERE {OF_RECORDS} QUALIFY {NEWEST}"
    parts = [f"({query})"]
    for schemas, names in partial.items():
        fields = ", ".join(_quoted(name) for name in names)
        among = ", ".join(f"'{schema}'" for schema in schemas)
        parts.append(f"(SELECT _record_id, {fields} FROM {EVENTS} WHERE _schema IN ({among}) QUALIFY {NEWEST})")
    return f"SELECT * FROM {' LEFT JOIN '.join(_joined(parts))} ORDER BY _record_id"


def _joined(parts: list[str]) -> list[str]:
    return [parts[0], *(f"{part} AS part{number} USING (_record_id)" for number, part in enumerate(parts[1:]))]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def backup_state(table: Path) -> dict[str, dict[str, Any]]:
    """The newest state of every record in a table, by record id; empty if there is no table."""
    found = backup_table(table)
    return {} if found is None else {row["_record_id"]: row for row in found.to_pylist()}


def committed_files(table: Path) -> list[str]:
    """The Parquet files that the Delta log names, read from its JSON commits alone."""
    files: dict[str, str] = {}
    for commit in sorted((table / "_delta_log").glob("*.json")):
        for action in map(json.loads, commit.read_text(encoding="utf-8").splitlines()):
            if "add" in action:
                files[action["add"]["path"]] = str(table / action["add"]["path"])
            elif "remove" in action:
                files.pop(action["remove"]["path"], None)
    return list(files.values())
