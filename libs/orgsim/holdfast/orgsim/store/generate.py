"""Makes a large data set out of a small real one: copies with ids of their own and links among themselves, and edits.

A data set is a folder: `manifest.json`, an Arrow file per object, and under `source/` what it was made from, which
tells the fields again when the set is opened. Everything is made chunk by chunk from column expressions, so memory
depends on the chunk, not on the data.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from holdfast.orgsim import ids
from holdfast.orgsim.ledger.entries import Loaded
from holdfast.orgsim.org import Org
from holdfast.orgsim.store import chunks, edits
from holdfast.orgsim.store.disk import ChunkFile
from holdfast.orgsim.store.loading import DOMAIN, MANIFEST, ROWS_PER_STAMP, auto_numbers, load_path

UNTIL = datetime(2026, 1, 1, tzinfo=UTC)  # fixed, so that the same seed makes the same bytes
LOADED = UNTIL - timedelta(days=edits.DAYS + 15)
DOMAIN_SHARE = 10  # one row of so many is a .gov domain
STAMPS = ("CreatedDate", "LastModifiedDate", "SystemModstamp")
FORMAT = 1


@dataclass(frozen=True)
class Original:
    """One object of the small data set and how many rows are to be made of it."""

    name: str
    prefix: str
    rows: pl.DataFrame  # only columns that are not the same in every row
    constants: dict[str, str]
    links: dict[str, dict[str, pl.Series]]  # lookup → parent → number of the parent's row, from 0
    changing: list[str]
    auto_numbered: bool
    count: int

    @property
    def height(self) -> int:
        """Rows of the original."""
        return self.rows.height


def generate(folder: Path, sources: Sequence[Path], rows: int, seed: int) -> dict[str, int]:
    """Write a data set of exactly `rows` rows, as far as one source is the .gov register. Rows by object.

    Raises:
        FileExistsError: the folder holds a data set.
        FileNotFoundError: a source is no folder.
    """
    if (folder / MANIFEST).exists():
        raise FileExistsError(f"{folder} holds a data set already")
    for source in sources:
        if not source.is_dir():
            raise FileNotFoundError(f"{source} is no folder with rows to multiply")
    (folder / "source").mkdir(parents=True, exist_ok=True)
    org = Org()
    org.clock.set(UNTIL, frozen=True)
    kept = [_kept(folder, path) for path in sources]
    for path in kept:
        load_path(org, folder / path)
    names = [entry.object for entry in org.ledger.since(0) if isinstance(entry, Loaded)]
    originals = _originals(org, names, _counts(org, names, rows))
    for original in originals.values():
        _write(folder, original, originals, seed)
    manifest = {"format": FORMAT, "seed": seed, "sources": kept, "user": org.admin.id,
                "objects": {o.name: {"rows": o.count, "prefix": o.prefix, "constants": o.constants,
                                     "auto_number": o.count if o.auto_numbered else 0}
                            for o in originals.values()}}  # fmt: skip
    (folder / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    return {original.name: original.count for original in originals.values()}


def _kept(folder: Path, source: Path) -> str:
    """A copy of what is read of a source, by its name in the data set."""
    target = folder / "source" / source.name
    if (source / "initial.csv").is_file():
        target.mkdir()
        shutil.copy(source / "initial.csv", target)
    else:
        shutil.copytree(source, target)
    return str(target.relative_to(folder))


def _counts(org: Org, names: Sequence[str], rows: int) -> dict[str, int]:
    """Whole copies of what hangs together; the register, to which nothing points, makes up the rest."""
    heights = {name: len(org.tables[name]) for name in names}
    linked = sum(height for name, height in heights.items() if name != DOMAIN)
    if not linked:
        return {DOMAIN: rows}
    share = rows - rows // DOMAIN_SHARE if DOMAIN in heights else rows
    copies = max(1, share // linked)
    counts = {name: height * copies for name, height in heights.items()}
    if DOMAIN in counts:
        counts[DOMAIN] = max(0, rows - linked * copies)
    return counts


def _originals(org: Org, names: Sequence[str], counts: Mapping[str, int]) -> dict[str, Original]:
    made = {}
    frames = {name: org.tables[name].frame() for name in names}
    for name, frame in frames.items():
        obj = org.schema.objects[name]
        held = [column for column in frame.columns if frame[column].null_count() < frame.height]
        fixed = [c for c in held if c not in (*STAMPS, "Id", "IsDeleted", "Name") and frame[c].n_unique() == 1]
        parents = {str(f["name"]): [p for p in f["referenceTo"] if p in frames] for f in obj.references()}
        links = {c: _links(frame[c], {p: frames[p] for p in parents[c]}) for c in held if parents.get(c)}
        numbered = "Name" in obj.fields and bool(obj.fields["Name"]["autoNumber"])
        texts = [c for c in held if c not in (*fixed, *links, *STAMPS) and obj.fields[c]["type"] in _CHANGING]
        changing = [c for c in texts if not (numbered and c == "Name")]
        constants = {c: str(frame[c][0]) for c in fixed}
        rows = frame.select(c for c in held if c not in fixed)
        prefix = obj.key_prefix or "000"
        made[name] = Original(name, prefix, rows, constants, links, changing, numbered, counts[name])
    return made


_CHANGING = frozenset({"string", "picklist", "textarea", "email", "phone", "currency", "double"})


def _links(keys: pl.Series, parents: Mapping[str, pl.DataFrame]) -> dict[str, pl.Series]:
    found = {}
    for name, frame in parents.items():
        index = frame.select(key=pl.col("Id")).with_row_index("position")
        joined = keys.to_frame("key").join(index, on="key", how="left", maintain_order="left")
        found[name] = joined["position"].cast(pl.Int64)
    return found


def _write(folder: Path, original: Original, originals: Mapping[str, Original], seed: int) -> None:
    history = edits.draw(f"{seed}/{original.name}", original.count, len(original.changing), original.height)
    with ChunkFile(folder / f"{original.name}.arrow") as file:
        for start in range(0, original.count, chunks.CHUNK_ROWS):
            end = min(start + chunks.CHUNK_ROWS, original.count)
            file.append(_chunk(original, originals, history, pl.int_range(start, end, eager=True)))


def _chunk(
    original: Original, originals: Mapping[str, Original], history: edits.Edits, rows: pl.Series
) -> pl.DataFrame:
    """Rows number … of the object, from 0, complete except for the constants."""
    place, copy = rows % original.height, rows // original.height
    columns = {name: original.rows[name].gather(place) for name in original.rows.columns}
    columns["Id"] = ids.id_column(original.prefix, rows + 1)
    for name, parents in original.links.items():
        numbers = [
            ids.id_column(originals[parent].prefix, copy * originals[parent].height + positions.gather(place) + 1)
            for parent, positions in parents.items()
        ]
        columns[name] = pl.select(pl.coalesce(numbers)).to_series()
    if original.auto_numbered:
        columns["Name"] = pl.select(auto_numbers(original.name, pl.lit(rows + 1))).to_series()
    created = _texts(_created(original.count, history.inserted, rows))
    columns.update(dict.fromkeys(STAMPS, created))
    frame = pl.DataFrame(columns)
    some = history.rows.filter(pl.col("row").is_between(rows[0], rows[-1]))
    return _edited(frame, original, some, rows[0]) if some.height else frame


def _created(count: int, inserted: int, rows: pl.Series) -> pl.Series:
    """When each row was made, in seconds since 1970."""
    older = count - inserted
    loaded = int(LOADED.timestamp()) + rows // ROWS_PER_STAMP
    first = int(UNTIL.timestamp()) - edits.SPAN_S
    later = first + (rows - older) * edits.SPAN_S // max(1, inserted)
    return pl.select(pl.when(rows < older).then(loaded).otherwise(later)).to_series()


def _texts(seconds: pl.Series) -> pl.Series:
    """Stamps as text. Equal neighbours share their text, which a third of the space depends on."""
    runs = seconds.rle().struct.unnest()
    moments = pl.from_epoch(runs["value"], time_unit="s").dt.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return moments.gather(seconds.rle_id())


def _edited(frame: pl.DataFrame, original: Original, some: pl.DataFrame, first: int) -> pl.DataFrame:
    """The chunk with its edits: a value of another row in one field, or the mark of deletion, and later stamps."""
    at = pl.int_range(frame.height, eager=True).to_frame("row")
    mine = at.join(some.with_columns(pl.col("row") - first), on="row", how="left", maintain_order="left")
    moved = _texts(mine["at"].fill_null(0) + int(UNTIL.timestamp()) - edits.SPAN_S)
    changes: dict[str, Any] = {name: _chosen(mine["at"].is_not_null(), moved, frame[name]) for name in STAMPS[1:]}
    changes["IsDeleted"] = _chosen(mine["deleted"].fill_null(False), pl.Series(["true"]), frame["IsDeleted"])
    for number, name in enumerate(original.changing):
        hit = ((mine["field"] == number) & ~mine["deleted"]).fill_null(False)
        changes[name] = _chosen(hit, original.rows[name].gather(mine["donor"]), frame[name])
    return frame.with_columns(pl.Series(name, values) for name, values in changes.items())


def _chosen(mask: pl.Series, new: pl.Series, old: pl.Series) -> pl.Series:
    return pl.select(pl.when(mask).then(pl.lit(new[0]) if len(new) == 1 else new).otherwise(old)).to_series()
