"""The newest state of each record of a vault, read with DuckDB straight from the Delta log and the Parquet files.

Nothing here runs a line of the code that wrote the vault: what is compared with it must not share its mistakes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

NUMERIC = frozenset({"int", "long", "double", "currency", "percent"})

# The newest event of each record, by the order that the vault's format gives: stamp, run, page, row.
STATE = """
SELECT * EXCLUDE (filename, file_row_number, _observed_at, _modified_at)
FROM read_parquet($files, union_by_name = true, filename = true, file_row_number = true)
QUALIFY row_number() OVER (
    PARTITION BY _record_id ORDER BY _modified_at DESC NULLS LAST, _run DESC, _seq DESC, file_row_number DESC
) = 1
ORDER BY _record_id
"""


def backup_table(table: Path) -> pa.Table | None:
    """The newest event of every record in a table; None if there is no table."""
    files = committed_files(table)
    if not files:
        return None
    with duckdb.connect() as connection:
        return connection.sql(STATE, params={"files": files}).to_arrow_table()


def backup_state(table: Path) -> dict[str, dict[str, Any]]:
    """The newest event of every record in a table, by record id; empty if there is no table."""
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
