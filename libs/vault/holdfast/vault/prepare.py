"""A staged page, turned into the file that will be added to the table."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.vault.columns import TIMESTAMP, table_schema
from holdfast.vault.deletions import ended_lives
from holdfast.vault.diff import Decided, Sorted, count, decide, one_per_record, settle
from holdfast.vault.files import INDEX_COLUMNS, damaged, event_rows, rows_of
from holdfast.vault.fingerprint import as_string, event_ids
from holdfast.vault.index import NO_STAMP, StateIndex
from holdfast.vault.location import VaultRoot, table_key
from holdfast.vault.page import PageMode, release_memory, write_events
from holdfast.vault.refs import Counts, EventFile, PageCounts, StagedRef
from holdfast.vault.schema import RecordSchema
from holdfast.vault.values import Past

FILE_PUT = durable_step("vault.event_file_put")


@dataclass(frozen=True)
class Prepared:
    """Pages compared with the state, their event files durable, nothing committed.

    Attributes:
        files: Files to add; none if the pages said nothing new.
        index: The state after them.
        schemas: Every schema that the table will name.
        base_version: Delta version that the pages were compared with.
    """

    pages: tuple[PageCounts, ...]
    files: tuple[EventFile, ...]
    index: StateIndex
    schemas: Mapping[str, RecordSchema]
    base_version: int

    @property
    def counts(self) -> Counts:
        """Counts of all pages together."""
        return sum((page.counts for page in self.pages), Counts())

    @property
    def page_ids(self) -> tuple[str, ...]:
        """The pages, in order."""
        return tuple(page.page_id for page in self.pages)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not self.files

    @property
    def bytes(self) -> int:
        """Size of the files to add."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class Workshop:
    """What turning one page into events needs to know of its table.

    Attributes:
        likely: Fields that moved in pages before; those that move are added.
    """

    root: VaultRoot
    job_id: str
    object: str
    schemas: Mapping[str, RecordSchema]
    likely: set[str] = field(default_factory=set)

    @property
    def table(self) -> str:
        """Key of the table's folder."""
        return table_key(self.job_id, self.object)

    def prepare(self, ref: StagedRef, index: StateIndex) -> tuple[Counts, EventFile | None, StateIndex]:
        """Compare a page with the state and write its events.

        Raises:
            HoldfastError: DAMAGED if the staged file is not what was announced; NOT_FOUND.
        """
        if self._merged_since(ref, index):
            return Counts(repeated=ref.rows), None, index
        data = self.as_announced(ref)
        if ref.mode == "census":
            return Counts(), None, index  # it is held against the state, and changes nothing
        if ref.mode == "bodies":
            return self._bodies(ref, data, index)
        events = pl.scan_parquet(data).select(INDEX_COLUMNS).collect()
        keys, index = index.keys_of(events["_record_id"])
        rows = event_rows(events).with_columns(keys)
        observed = one_per_record(rows.drop("id"))
        if ref.schema.key and observed.stale:
            _require_same_keys(ref.schema, data)
        comparable = self.comparable(ref.schema, index.files)
        repeats = 0
        if ref.mode in ("full", "incremental") and all(comparable):
            same = index.repeats(observed.rows)
            repeats = int(same.sum())
            observed = Sorted(observed.rows.filter(~same), observed.stale)
            if not len(observed.rows):
                return Counts(repeated=repeats, stale=observed.stale), None, index
        state = index.lookup(observed.rows["key"])
        in_place = ref.path.startswith(self.table + "/") and ref.mode == "baseline"
        if in_place and not observed.stale and state["key"].null_count() == len(state):
            return self._as_it_is(ref, observed.rows, index)
        if ref.mode == "deletions":
            ended = ended_lives(observed.rows, state)
            state, observed = ended.state, Sorted(ended.rows, observed.stale + ended.left_out)
        decided = decide(
            observed.rows,
            state,
            orders=index.orders(),
            comparable=comparable,
            run=ref.run,
            seq=ref.seq,
            mode=ref.mode,
        )
        rows = decided.rows.with_columns(events["_record_id"].gather(decided.rows["row"]).alias("id"))
        decided = replace(decided, rows=rows, repeated=decided.repeated + repeats)
        return self._written(ref, data, decided, observed.stale, index)

    def _merged_since(self, ref: StagedRef, index: StateIndex) -> bool:
        """Whether the page is a file of the table whose rows lie in a merged one by now: it may be gone, and says
        nothing new.
        """
        if not index.merged or not ref.path.startswith(self.table + "/"):
            return False
        path = ref.path.removeprefix(self.table + "/")
        return any(file.path == path for file in index.files) and self.root.size(ref.path) is None

    def as_announced(self, ref: StagedRef) -> bytes:
        """The page's bytes, read once; their hash stands for every checksum inside.

        Raises:
            HoldfastError: DAMAGED if they are not what was announced; NOT_FOUND.
        """
        data = self.root.read(ref.path)
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise damaged(ref.path, ValueError("the bytes are not those that were announced"))
        try:
            rows = pq.read_metadata(pa.BufferReader(data)).num_rows
        except (pa.ArrowException, OSError) as error:
            raise damaged(ref.path, error) from error
        if rows != ref.rows:
            raise damaged(ref.path, ValueError("the rows are not those that were announced"))
        return data

    def _as_it_is(
        self, ref: StagedRef, observed: pl.DataFrame, index: StateIndex
    ) -> tuple[Counts, EventFile | None, StateIndex]:
        """A baseline of new records only: the staged file is the table's file, nothing is written again."""
        if not len(observed):
            return Counts(), None, index
        deleted = int(observed["deleted"].sum())
        counts = Counts(captured=len(observed) - deleted, deleted=deleted)
        file = self._in_place(ref)
        return counts, file, index.with_file(file, observed)

    def _bodies(self, ref: StagedRef, data: bytes, index: StateIndex) -> tuple[Counts, EventFile | None, StateIndex]:
        """What the page says of bodies; nothing that another page of the run has said."""
        known = self._said_of_bodies(ref.run, index) if ref.again else pl.Series([], dtype=pl.String)
        if known.is_empty():
            file = self._in_place(ref)
            return Counts(attached=ref.rows), file, index.with_bodies(file)
        table = pq.read_table(pa.BufferReader(data))
        new = ~pl.Series(table["_event_id"]).is_in(known)
        repeated = ref.rows - int(new.sum())
        if repeated == ref.rows:
            return Counts(repeated=repeated), None, index
        file = self._put(ref, table.filter(new.to_arrow()))
        return Counts(attached=file.rows, repeated=repeated), file, index.with_bodies(file)

    def _said_of_bodies(self, run: int, index: StateIndex) -> pl.Series:
        """Ids of the run's events of bodies."""
        layout, found = index.layout, [pl.Series([], dtype=pl.String)]
        for number, page in enumerate(layout.pages):
            if page.mode == "bodies" and page.run == run:
                place = layout.place(number)
                data = pa.BufferReader(self.root.read(f"{self.table}/{place.path}"))
                ids = pq.read_table(data, columns=["_event_id"])
                found.append(pl.Series(ids["_event_id"].slice(place.start, page.rows).cast(pa.string())))
        return pl.concat(found)

    def _in_place(self, ref: StagedRef) -> EventFile:
        """The staged file as a file of the table: it was written in its folder, in its form."""
        size = self.root.size(ref.path) or 0
        return event_file(ref, ref.path.removeprefix(self.table + "/"), ref.sha256, ref.rows, size)

    def comparable(self, schema: RecordSchema, files: Sequence[EventFile]) -> list[bool]:
        """Whether each file's fingerprints cover every field of the page that some file has ever had."""
        by_id = {file.schema: self.schemas[file.schema] for file in files}
        ever = frozenset[str]().union(*(known.names for known in by_id.values()))
        covers = {schema_id: schema.names & ever <= known.names for schema_id, known in by_id.items()}
        return [covers[file.schema] for file in files]

    def _written(
        self, ref: StagedRef, data: bytes, decided: Decided, stale: int, index: StateIndex
    ) -> tuple[Counts, EventFile | None, StateIndex]:
        rows = decided.rows.with_row_index("at")
        page = rows_of(data, rows["row"]) if len(rows) else None
        events = self._with_changes(ref, rows, page, index).sort("row")
        dropped = len(rows) - len(events)
        counts = count(events, decided.repeated + dropped, decided.stale + stale)
        if page is None or not len(events):
            return counts, None, index
        table = event_table(page[events["at"]], events, f"{self.job_id}/{self.object}", ref.run, ref.mode)
        file = self._put(ref, table)
        changes = events.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"))
        release_memory()
        return counts, file, index.with_file(file, changes)

    def _with_changes(
        self, ref: StagedRef, rows: pl.DataFrame, page: pl.DataFrame | None, index: StateIndex
    ) -> pl.DataFrame:
        names = ref.schema.compared
        looked = rows.filter("look")
        changed = pl.Series("changed", [], dtype=pl.List(pl.String))
        if page is not None and len(looked):
            wanted = looked.select("id", "s_file", "s_row", "s_print", "print")
            past = Past(self.root, self.table, index.layout, self.schemas, self.likely)
            changed = past.changes(wanted, page.select(names).filter(rows["look"]), names)
            _require_one_key(ref.schema, changed)
        none = pl.repeat(None, len(rows) - len(looked), dtype=pl.List(pl.String), eager=True)
        whole = pl.concat([looked, rows.filter(~pl.col("look"))])
        return settle(whole.with_columns(pl.concat([changed, none]).alias("changed")))

    def _put(self, ref: StagedRef, table: pa.Table) -> EventFile:
        with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
            out = Path(folder) / "events.parquet"
            written = write_events(table, out)
            path = f"{ref.run}/{ref.page_id}-{written.sha256}.parquet"
            self.root.put_new(f"{self.table}/{path}", out, FILE_PUT)
        return event_file(ref, path, written.sha256, table.num_rows, written.bytes)


