"""B4: a day's pages of a wide object against the stored state, down to durable events, beside reladiff and a floor."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from data import WIDE, original
from environments import Missing, python_of, version_of
from options import Options
from peers import PROGRAMS, PeerFailed
from report import Report, Runs

from holdfast.common.failpoints import durable_step
from holdfast.vault.canonical import canonical
from holdfast.vault.location import VaultRoot
from holdfast.vault.page import PageMeta, page_key, write_page
from holdfast.vault.refs import Counts, StagedRef
from holdfast.vault.schema import FieldType, RecordSchema, schema_key
from holdfast.vault.table import RecordTable

JOB = "00000000-0000-0000-0000-000000000001"
PAGE_ROWS = 7_000  # about 10 MB
STAGED = durable_step("bench.page_staged")
PLATFORM = {
    "Id": "id", "IsDeleted": "boolean", "CreatedDate": "datetime", "CreatedById": "reference",
    "LastModifiedDate": "datetime", "LastModifiedById": "reference", "OwnerId": "reference",
    "SystemModstamp": "datetime",
}  # fmt: skip
ROUNDS = 3
RELADIFF_ROWS, RELADIFF_TIMEOUT_S = 50_000, 300  # what it takes grows with the rows


@dataclass
class Day:
    """A table of one object and the pages of a day."""

    root: VaultRoot
    table: RecordTable
    schema: RecordSchema
    folder: Path

    def stage(self, run: int, mode: str, records: pl.DataFrame) -> list[StagedRef]:
        """Write pages as the extractor does."""
        refs = []
        for seq, piece in enumerate(_pieces(records), start=1):
            meta = PageMeta(JOB, WIDE, run, seq, f"{run}-{seq}", mode, self.schema, datetime.now(UTC))  # type: ignore[arg-type]
            page = write_page(canonical(piece, self.schema, "bulk"), meta, self.folder / "page.parquet")
            path = page_key(meta, page.sha256)
            self.root.put_new(path, page.path, STAGED)
            refs.append(StagedRef(path, meta.page_id, run, seq, page.rows, page.sha256, meta.mode, self.schema))
        return refs

    def commit(self, refs: list[StagedRef]) -> dict[str, int]:
        """Page by page, or several that say nothing new, as the differ does; what the pages became."""
        total, left = Counts(), refs
        while left:
            if passed := self.table.unchanged(left):
                total, left = sum(passed, total), left[len(passed) :]
                continue
            prepared = self.table.apply(left[:1])
            total += self.table.commit(prepared, self.table.head.commit_seq + 1).counts
            left = left[1:]
        return total.to_json()


def measure(report: Report, options: Options) -> None:
    """A million rows, or a part of them."""
    rows = 20_000 if options.quick else 1_000_000 if options.large else 300_000
    before = records(rows)
    after = next_day(before)
    day = _table(options.folder / "b4", before)
    baseline = day.stage(1, "baseline", before)
    day.commit(baseline)
    report.section(f"B4 Diff: {rows:,} records of {len(day.schema.fields)} columns, 1 % changed", "b4-diff")
    floors, detections, diffs, became = [], [], [], {}
    for number in range(ROUNDS):
        again = day.stage(2 + 3 * number, "full", before)
        changed = day.stage(3 + 3 * number, "full", after)
        floors.append(_seconds(lambda: _read_both(day, baseline, changed)))  # noqa: B023 - called here
        detections.append(_seconds(lambda: day.commit(again)))  # noqa: B023
        started = perf_counter()
        became = day.commit(changed)
        diffs.append(perf_counter() - started)
        if number < ROUNDS - 1:
            day = _table(options.folder / f"b4-{number}", before)
            baseline = day.stage(1, "baseline", before)
            day.commit(baseline)
    _tell(report, Runs(floors), Runs(detections), Runs(diffs), became)
    _against_reladiff(report, options, before, after, Runs(diffs).median)


def _tell(report: Report, floor: Runs, detection: Runs, diff: Runs, became: dict[str, int]) -> None:
    report.add("floor: ids and fingerprints of both sides read from Parquet", f"{floor.median:.2f} s", str(floor))
    report.add("**detection**: the same records again, nothing changed", f"{detection.median:.2f} s", str(detection))
    what = ", ".join(f"{count:,} {name}" for name, count in sorted(became.items()))
    report.add("**whole diff**, names of changed fields, events, commits", f"{diff.median:.2f} s ({what})", str(diff))
    times = detection.median / floor.median
    report.aim("B4", "detection ≤ 2 × reading both sides' ids and fingerprints", f"{times:.1f} ×", times <= 2)
    times = diff.median / floor.median
    report.aim("B4", "with names of changed fields ≤ 6 ×", f"{times:.1f} ×", times <= 6)


def _against_reladiff(report: Report, options: Options, before: pl.DataFrame, after: pl.DataFrame, ours: float) -> None:
    out = options.folder / "reladiff"
    out.mkdir()
    part = min(RELADIFF_ROWS, len(before))
    before.head(part).write_parquet(out / "before.parquet")
    after.head(part).filter(pl.col("IsDeleted") == "false").write_parquet(out / "after.parquet")
    work = {"out": str(out), "before": str(out / "before.parquet"), "after": str(out / "after.parquet")}
    (out / "work.json").write_text(json.dumps(work))
    try:
        command = [str(python_of("reladiff")), str(PROGRAMS / "reladiff_tables.py"), str(out / "work.json")]
        said = _run(command)
        seconds, found = said["seconds"], said["found"]
        report.add(f"reladiff {version_of('reladiff')} between two DuckDB tables, nothing stored",
                   f"{seconds:.1f} s for {part:,} of the records, {found:,} differences")  # fmt: skip
        times = (seconds / part) / (ours / len(before))
        report.aim("B4", "≥ 20 × reladiff, per record", f"{times:.0f} ×", times >= 20)
    except (Missing, PeerFailed) as error:
        report.add("reladiff", f"left out: {' '.join(str(error).split())[-200:]}")
    finally:
        shutil.rmtree(out)


def _run(command: list[str]) -> dict[str, float]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=RELADIFF_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise PeerFailed(f"did not end within {RELADIFF_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise PeerFailed(done.stderr[-400:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def records(rows: int) -> pl.DataFrame:
    """Rows of 60 columns of real values, as canonical text."""
    values = original(WIDE).drop("Id")
    times = -(-rows // len(values))
    own = pl.concat([values] * times).head(rows)
    alphabet = [*"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"]
    at = pl.int_range(rows, eager=True)
    letters = [pl.Series(alphabet).gather((at // 62**n) % 62) for n in (3, 2, 1, 0)]
    ids = pl.select(pl.concat_str([pl.lit("a0000000000"), *letters, pl.lit("AAA")])).to_series()
    constants = {name: pl.lit("2026-01-01T00:00:00.000Z") for name, kind in PLATFORM.items() if kind == "datetime"}
    constants |= {name: pl.lit("005000000000001AAA") for name, kind in PLATFORM.items() if kind == "reference"}
    return own.with_columns(IsDeleted=pl.lit("false"), **constants).select(ids.alias("Id"), pl.all())


def next_day(before: pl.DataFrame) -> pl.DataFrame:
    """1 % of the records changed, scattered; a tenth of these deleted."""
    at = pl.int_range(pl.len())
    changed, deleted = at % 100 == 7, at % 1000 == 7
    later = pl.lit("2026-01-02T00:00:00.000Z")
    return before.with_columns(
        F01__c=pl.when(changed & ~deleted).then(pl.lit("Changed since")).otherwise("F01__c"),
        F30__c=pl.when(changed & ~deleted).then(pl.lit("also")).otherwise("F30__c"),
        IsDeleted=pl.when(deleted).then(pl.lit("true")).otherwise("IsDeleted"),
        SystemModstamp=pl.when(changed).then(later).otherwise("SystemModstamp"),
    )


def _table(folder: Path, before: pl.DataFrame) -> Day:
    folder.mkdir(parents=True)
    root = VaultRoot.local(folder / "vault")
    names = {name: PLATFORM.get(name, "string") for name in before.columns}
    schema = RecordSchema(WIDE, tuple(FieldType(name, kind) for name, kind in names.items()))
    root.put_new(schema_key(JOB, schema.schema_id), schema.to_json(), STAGED)
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    return Day(root, RecordTable.open_or_create(root, JOB, WIDE, key, schema), schema, folder)


def _pieces(frame: pl.DataFrame) -> Iterator[pa.Table]:
    for piece in frame.iter_slices(PAGE_ROWS):
        table = piece.to_arrow()
        yield table.cast(pa.schema([(name, pa.string()) for name in table.column_names]))


def _read_both(day: Day, *sides: list[StagedRef]) -> None:
    for refs in sides:
        for ref in refs:
            path = day.root.path(ref.path)
            assert path is not None
            pq.read_table(path, columns=["_record_id", "_fingerprint"])


def _seconds(work: object) -> float:
    started = perf_counter()
    work()  # type: ignore[operator]
    return perf_counter() - started
