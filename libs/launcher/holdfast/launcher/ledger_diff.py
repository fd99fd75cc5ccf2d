"""Whether a vault tells what an org's ledger tells: by object which records are missing, extra or different.

Both sides are columns from end to end, so the size of the org does not matter much.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import polars as pl

from holdfast.launcher.vault_state import NUMERIC, backup_table
from holdfast.orgsim.ledger.replay import Truth

SHOWN = 20
_NOT_STORED = frozenset({"base64", "address", "location"})


@dataclass
class ObjectDiff:
    """How one object compares.

    Attributes:
        records: Records on both sides.
        missing: Records of the ledger that the vault has not.
        extra: Records of the vault that the ledger never had, or that it had and the vault still calls alive.
        different: Records with another value, or deleted on one side only.
        examples: The first of them, in words.
    """

    object: str
    records: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether both sides tell the same."""
        return not (self.missing or self.extra or self.different)

    def document(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)

    def show(self, lines: Collection[str]) -> None:
        """Keep examples while there is room."""
        self.examples += list(lines)[: SHOWN - len(self.examples)]


def job_folder(vault: Path, job: str | None) -> Path:
    """The folder of a backup job in a vault; the only one if none is named.

    Raises:
        ValueError: there is none, or there are several and none is named.
    """
    if (vault / "records").is_dir():
        return vault
    found = sorted(path.parent for path in vault.glob("*/records"))
    chosen = [path for path in found if job in (None, path.name)]
    if len(chosen) != 1:
        names = ", ".join(path.name for path in found) or "no backup at all"
        raise ValueError(
            f"{vault} holds {names}: name one with --job" if len(found) != 1 else f"no job {job} in {vault}"
        )
    return chosen[0]


def tables(folder: Path) -> list[str]:
    """The objects that a job's folder holds."""
    return sorted(path.parent.name for path in folder.glob("records/*/_delta_log"))


def diff_object(name: str, truth: Truth | None, folder: Path) -> ObjectDiff:
    """Compare one object.

    Args:
        name: The object.
        truth: What the ledger tells of it; None: nothing.
        folder: The job's folder.
    """
    result = ObjectDiff(name)
    found = backup_table(folder / "records" / name)
    held = pl.DataFrame(schema=_NOTHING) if found is None else cast(pl.DataFrame, pl.from_arrow(found))
    known = pl.DataFrame(schema={"Id": pl.String, "IsDeleted": pl.String}) if truth is None else truth.rows
    gone = pl.Series([], dtype=pl.String) if truth is None else truth.gone
    held_ids, known_ids = held["_record_id"], known["Id"]
    missing = known_ids.filter(~known_ids.is_in(held_ids.implode()))
    lost = held.filter(~pl.col("_record_id").is_in(known_ids.implode()))
    extra = lost.filter(~((pl.col("_op") == "deleted") & pl.col("_record_id").is_in(gone.implode())))["_record_id"]
    result.missing, result.extra = len(missing), len(extra)
    result.show([f"{i} is missing in the vault" for i in missing.head(SHOWN)])
    result.show([f"{i} is in the vault and not in the org" for i in extra.head(SHOWN)])
    _compare(result, known, held, _types(folder, held["_schema"].unique().to_list()))
    for field_name in _file_fields(known):
        _compare_bodies(result, known, held, field_name)
    return result


def _file_fields(known: pl.DataFrame) -> list[str]:
    """The fields of which the ledger holds contents: it names them by hash and size, as the vault does."""
    texts = [name for name, kind in known.schema.items() if kind == pl.String]
    return [name for name in texts if known[name].str.contains(r"^sha256:[0-9a-f]{64}:\d+$").any()]


def _compare_bodies(result: ObjectDiff, known: pl.DataFrame, held: pl.DataFrame, name: str) -> None:
    """Compare the files of living records: once a record is deleted, its file cannot be read any more."""
    living = known.filter(pl.col("IsDeleted").ne_missing("true")) if "IsDeleted" in known.columns else known
    found = held.select(pl.col("_record_id").alias("Id"), pl.col(name) if name in held.columns else _NONE.alias(name))
    both = living.select("Id", pl.col(name).alias(ORG + name)).join(found, on="Id", how="inner")
    wrong = both.filter(pl.col(ORG + name).ne_missing(pl.col(name)))
    result.different += wrong.height
    rows = wrong.select("Id", ORG + name, name).head(SHOWN).rows()
    result.show([f"{i}.{name}: the org has {told!r}, the vault {there!r}" for i, told, there in rows])


_NONE = pl.lit(None, dtype=pl.String)


_NOTHING = {"_record_id": pl.String, "_op": pl.String, "_schema": pl.String}


def _types(folder: Path, schema_ids: Collection[str]) -> dict[str, str]:
    """Type by field of everything that a record's events were read with, bodies and the id left out."""
    types: dict[str, str] = {}
    for schema_id in sorted(schema_ids):
        document = json.loads((folder / "schemas" / f"{schema_id}.json").read_text())
        types |= {each["name"]: each["type"] for each in document["fields"]}
    return {name: kind for name, kind in types.items() if name != "Id" and kind not in _NOT_STORED}


def _compare(result: ObjectDiff, known: pl.DataFrame, held: pl.DataFrame, types: Mapping[str, str]) -> None:
    both = known.rename(lambda name: ORG + name).join(held, left_on=ORG + "Id", right_on="_record_id", how="inner")
    present = set(both.columns)
    nothing = pl.lit(None, dtype=pl.String)
    sides = {
        name: (
            _plain(pl.col(ORG + name), kind) if ORG + name in present else nothing,
            _plain(pl.col(name), kind) if name in present else nothing,
        )
        for name, kind in types.items()
    }
    other = {name: left.ne_missing(right).alias(DIFFERS + name) for name, (left, right) in sides.items()}
    deleted = (pl.col(ORG + "IsDeleted") == "true").ne_missing(pl.col("_op") == "deleted").alias(DIFFERS)
    marks = both.select(pl.col(ORG + "Id").alias("Id"), deleted, *other.values())
    wrong = marks.select(pl.any_horizontal(pl.all().exclude("Id"))).to_series()
    result.records += both.height
    result.different += int(wrong.sum())
    if wrong.any():
        _show_cells(result, both.filter(wrong), marks.filter(wrong), types)


ORG, DIFFERS = "org.", "differs."


def _plain(value: pl.Expr, kind: str) -> pl.Expr:
    """Numbers without trailing zeros, which the two sides write differently."""
    if kind not in NUMERIC:
        return value
    return value.str.replace(r"^(-?\d+\.\d*?)0+$", "$1").str.replace(r"\.$", "")


def _show_cells(result: ObjectDiff, both: pl.DataFrame, marks: pl.DataFrame, types: Mapping[str, str]) -> None:
    rows = zip(both.head(SHOWN).rows(named=True), marks.head(SHOWN).rows(named=True), strict=True)
    for row, mark in rows:
        if mark[DIFFERS]:
            side = "" if row[ORG + "IsDeleted"] == "true" else "not "
            result.show([f"{mark['Id']} is {side}deleted in the org, not so in the vault"])
        result.show(
            [
                f"{mark['Id']}.{name}: the org has {row.get(ORG + name)!r}, the vault {row.get(name)!r}"
                for name in types
                if mark[DIFFERS + name]
            ]
        )
