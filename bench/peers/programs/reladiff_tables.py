"""reladiff between two tables of DuckDB, all columns, its fastest way (within one database: a join)."""

import json
import sys
import time
from pathlib import Path

import duckdb
from reladiff import connect, diff_tables

work = json.loads(Path(sys.argv[1]).read_text())
path = work["out"] + "/tables.duckdb"
with duckdb.connect(path) as db:
    for name in ("before", "after"):
        db.execute(f"CREATE TABLE {name}_day AS SELECT * FROM read_parquet('{work[name]}')")
    columns = [row[0] for row in db.execute("DESCRIBE before_day").fetchall() if row[0] != "Id"]

database = connect({"driver": "duckdb", "filepath": path})
from reladiff import TableSegment  # noqa: E402

sides = [
    TableSegment(database, (f"{name}_day",), ("Id",), extra_columns=tuple(columns), case_sensitive=True)
    for name in ("before", "after")
]
started = time.perf_counter()
found = sum(1 for _ in diff_tables(*sides, **({"algorithm": work["algorithm"]} if work.get("algorithm") else {})))
print(json.dumps({"seconds": time.perf_counter() - started, "found": found}))