def _require_one_key(schema: RecordSchema, changed: pl.Series) -> None:
    """Check that no key field of a record moved: that would be two keys of the same hash."""
    if schema.key and changed.explode().is_in(list(schema.key)).any():
        raise _same_id(schema)


def _require_same_keys(schema: RecordSchema, data: bytes) -> None:
    """Check that rows of a page which share an id share their key: a row that came twice does."""
    page = pl.read_parquet(data, columns=["_record_id", *schema.key])
    if page.n_unique() != page["_record_id"].n_unique():
        raise _same_id(schema)


def _same_id(schema: RecordSchema) -> HoldfastError:
    message = f"Two records of {schema.object} have the same id in the backup, so that one would replace the other."
    return HoldfastError(Kind.DAMAGED, message, code="keys-collide")


def event_file(ref: StagedRef, path: str, sha256: str, rows: int, size: int) -> EventFile:
    """The file of a page."""
    return EventFile(path, sha256, rows, size, ref.page_id, ref.run, ref.seq, ref.schema.schema_id, ref.mode)


def event_table(page: pl.DataFrame, events: pl.DataFrame, table_name: str, run: int, mode: PageMode) -> pa.Table:
    """A page's rows, each with the operation, changed fields and id of its event."""
    stamps = events.select(pl.col("stamp").replace(NO_STAMP, None))["stamp"]
    ids = event_ids(
        table_name,
        record_ids=events["id"],
        run=run,
        ops=events["op"],
        stamps_ms=stamps,
        prints=events["print"],
    )
    fields = [name for name in page.columns if not name.startswith("_")]
    changed = events["changed"].to_arrow().cast(pa.list_(pa.string()))
    replaced = {"_event_id": ids, "_op": as_string(events["op"]), "_changed": changed}
    if mode == "deletions":
        replaced["_modified_at"] = stamps.cast(pl.Datetime("ms", "UTC")).to_arrow().cast(TIMESTAMP)
    schema = table_schema(fields)
    taken = page.drop(replaced).to_arrow()
    columns = [replaced[f.name] if f.name in replaced else taken.column(f.name).cast(f.type) for f in schema]
    return pa.table(columns, schema=schema)


def prepare_all(workshop: Workshop, staged: Sequence[StagedRef], index: StateIndex) -> Prepared:
    """Compare pages with the state one after the other, each with the state after those before it."""
    pages, files = [], []
    base_version = index.version
    schemas = dict(workshop.schemas)
    for ref in staged:
        schemas[ref.schema.schema_id] = ref.schema
        counts, file, index = replace(workshop, schemas=schemas).prepare(ref, index)
        pages.append(PageCounts(ref.page_id, counts))
        if file is not None:
            files.append(file)
    if len({page.page_id for page in pages}) != len(pages):
        raise HoldfastError(Kind.INVALID, "A page was given twice in one commit.", code="page-given-twice")
    return Prepared(tuple(pages), tuple(files), index, schemas, base_version)
