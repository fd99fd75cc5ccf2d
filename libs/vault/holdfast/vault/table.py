"""An object's table, as its only writer sees it. All calls block: call them in a thread.

One writer at a time holds a table (a lease outside this package); a second one is refused by the
transaction check, not merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from deltalake import DeltaTable

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import DurableStep, durable_step
from holdfast.vault.chain import ChainHead, make_link
from holdfast.vault.commit import (
    DELTA_COMMIT,
    app_id,
    append_body,
    append_delta,
    compact_delta,
    create_delta,
    known_outcome,
    make_durable,
    open_delta,
    widen_delta,
)
from holdfast.vault.compaction import Merger, Policy, delete_replaced
from holdfast.vault.index_store import (
    NOTHING,
    drop_indexes,
    load_index,
    rebuilt,
    replayed,
    same_entries,
    save_index,
)
from holdfast.vault.location import StoreLocation, VaultRoot, table_key
from holdfast.vault.log import TableLog
from holdfast.vault.prepare import Prepared, Workshop, prepare_all
from holdfast.vault.refs import Committed, Counts, StagedRef
from holdfast.vault.schema import RecordSchema, schema_key
from holdfast.vault.skim import unchanged

SCHEMA_PUT = durable_step("vault.schema_put")
# Storing an index of ten million records takes seconds and 150 MB; replaying a small page takes milliseconds.
_SAVE_AFTER_PAGES, _SAVE_AFTER_ROWS, _SAVE_AFTER_SHARE = 16, 20_000, 10
# Of pages that say nothing new: so many at once, and so many rows, of which each takes some 150 bytes meanwhile.
_FIRST_SKIM, _LONGEST_SKIM, _SKIM_ROWS = 2, 16, 150_000


class RecordTable:
    """The record-change log of one object of one job.

    Attributes:
        index: The state of every record, as of the newest commit.
        skims: How many pages `unchanged` would look at.
    """

    def __init__(
        self, root: VaultRoot, job_id: str, object_name: str, key: Ed25519PrivateKey, delta: DeltaTable
    ) -> None:
        self._root, self._key, self._delta = root, key, delta
        self._log = TableLog(root, job_id, object_name)
        self._schemas: dict[str, RecordSchema] = {}
        self._likely: set[str] = set()
        self._saved_pages = 0
        self.skims = 0
        self.job_id, self.object = job_id, object_name
        self.index = NOTHING

    @classmethod
    def open_or_create(
        cls,
        store: StoreLocation | VaultRoot,
        job_id: str,
        object_name: str,
        key: Ed25519PrivateKey,
        schema: RecordSchema | None = None,
    ) -> RecordTable:
        """Open the table, its index loaded and brought up to the newest commit; create it if it is not there.

        Args:
            key: Signs the chain.
            schema: If the table is created, its columns; others are added when a page brings them, each time
                with a commit of its own.

        Raises:
            HoldfastError: DAMAGED if the log or a file cannot be read.
        """
        root = VaultRoot.of(store)
        delta = open_delta(root, job_id, object_name)
        log = TableLog(root, job_id, object_name)
        if delta is None:
            fields = [field.name for field in schema.stored] if schema else []
            delta = create_delta(root, log, key, fields)
        table = cls(root, job_id, object_name, key, delta)
        table._load()
        return table

    def _load(self) -> None:
        """Make what is committed durable before it is relied on, then bring the index up to it."""
        version = int(self._delta.version())
        make_durable(self._log, version)
        index = load_index(self._log, version)
        self._saved_pages = len(index.files)
        self.index = replayed(self._log, index, version)
        self._learn(file.schema for file in self.index.files)

    def _learn(self, schema_ids: Iterable[str]) -> None:
        for schema_id in set(schema_ids) - self._schemas.keys():
            data = self._root.read(schema_key(self.job_id, schema_id))
            self._schemas[schema_id] = RecordSchema.from_json(data)

    @property
    def version(self) -> int:
        """The newest Delta version."""
        return self.index.version

    @property
    def head(self) -> ChainHead:
        """The chain after the newest commit."""
        return ChainHead(self.index.commit_seq, self.index.head)

    @property
    def path(self) -> str:
        """Key of the table's folder."""
        return table_key(self.job_id, self.object)

    def refresh(self) -> None:
        """Open the table afresh, after an error or another writer."""
        delta = open_delta(self._root, self.job_id, self.object)
        if delta is None:
            raise HoldfastError(Kind.DAMAGED, f"The vault's table of {self.object} is gone.", code="table-gone")
        self._delta = delta
        self._load()

    def apply(self, staged: Sequence[StagedRef]) -> Prepared:
        """Compare staged pages with the state and make their event files durable; commits nothing.

        Repeatable: the same pages against the same state give the same files under the same names.

        Raises:
            HoldfastError: DAMAGED if a staged file is not what was announced; NOT_FOUND if it is not there.
        """
        prepared = prepare_all(self._workshop, staged, self.index)
        self.skims = _FIRST_SKIM if prepared.empty else 0
        return prepared

    def unchanged(self, staged: Sequence[StagedRef]) -> list[Counts]:
        """Pass over the leading pages that say nothing new, cheaper than `apply` does; may pass over fewer, or none.

        Looks at several pages only after pages that said nothing new, at twice as many each time: of pages that all
        bring something, none is read twice.

        Returns:
            The counts of the pages passed over. They need no commit.
        """
        tried = _up_to(_SKIM_ROWS, staged[: self.skims])
        found = unchanged(self._workshop, tried, self.index) if tried else []
        self.skims = min(2 * self.skims, _LONGEST_SKIM) if len(found) == len(tried) else 0
        return found

    @property
    def _workshop(self) -> Workshop:
        return Workshop(self._root, self.job_id, self.object, self._schemas, self._likely)

    def committed(self, commit_seq: int, page_ids: Sequence[str]) -> Committed | None:
        """The commit with a number, if it was made. Ask before applying pages again after a crash.

        Raises:
            HoldfastError: CONFLICT if the number was used for other pages.
        """
        reached = self._delta.transaction_version(app_id(self.job_id, self.object)) or 0
        if reached < commit_seq:
            return None
        found = self._log.find(commit_seq, int(self._delta.version()))
        if found is None or tuple(page.page_id for page in found.pages) != tuple(page_ids):
            message = f"Commit {commit_seq} of {self.object} holds other pages than those given."
            raise HoldfastError(Kind.CONFLICT, message, code="commit-number-reused")
        return found.committed()

    def commit(
        self,
        prepared: Prepared,
        commit_seq: int,
        chain: ChainHead | None = None,
        step: DurableStep = DELTA_COMMIT,
    ) -> Committed:
        """Add the prepared files to the table, exactly once.

        Args:
            prepared: Of `apply`, from the state that is still the newest.
            commit_seq: The number that the lease holder stored for these pages; greater than every one before.
            chain: The head that is remembered outside the bucket; the table must contain it.
            step: The durable step.

        Returns:
            The commit; for a repeated call the one made before. Without events there is no commit, and
            the number may be used for other pages.

        Raises:
            HoldfastError: DAMAGED if the remembered head is not in the table; CONFLICT if the number was used
                for other pages; FENCED if another writer moved the table (refresh and apply again);
                UNAVAILABLE if the commit was not made.
        """
        if chain is not None:
            self.require_head(chain)
        before = self.committed(commit_seq, prepared.page_ids)
        if before is not None:
            return before
        if prepared.empty:
            return Committed(self.version, self.head, prepared.counts, prepared.pages, 0, 0)
        if prepared.base_version != self.version:
            message = f"The state of {self.object} moved after the pages were compared."
            raise HoldfastError(Kind.FENCED, message, code="table-moved")
        return self._append(prepared, commit_seq, step)

    def _append(self, prepared: Prepared, commit_seq: int, step: DurableStep) -> Committed:
        self.widen(name for file in prepared.files for name in self._stored(prepared, file.schema))
        body = append_body(
            self._log,
            previous=self.index.head,
            version=self.version + 1,
            commit_seq=commit_seq,
            pages=prepared.pages,
            files=prepared.files,
        )
        link = make_link(body, self._key)
        try:
            append_delta(self._delta, self._log, prepared.files, link, step)
        except Exception as error:
            known_outcome(error, lambda: self._reopened(commit_seq, prepared.page_ids))
        else:
            self._delta.update_incremental()
            version = int(link.body["version"])
            self.index = prepared.index.covering(commit_seq, version, link.head)
            rows = sum(file.rows for file in prepared.files)
            return Committed(version, self.head, prepared.counts, prepared.pages, prepared.bytes, rows)
        committed = self.committed(commit_seq, prepared.page_ids)
        assert committed is not None
        return committed

    def _reopened(self, commit_seq: int, page_ids: Sequence[str]) -> bool:
        self.refresh()
        return self.committed(commit_seq, page_ids) is not None

    def _stored(self, prepared: Prepared, schema_id: str) -> list[str]:
        """Columns that a schema needs; makes the schema durable before an event names it."""
        schema = prepared.schemas[schema_id]
        if schema_id not in self._schemas:
            self._root.put_new(schema_key(self.job_id, schema_id), schema.to_json(), SCHEMA_PUT)
            self._schemas[schema_id] = schema
        return [field.name for field in schema.stored]

    def widen(self, fields: Iterable[str]) -> None:
        """Add the columns that are missing; none is ever removed.

        Raises:
            HoldfastError: INVALID if a name is taken in another spelling; UNAVAILABLE if it was not done.
        """
        present = {field.name for field in self._delta.schema().fields}
        missing = sorted(set(fields) - present)
        if not missing:
            return
        lower = [name.lower() for name in (*present, *missing)]
        if len(lower) != len(set(lower)) or any(name.startswith("_") for name in missing):
            message = f"{self.object} has two fields whose names differ in case only."
            raise HoldfastError(Kind.INVALID, message, code="field-name-taken")
        body = {
            "kind": "widen",
            "table": f"{self.job_id}/{self.object}",
            "previous": self.index.head,
            "version": self.version + 1,
            "commit_seq": self.index.commit_seq,
            "fields": missing,
        }
        link = make_link(body, self._key)
        try:
            widen_delta(self._delta, self._log, missing, link)
        except Exception as error:
            known_outcome(error, lambda: self._at_head(link.head))
        self.index = self.index.covering(self.index.commit_seq, int(link.body["version"]), link.head)

    def _at_head(self, head: str) -> bool:
        self.refresh()
        return self.index.head == head

    def compact(self, policy: Policy, at_ms: int) -> bool:
        """Merge small files, if there are enough of them; no event is added, changed or lost.

        Args:
            at_ms: The time, from which the grace of the replaced files counts.

        Returns:
            Whether there was something to merge; there may be more.

        Raises:
            HoldfastError: DAMAGED if a file is not what was written; UNAVAILABLE if it was not done.
        """
        batch = policy.batch(self.index.layout)
        if not batch:
            return False
        merger = Merger(self._root, self.job_id, self.object, self._schemas)
        replacement = merger.merge(batch, self.index.layout, at_ms)
        body = {
            "kind": "compact",
            "table": f"{self.job_id}/{self.object}",
            "previous": self.index.head,
            "version": self.version + 1,
            "commit_seq": self.index.commit_seq,
            **replacement.to_json(),
        }
        link = make_link(body, self._key)
        try:
            compact_delta(self._delta, self._log, replacement, {file.path: file.bytes for file in batch}, link)
        except Exception as error:
            known_outcome(error, lambda: self._at_head(link.head))
        else:
            self._delta.update_incremental()
            index = self.index.with_replacement(replacement)
            self.index = index.covering(self.index.commit_seq, int(link.body["version"]), link.head)
        return True

    def delete_replaced(self, before_ms: int) -> int | None:
        """Delete files that were replaced before a time.

        Until then older Delta versions can be read, and queries that have begun come to their end.

        Returns:
            When the oldest of the replaced files that are left was replaced; None if none is left.
        """
        return delete_replaced(self._log, self.version, before_ms)

    def check_index(self) -> bool:
        """Hold the index against the table; whether it was right. A wrong one is made anew and stored."""
        fresh = rebuilt(self._log, self.version)
        if same_entries(self.index, fresh):
            return True
        self.index = fresh
        drop_indexes(self._log)
        self.save_index()
        return False

    def require_head(self, chain: ChainHead) -> None:
        """Refuse a table that lacks the head remembered outside the bucket.

        Raises:
            HoldfastError: DAMAGED: the table was rolled back or replaced.
        """
        for version in range(self.version, -1, -1):
            head = self._log.read(version).chain_head()
            if head.head == chain.head:
                return
            if head.commit_seq < chain.commit_seq:
                break
        lost = f"lacks commit {chain.commit_seq}: it was rolled back or replaced"
        message = f"The vault's table of {self.object} {lost}."
        raise HoldfastError(Kind.DAMAGED, message, code="table-rolled-back")

    def save_index_if_behind(self) -> None:
        """Write the index beside the table if opening it would otherwise have much to replay."""
        pages = self.index.files[self._saved_pages :]
        behind = sum(page.rows for page in pages)
        if len(pages) >= _SAVE_AFTER_PAGES or behind > max(_SAVE_AFTER_ROWS, self.index.size // _SAVE_AFTER_SHARE):
            self.save_index()

    def save_index(self) -> None:
        """Write the index beside the table, so that the next opening replays less. Losing it is no loss.

        Checkpoints that newer ones have taken the place of go with the older indexes.
        """
        save_index(self._log, self.index)
        self._log.drop_checkpoints()
        self._saved_pages = len(self.index.files)


def _up_to(rows: int, staged: Sequence[StagedRef]) -> Sequence[StagedRef]:
    """The leading pages with at most so many rows; the first one in any case."""
    ends = accumulate(ref.rows for ref in staged)
    return staged[: max(1, sum(end <= rows for end in ends))]
