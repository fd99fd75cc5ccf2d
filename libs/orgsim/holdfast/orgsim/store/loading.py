"""Fills an org from folders of CSV files, in columns: no row becomes a Python object on the way.

A folder holds one `<Object>.csv` per object, `_references.json` ({object: {lookup: [parents]}}) and
`_recordtypes_<Object>.csv`. Ids in the files are local keys; each copy of the data gets ids of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from holdfast.orgsim.org import Org
from holdfast.orgsim.rules.platform import derived_columns
from holdfast.orgsim.rules.settling import settle
from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.schema.inference import field_for
from holdfast.orgsim.schema.objects import SObject, custom_lookup
from holdfast.orgsim.schema.values import canonical

LOADED_BEFORE = timedelta(days=45)
MANIFEST = "manifest.json"  # of a generated data set
ROWS_PER_STAMP = 200  # one transaction chunk carries one stamp


@dataclass(frozen=True)
class _Folder:
    """The files of a folder of objects, the objects and what their lookups point at."""

    files: dict[str, pl.DataFrame]
    objects: dict[str, SObject]
    references: dict[str, dict[str, list[str]]]


def load_folder(org: Org, folder: Path, *, multiply: int = 1) -> dict[str, int]:
    """Load every object of `folder`, `multiply` times. Returns rows loaded by object."""
    return _load_frames(org, _define_folder(org, folder), multiply)


def load_path(org: Org, path: Path, *, multiply: int = 1) -> int:
    """Load a folder of object files, the .gov register (`initial.csv` or its folder), or a generated data set.

    Returns:
        How many rows were loaded.

    Raises:
        FileNotFoundError: there is none of them.
        ValueError: a data set that does not fit the org.
    """
    if (path / MANIFEST).is_file():
        from holdfast.orgsim.store.dataset import open_dataset  # noqa: PLC0415 - brings pyarrow, which few orgs need

        return open_dataset(org, path)
    register = _register(path)
    if register.is_file():
        rows = load_dotgov(org, register)
    elif path.is_dir():
        rows = sum(load_folder(org, path, multiply=multiply).values())
    else:
        raise FileNotFoundError(f"{path} is neither a folder nor a file")
    settle(org)
    return rows


def define_path(org: Org, path: Path) -> None:
    """Define the objects and fields that `load_path` would fill, and load no row."""
    if _register(path).is_file():
        _define_dotgov(org)
    else:
        _define_folder(org, path)


def _register(path: Path) -> Path:
    return path / "initial.csv" if path.is_dir() else path


def _define_folder(org: Org, folder: Path) -> _Folder:
    references = orjson.loads((folder / "_references.json").read_bytes())
    for path in sorted(folder.glob("_recordtypes_*.csv")):
        name = path.stem.removeprefix("_recordtypes_")
        for row in read_csv(path).iter_rows(named=True):
            org.add_record_type(name, row["developer_name"], row["record_type_id"])
    files = {path.stem: read_csv(path) for path in sorted(folder.glob("[!_]*.csv"))}
    objects = {name: org.schema.define(name, auto_name="Name" not in rows.columns) for name, rows in files.items()}
    for name, rows in files.items():
        _add_fields(org, objects[name], rows, references.get(name, {}))
    return _Folder(files, objects, references)


def load_rows(org: Org, obj: SObject, rows: pl.DataFrame) -> list[str]:
    """Load plain rows (values as text, no Id) of one object. Returns their ids."""
    new_ids = org.new_ids(obj, rows.height)
    org.load(obj, _with_system_columns(org, obj, _typed(obj, rows).with_columns(new_ids)))
    return new_ids.to_list()


def load_dotgov(org: Org, path: Path) -> int:
    """Load the register of .gov domains as the custom object `Domain__c`."""
    obj = _define_dotgov(org)
    return len(load_rows(org, obj, read_csv(path).rename(DOMAIN_COLUMNS)))


def _define_dotgov(org: Org) -> SObject:
    obj = org.schema.define(DOMAIN, label="Domain")
    for column, name in DOMAIN_COLUMNS.items():
        if name != "Name" and name not in obj.fields:
            # Text, the contact's address too: the register writes "(blank)" where it has none.
            org.schema.add_field(obj, make_field(name, "string", label=column))
    return obj


DOMAIN = "Domain__c"
DOMAIN_COLUMNS = {
    "Domain name": "Name",
    "Domain type": "Domain_Type__c",
    "Organization name": "Organization__c",
    "Suborganization name": "Suborganization__c",
    "City": "City__c",
    "State": "State__c",
    "Security contact email": "Security_Contact__c",
}


def read_csv(path: Path) -> pl.DataFrame:
    """A CSV file as text columns, empty values as null."""
    return pl.read_csv(path, infer_schema=False)


def _add_fields(org: Org, obj: SObject, rows: pl.DataFrame, lookups: Mapping[str, Sequence[str]]) -> None:
    for column in rows.columns:
        known = obj.find(column)
        if known is not None:
            if column in lookups and not known["referenceTo"]:
                known["referenceTo"] = list(lookups[column])
            continue
        if column in lookups:
            org.schema.add_field(obj, custom_lookup(column, lookups[column]))
        else:
            org.schema.add_field(obj, field_for(column, rows[column]))


def _load_frames(org: Org, folder: _Folder, multiply: int) -> dict[str, int]:
    files, objects, references = folder.files, folder.objects, folder.references
    new_ids = {name: org.new_ids(objects[name], rows.height * multiply) for name, rows in files.items()}
    for name, rows in files.items():
        links = {
            column: _positions(rows[column], files, parents)
            for column, parents in references.get(name, {}).items()
            if column in rows.columns
        }
        plain = _typed(objects[name], rows.drop("Id", *links))
        copies = [
            plain.with_columns(
                new_ids[name].slice(copy * rows.height, rows.height),
                *[_remapped(name, column, link, new_ids, files, copy) for column, link in links.items()],
            )
            for copy in range(multiply)
        ]
        org.load(objects[name], _with_system_columns(org, objects[name], pl.concat(copies)))
    return {name: rows.height * multiply for name, rows in files.items()}


def _positions(
    keys: pl.Series, files: Mapping[str, pl.DataFrame], parents: Sequence[str]
) -> list[tuple[str, pl.Series]]:
    """For each parent object the row number that each key points at; null where it points elsewhere."""
    found = []
    for parent in parents:
        if parent in files:
            index = files[parent].select(key=pl.col("Id")).with_row_index("position")
            joined = keys.to_frame("key").join(index, on="key", how="left", maintain_order="left")
            found.append((parent, joined["position"]))
    return found


def _remapped(
    own: str,
    column: str,
    links: Sequence[tuple[str, pl.Series]],
    new_ids: Mapping[str, pl.Series],
    files: Mapping[str, pl.DataFrame],
    copy: int,
) -> pl.Series:
    pieces = [new_ids[parent].gather(positions + copy * files[parent].height) for parent, positions in links]
    if not pieces:  # the folder has no rows of the parent
        return pl.Series(column, [None] * files[own].height, dtype=pl.String)
    return pl.select(pl.coalesce(pieces).alias(column)).to_series()


def _typed(obj: SObject, rows: pl.DataFrame) -> pl.DataFrame:
    """Every column in canonical text; each distinct value is converted once."""
    columns = []
    for name in rows.columns:
        field = obj.fields[name]
        if field["type"] in _TEXTUAL:
            columns.append(pl.when(pl.col(name) != "").then(pl.col(name)).alias(name))
        else:
            distinct = rows[name].drop_nulls().unique().to_list()
            table: dict[str, Any] = {value: canonical(field, value) for value in distinct}
            columns.append(pl.col(name).replace_strict(table, default=None, return_dtype=pl.String))
    return rows.select(columns)


_TEXTUAL = frozenset({"string", "picklist", "multipicklist", "textarea", "phone", "url", "email", "combobox"})


def _with_system_columns(org: Org, obj: SObject, rows: pl.DataFrame) -> pl.DataFrame:
    first = (org.clock.now() - LOADED_BEFORE).replace(microsecond=0, tzinfo=None)
    second = pl.duration(seconds=pl.int_range(pl.len()) // ROWS_PER_STAMP)
    at = (pl.lit(first) + second).dt.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    who, deleted = pl.lit(org.admin.id), pl.lit("false")
    fixed = {"CreatedDate": at, "LastModifiedDate": at, "SystemModstamp": at, "CreatedById": who,
             "LastModifiedById": who, "OwnerId": who, "IsDeleted": deleted}  # fmt: skip
    present = set(rows.columns)
    rows = rows.with_columns([e.alias(n) for n, e in fixed.items() if n in obj.fields and n not in present])
    flags = [n for n, f in obj.fields.items() if f["type"] == "boolean" and n not in rows.columns]
    rows = rows.with_columns([deleted.alias(n) for n in flags])
    filled = [n for n, f in obj.fields.items() if f["type"] == "boolean" and n in rows.columns]
    rows = rows.with_columns([pl.col(n).fill_null("false") for n in filled])
    if "Name" in obj.fields and obj.fields["Name"]["autoNumber"]:
        start = org.auto_numbers.get(obj.name, 0)
        org.auto_numbers[obj.name] = start + rows.height
        rows = rows.with_columns(auto_numbers(obj.name, pl.int_range(start + 1, start + 1 + pl.len())).alias("Name"))
    return rows.with_columns(derived_columns(obj, rows.columns))


def auto_number(object_name: str, number: int) -> str:
    """The display name of record `number` of an object whose Name is an auto-number."""
    return f"{_initials(object_name)}-{number:07d}"


def auto_numbers(object_name: str, numbers: pl.Expr) -> pl.Expr:
    """`auto_number` for a column."""
    return pl.format("{}-{}", pl.lit(_initials(object_name)), numbers.cast(pl.String).str.zfill(7))


def _initials(object_name: str) -> str:
    return "".join(c for c in object_name.removesuffix("__c").split("__")[-1] if c.isupper()) or "A"
