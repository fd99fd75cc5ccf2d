"""The vault's tables as anybody reads them: the Delta log's JSON, and DuckDB on the files that it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb


def files_at(table: Path, version: int | None = None) -> list[str]:
    """The Parquet files of a version of a table, the newest by default."""
    files: dict[str, str] = {}
    for commit in sorted((table / "_delta_log").glob("*.json")):
        if version is not None and int(commit.stem) > version:
            break
        for action in map(json.loads, commit.read_text(encoding="utf-8").splitlines()):
            if "add" in action:
                files[action["add"]["path"]] = str(table / action["add"]["path"])
            elif "remove" in action:
                files.pop(action["remove"]["path"], None)
    return list(files.values())


def query(table: Path, sql: str, version: int | None = None) -> list[dict[str, Any]]:
    """Rows of a query over `events`, every row of the table."""
    files = files_at(table, version)
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE VIEW events AS SELECT * FROM read_parquet("
            + repr(files)
            + ", union_by_name = true, filename = true)"
        )
        answer = connection.execute(sql)
        names = [column[0] for column in answer.description or []]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def assert_nothing_twice(vault: Path, job_id: str, objects: list[str]) -> None:
    """No event is in a table twice."""
    for name in objects:
        counts = query(
            vault / job_id / "records" / name,
            "SELECT count(*) AS rows, count(DISTINCT _event_id) AS events, count(DISTINCT (_run, _seq, _record_id)) "
            "AS places FROM events",
        )[0]
        assert counts["rows"] == counts["events"] == counts["places"], (name, counts)
