"""What the local org is loaded with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from holdfast.launcher.demo.data import demo_data
from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.store.generate import generate
from holdfast.orgsim.testing import RunningOrg, start_org

SMALL, LARGE = 7, 70  # copies of the NPSP data: 120,981 and 1,209,810 records
WIDE, NARROW = "Wide__c", "Narrow__c"
WIDE_COLUMNS = 60
ORIGINAL_ROWS = 5_000
PLATFORM_COLUMNS = 9  # what every object of the local org has beside its own; Name is one of them


def npsp_objects(org: RunningOrg) -> list[str]:
    """The 13 objects of the NPSP data."""
    files = {path.stem for path in (demo_data() / "npsp-1k").glob("[!_]*.csv")}
    return sorted(files & org.objects().keys())


def rows_of(org: RunningOrg, objects: list[str]) -> int:
    """Records in the org, deleted ones included."""
    return sum(org.objects()[name]["rows"] for name in objects)


@contextmanager
def one_object_org(folder: Path, name: str, rows: int) -> Iterator[RunningOrg]:
    """An org with one object of `rows` rows: real values of the NPSP data, over and over."""
    source = folder / f"source-{name}"
    source.mkdir(parents=True)
    (source / "_references.json").write_text("{}")
    original(name).write_csv(source / f"{name}.csv")
    generate(folder / f"data-{name}", [source], rows, 7)
    with start_org(extra=["--data", str(folder / f"data-{name}")]) as org:
        yield org


def original(name: str) -> pl.DataFrame:
    """The rows that are multiplied: 60 columns, or two, of names, addresses, amounts and dates."""
    columns = _real_columns()
    wanted = WIDE_COLUMNS - PLATFORM_COLUMNS if name == WIDE else 2
    taken = [columns[n % len(columns)].alias(f"F{n:02d}__c") for n in range(wanted)]
    keys = pl.Series("Id", [f"{n}" for n in range(ORIGINAL_ROWS)])
    return pl.DataFrame([keys, pl.Series("Name", [f"{name[:4]} {n}" for n in range(ORIGINAL_ROWS)]), *taken])


def _real_columns() -> list[pl.Series]:
    found = []
    for name in ("Contact", "Address__c", "Opportunity", "Account"):
        frame = pl.read_csv(demo_data() / "npsp-1k" / f"{name}.csv", infer_schema=False)
        for column in frame.get_columns():
            if column.null_count() < len(column) // 2 and not column.name.endswith("Id") and column.name != "Name":
                times = ORIGINAL_ROWS // len(column) + 1
                found.append(pl.concat([column] * times).head(ORIGINAL_ROWS))
    return found


CHANGED_COLUMNS = {"Contact": "Title", "Opportunity": "StageName", "Address__c": "MailingCity__c"}


def change_one_percent(org: RunningOrg, rows: int, value: str) -> int:
    """Change 1 % of the records, scattered over three objects; how many."""
    return sum(map(len, change_scattered(org, rows // 300, value).values()))


def change_scattered(org: RunningOrg, each: int, value: str) -> dict[str, list[str]]:
    """Change that many records of each of three objects, evenly spread; their ids."""
    changed = {}
    with OrgSession(org.url, org.client_id, org.client_secret) as session:
        for name, column in CHANGED_COLUMNS.items():
            ids = [row["Id"] for row in session.query(f"SELECT Id FROM {name} ORDER BY Id")]
            changed[name] = ids[:: max(1, len(ids) // each)][:each]
            session.update(name, [{"id": one, column: value} for one in changed[name]])
    return changed
