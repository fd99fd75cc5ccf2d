"""The proof that a table is what was written: `docs/formats/vault.md` §10.

Everything is read again from the store; no cache, index or Delta checkpoint is trusted.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.blobs import BlobRef, blob_fault
from holdfast.vault.bodies import references
from holdfast.vault.chain import GENESIS, ChainHead, Link, head_after, signed_by
from holdfast.vault.commit import app_id, open_delta
from holdfast.vault.files import read_events
from holdfast.vault.index import StateIndex
from holdfast.vault.index_store import NOTHING, newest_index_key, read_index, same_entries, states
from holdfast.vault.layout import Layout, Replacement, StoredFile
from holdfast.vault.location import StoreLocation, VaultRoot, table_key
from holdfast.vault.log import LogCommit, TableLog
from holdfast.vault.multiset import Multiset
from holdfast.vault.schema import schema_key
from holdfast.vault.verify_merged import merged_rows_fault, replaced_fault, replacement_faults, rows_of


@dataclass(frozen=True, order=True)
class Damage:
    """Something that is not as it was written. `path` is a key in the store."""

    path: str
    reason: str


@dataclass(frozen=True)
class Progress:
    """How far a check is."""

    done_files: int
    files: int
    bytes: int


@dataclass
class Report:
    """What a check found.

    Attributes:
        damage: Empty if the table is whole.
        bodies: Bodies of files that the table names, each counted once.
        unreferenced: Files in the table's folder that no commit names: pages in flight, left over, or put there.
        head: The chain's head as recomputed.
        heads: Chain head by Delta version, of every commit that has one.
        living: Living records by Delta version; empty if the table is damaged, or was not to be counted.
    """

    damage: list[Damage] = field(default_factory=list)
    unreferenced: list[str] = field(default_factory=list)
    commits: int = 0
    files: int = 0
    rows: int = 0
    bytes: int = 0
    bodies: int = 0
    head: ChainHead = field(default_factory=lambda: ChainHead(0, GENESIS))
    heads: dict[int, str] = field(default_factory=dict)
    living: dict[int, int] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damage


def verify_table(
    store: StoreLocation | VaultRoot,
    job_id: str,
    object_name: str,
    *,
    key: Ed25519PublicKey,
    expected: ChainHead | None,
    read: Callable[[StoredFile], bool] = lambda _: True,
    progress: Callable[[Progress], None] = lambda _: None,
    count: bool = False,
) -> Report:
    """Check a table; damage is reported, not raised.

    Args:
        key: Of the signer.
        expected: The head that is remembered outside the bucket; without it a rollback cannot be seen.
        read: Which files are read again whole; of the others only presence and size are checked.
        progress: Called after each file.
        count: Count the living records at each version.

    Raises:
        HoldfastError: UNAVAILABLE if the store cannot be asked.
    """
    check = _Check(TableLog(VaultRoot.of(store), job_id, object_name), key, Report())
    check.chain(expected)
    files = check.layout.stored()
    for number, file in enumerate(files, start=1):
        check.file(file, whole=read(file))
        progress(Progress(number, len(files), check.report.bytes))
    check.schemas()
    check.folder(files)
    if check.report.whole:
        check.delta(files)
        check.state(count=count)
    return check.report


def commits_after(
    store: StoreLocation | VaultRoot,
    job_id: str,
    object_name: str,
    *,
    key: Ed25519PublicKey,
    known: ChainHead | None,
    newest: int,
) -> list[LogCommit]:
    """Commits since a remembered head, each checked to follow it and to be signed by us.

    Args:
        known: The remembered head; None checks from the table's first commit.
        newest: The version to end at.

    Raises:
        HoldfastError: DAMAGED if the head is not in the log, or a commit after it is not what was written.
    """
    log = TableLog(VaultRoot.of(store), job_id, object_name)
    check = _Check(log, key, Report(head=known or ChainHead(0, GENESIS)))
    previous: str | None = check.report.head.head
    found: list[LogCommit] = []
    for version in range(newest, -1, -1):
        commit = log.read(version)
        if commit.chain_head().head == previous:
            break
        found.insert(0, commit)
    for commit in found:
        previous = check._link(commit, previous)
    if check.report.damage:
        # A log without the remembered head begins with a commit that does not follow it.
        first = check.report.damage[0]
        message = f"The vault's table of {object_name} has commits that cannot be relied on: {first.reason}."
        raise HoldfastError(Kind.DAMAGED, message, code="foreign-commits", detail=first.path)
    return found


@dataclass
class _Check:
    log: TableLog
    key: Ed25519PublicKey
    report: Report
    layout: Layout = field(default_factory=Layout)
    merges: dict[str, Replacement] = field(default_factory=dict)
    _blobs: set[BlobRef] = field(default_factory=set)

    @property
    def table(self) -> str:
        return table_key(self.log.job_id, self.log.object)

    def note(self, path: str, reason: str) -> None:
        self.report.damage.append(Damage(path, reason))

    def chain(self, expected: ChainHead | None) -> None:
        """Recompute the chain, and the files that it leads to."""
        versions = self.log.versions()
        if not versions:
            self.note(self.log.folder, "the table has no commits")
            return
        heads = {GENESIS}
        previous: str | None = GENESIS
        for version in range(versions[-1] + 1):
            commit = self._commit(version)
            previous = self._link(commit, previous) if commit else None
            if commit and commit.link:
                heads.add(commit.link.head)
                self.report.heads[version] = commit.link.head
                self._files_of(commit)
        if expected is not None and expected.head not in heads:
            self.note(
                self.log.folder,
                f"commit {expected.commit_seq} with head {expected.head} is missing: the table was rolled back "
                "or replaced",
            )

    def _files_of(self, commit: LogCommit) -> None:
        self.layout = self.layout.appended(commit.files)
        if commit.replacement is None:
            return
        faults = list(replacement_faults(commit.replacement, self.layout))
        for reason in faults:
            self.note(self.log.key(commit.version), reason)
        if not faults:
            self.layout = self.layout.replaced(commit.replacement)
            self.merges |= {file.path: commit.replacement for file in commit.replacement.files}

    def _commit(self, version: int) -> LogCommit | None:
        try:
            commit = self.log.read(version)
            self.report.commits += 1
            return commit
        except HoldfastError as error:
            if error.transient:
                raise
            missing = "the commit is missing" if self.log.root.size(self.log.key(version)) is None else error.message
            self.note(self.log.key(version), missing)
            return None

    def _link(self, commit: LogCommit, previous: str | None) -> str | None:
        """Check an entry; the head after it, None if it cannot be relied on."""
        path = self.log.key(commit.version)
        if commit.link is None:
            self.note(path, "the commit has no chain entry")
            return None
        for reason in self._faults(commit, commit.link, previous):
            self.note(path, reason)
        self.report.head = commit.link.chain_head
        return commit.link.head

    def _faults(self, commit: LogCommit, link: Link, previous: str | None) -> Iterator[str]:
        body = link.body
        if previous is not None and body.get("previous") != previous:
            yield "the commit does not follow the one before it"
        if head_after(str(body.get("previous")), link.text) != link.head:
            yield "the chain entry was changed"
        if not signed_by(link, self.key):
            yield "the signature is not ours"
        if body.get("version") != commit.version or body.get("table") != f"{self.log.job_id}/{self.log.object}":
            yield "the chain entry belongs to another commit"
        if link.chain_head.commit_seq < self.report.head.commit_seq:
            yield "the commit number goes backwards"
        replacement = commit.replacement
        if sorted(commit.removed) != sorted(replacement.removed if replacement else ()):
            yield "the commit removes other files than its chain entry names"
        if commit.added != {file.path: file.bytes for file in (replacement.files if replacement else commit.files)}:
            yield "the commit adds other files than its chain entry names"
        expected = {app_id(self.log.job_id, self.log.object): body.get("commit_seq")}
        if commit.kind == "append" and commit.transactions != expected:
            yield "the commit's transaction is not that of its chain entry"

    def file(self, file: StoredFile, *, whole: bool) -> None:
        """Check one event file."""
        path = f"{self.table}/{file.path}"
        size = self.log.root.size(path)
        self.report.files += 1
        if size is None:
            self.note(path, "the file is missing")
        elif size != file.bytes:
            self.note(path, f"the file has {size} bytes instead of {file.bytes}")
        elif whole and not self._content(path, file):
            return
        elif self.layout.pages[file.parts[0]].mode == "bodies":
            self._bodies(path, whole=whole)

    def _bodies(self, path: str, *, whole: bool) -> None:
        """Check every body that a file of bodies names, each once."""
        try:
            table = read_events(self.log.root, path)
            cells = {cell for name in table.column_names if name[0] != "_" for cell in table.column(name).to_pylist()}
            named = {ref for cell in cells if cell for ref in references(cell)}
        except HoldfastError as error:
            if error.transient:
                raise
            self.note(path, error.detail or error.message)
            return
        for ref in sorted(named - self._blobs, key=lambda ref: ref.sha256):
            self._blobs.add(ref)
            self.report.bodies += 1
            self.report.bytes += ref.bytes if whole else 0
            fault = blob_fault(self.log.root, self.log.job_id, ref, whole=whole)
            if fault:
                self.note(ref.key(self.log.job_id), fault)

    def _content(self, path: str, file: StoredFile) -> bool:
        """Read a file again; whether it is what was written."""
        data = self.log.root.read(path)
        self.report.bytes += len(data)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            self.note(path, "the file's bytes changed")
            return False
        merge = self.merges.get(file.path)
        try:
            hashed = rows_of(data) if merge else None
            rows = hashed.rows if hashed else sum(batch.num_rows for batch in _batches(data))
        except (pa.ArrowException, OSError) as error:
            self.note(path, f"the file cannot be read: {error}")
            return False
        self.report.rows += rows
        if rows != file.rows:
            self.note(path, f"the file has {rows} rows instead of {file.rows}")
        if merge and hashed:
            self._merged(path, file, merge, hashed)
        return bool(rows == file.rows)

    def _merged(self, path: str, file: StoredFile, merge: Replacement, rows: Multiset) -> None:
        """Check that a merged file holds the rows of those that it replaced, which may still be there."""
        for fault in (merged_rows_fault(rows, file, merge), replaced_fault(self.log.root, self.table, merge)):
            if fault:
                self.note(path, fault)

    def schemas(self) -> None:
        """Check that every schema is there and is itself."""
        for schema in sorted({page.schema for page in self.layout.pages}):
            path = schema_key(self.log.job_id, schema)
            if self.log.root.size(path) is None:
                self.note(path, "the schema is missing")
            elif hashlib.sha256(self.log.root.read(path)).hexdigest()[:32] != schema:
                self.note(path, "the schema's bytes changed")

    def folder(self, files: list[StoredFile]) -> None:
        """Name the files that no commit names."""
        replaced = (path for merge in self.merges.values() for path in merge.removed)
        known = {f"{self.table}/{path}" for path in (*replaced, *(file.path for file in files))}
        for entry in self.log.root.list(self.table):
            inner = PurePosixPath(entry.key).relative_to(self.table).parts
            if inner[0] != "_delta_log" and entry.key not in known:
                self.report.unreferenced.append(entry.key)

    def delta(self, files: list[StoredFile]) -> None:
        """Check that Delta's readers, who trust checkpoints, see the same files."""
        delta = open_delta(self.log.root, self.log.job_id, self.log.object)
        seen = [] if delta is None else sorted(uri.rpartition(f"/{self.table}/")[2] for uri in delta.file_uris())
        if seen != sorted(file.path for file in files):
            self.note(self.log.folder, "Delta's checkpoint names other files than the commits")

    def state(self, *, count: bool) -> None:
        """Check the newest stored index against the table, and count the living at each version if that is wanted."""
        path = newest_index_key(self.log)
        stored = self._stored_index(path) if path else None
        newest = max(max(self.report.heads) if count else -1, stored.version if stored else -1)
        try:
            for fresh in states(self.log, NOTHING, newest, self.layout):
                if count:
                    self.report.living[fresh.version] = fresh.alive
                if stored and path and fresh.version == stored.version:
                    self._compare(path, stored, fresh)
        except (HoldfastError, pl.exceptions.PolarsError) as error:
            if isinstance(error, HoldfastError) and error.transient:
                raise
            self.note(path or self.table, f"the state cannot be made from the table: {error}")

    def _stored_index(self, path: str) -> StateIndex | None:
        try:
            return read_index(self.log, path)
        except (HoldfastError, pl.exceptions.PolarsError) as error:
            self.note(path, f"the state index cannot be read: {error}")
            return None

    def _compare(self, path: str, stored: StateIndex, fresh: StateIndex) -> None:
        if stored.head != fresh.head or not same_entries(stored, fresh):
            self.note(path, "the state index differs from the table")


def _batches(data: bytes) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True) as file:
        yield from file.iter_batches()
