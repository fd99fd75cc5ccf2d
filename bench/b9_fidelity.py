"""B9: fidelity: cells that equal the ledger's, of real data and of values made to break readers."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from data import npsp_objects
from environments import ROOT, Missing
from installation import Holdfast, up
from options import Options
from peers import PEERS, PeerFailed, fields_of, read_org
from report import Report

from holdfast.launcher.demo.data import demo_data
from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg, start_org

sys.path.insert(0, str(ROOT))
from tests.integration.tables import files_at
from tests.integration.test_values import FIELDS, nasty_rows

HOSTILE = "Hostile__c"
NUMBERS = {"currency", "double", "percent", "int"}
DELETED = 20
Rows = Iterable[Mapping[str, Any]]
Truth = Mapping[str, Mapping[str, str | None]]


@dataclass
class Fidelity:
    """Of one reader and one group of objects."""

    cells: int = 0
    equal: int = 0
    missing: int = 0
    doubled: int = 0
    wrong: tuple[str, str | None, object] | None = None

    @property
    def share(self) -> float:
        """Equal cells of all."""
        return self.equal / self.cells if self.cells else 0.0

    def __str__(self) -> str:
        shown = "1.0 (all)" if self.equal == self.cells else f"{self.share:.6f} ({self.cells - self.equal:,} not)"
        rows = f", {self.missing:,} records missing" if self.missing else ""
        return f"{shown} of {self.cells:,} cells{rows}" + (f", {self.doubled:,} doubled" if self.doubled else "")


def measure(report: Report, options: Options) -> None:
    """Holdfast by Bulk and by REST, then the peers, each with hostile values and with real records."""
    with start_org(load=[demo_data() / "npsp-1k"], multiply=1) as org:
        real = ["Account", "Contact", "Opportunity"] if options.quick else npsp_objects(org)
        org.define(HOSTILE, FIELDS, [{"Name": f"{n}", **row} for n, row in enumerate(nasty_rows())])
        _delete_some(org)
        truth = {name: org.state(name) for name in [*real, HOSTILE]}
        kinds = {name: _kinds(org, name) for name in truth}
        report.section("B9 Fidelity: cells equal to the ledger's", "b9-fidelity")
        ours = []
        for way, threshold in (("Bulk", "1"), ("REST", "1000000")):
            env = {"HOLDFAST_EXTRACTOR_BULK_THRESHOLD_ROWS": threshold}
            with up(options.folder / f"b9-{way}", env) as holdfast:
                held = _held(holdfast, org, list(truth))
                ours += _tell(report, f"**Holdfast**, {way}", held, truth, kinds)
        exact = all(each.equal == each.cells and not each.missing and not each.doubled for each in ours)
        cells = sum(each.cells for each in ours)
        report.aim("B9", "cells equal to the ledger's ÷ cells: exactly 1.0",
                   "1.0" if exact else f"{sum(each.equal for each in ours) / cells:.8f}", exact)  # fmt: skip
        _peers(report, org, truth, kinds, options)
        report.remark(
            f"Hostile: every value of `tests/integration/test_values.py`, in {len(FIELDS)} types of field. Real: "
            f"{len(real)} objects of the NPSP data, {DELETED} records of them in the recycle bin. A peer's cell is "
            "equal if it means the same: numbers by value, datetimes by instant, nothing and the empty text alike "
            "where a file cannot tell them apart."
        )


def _peers(
    report: Report, org: RunningOrg, truth: dict[str, Any], kinds: dict[str, dict[str, str]], options: Options
) -> None:
    fields = fields_of(org, list(truth))
    for peer in PEERS:
        try:
            out = options.folder / f"b9-{peer.package}"
            reading = read_org(peer, org, fields, out)
            held = {name: _rows(reading.files.get(name, [])) for name in truth}
            _tell(report, peer.title, held, truth, kinds)
            shutil.rmtree(out)
        except (Missing, PeerFailed) as error:
            report.add(peer.name, f"left out: {' '.join(str(error).split())[-200:]}")


def _tell(
    report: Report, who: str, held: Mapping[str, Rows], truth: dict[str, Any], kinds: dict[str, dict[str, str]]
) -> list[Fidelity]:
    hostile, real = Fidelity(), Fidelity()
    for name, rows in held.items():
        compare(rows, truth[name], kinds[name], hostile if name == HOSTILE else real)
    example = hostile.wrong or real.wrong
    report.add(who, f"hostile {hostile}; real {real}", _shown(example) if example else "")
    return [hostile, real]


def _shown(wrong: tuple[str, str | None, object]) -> str:
    field, expected, found = wrong
    text = f"{field}: `{expected!r:.40}` came as `{found!r:.40}`"
    return text.replace("|", "\\|").replace("\n", " ")


def compare(rows: Rows, truth: Truth, kinds: Mapping[str, str], into: Fidelity) -> None:
    """Add what a reader has of an object to its figures."""
    seen: set[str] = set()
    for row in rows:
        record = truth.get(str(row.get("Id")))
        if record is None or row["Id"] in seen:
            into.doubled += 1
            continue
        seen.add(row["Id"])
        into.cells += len(kinds)
        for field, kind in kinds.items():
            if same(kind, record.get(field), row.get(field)):
                into.equal += 1
            elif into.wrong is None:
                into.wrong = (field, record.get(field), row.get(field))
    into.missing += len(truth) - len(seen)
    into.cells += (len(truth) - len(seen)) * len(kinds)


def same(kind: str, expected: str | None, found: object) -> bool:
    """Whether a value means what the org holds."""
    if expected is None or expected == "":
        return found is None or found == ""
    if found is None:
        return False
    try:
        if kind in NUMBERS:
            return Decimal(expected) == Decimal(str(found))
        if kind == "boolean":
            return str(found).lower() == expected
        if kind == "datetime":
            return _instant(found) == _instant(expected)
        if kind == "date":
            return (found.isoformat() if isinstance(found, date) else str(found))[:10] == expected
        if kind == "time":
            return str(found).rstrip("Z").rstrip("0").rstrip(".") == expected.rstrip("Z").rstrip("0").rstrip(".")
    except (InvalidOperation, ValueError):
        return False
    return str(found) == expected


def _instant(value: object) -> datetime:
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return at if at.tzinfo else at.replace(tzinfo=datetime.fromisoformat("2000-01-01T00:00:00+00:00").tzinfo)


def _held(holdfast: Holdfast, org: RunningOrg, objects: list[str]) -> dict[str, Rows]:
    job = holdfast.job(org, "fidelity", objects)
    holdfast.run(job)
    vault = holdfast.data / "vault" / job / "records"
    read = {name: [pq.read_table(file) for file in files_at(vault / name)] for name in objects}
    rows = {name: chain.from_iterable(table.to_pylist() for table in tables) for name, tables in read.items()}
    return {name: [row | {"Id": row["_record_id"]} for row in each] for name, each in rows.items()}


def _rows(files: list[Path]) -> Iterator[Mapping[str, Any]]:
    csv.field_size_limit(sys.maxsize)
    for file in files:
        if file.suffix == ".parquet":
            yield from pq.read_table(file).to_pylist()
        elif file.suffix == ".jsonl":
            with file.open(encoding="utf-8") as lines:
                yield from (json.loads(line) for line in lines)
        else:
            with file.open(encoding="utf-8", newline="") as text:
                yield from csv.DictReader(text)


def _kinds(org: RunningOrg, name: str) -> dict[str, str]:
    with OrgSession(org.url, org.client_id, org.client_secret) as session:
        types = session.field_types(name)
    return {field: kind for field, kind in types.items() if kind not in ("address", "location", "base64")}


def _delete_some(org: RunningOrg) -> None:
    with OrgSession(org.url, org.client_id, org.client_secret) as session:
        rows = session.query(f"SELECT Id FROM OpportunityContactRole ORDER BY Id LIMIT {DELETED}")
        session.delete([row["Id"] for row in rows])
