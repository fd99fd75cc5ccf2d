"""A table's Delta log, read commit by commit from its JSON files: the only place where chain entries are.

Log files are never cleaned up (`delta.enableExpiredLogCleanup=false`), so every commit can be read again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.chain import ChainHead, Link, parse_link
from holdfast.vault.layout import Layout, Replacement
from holdfast.vault.location import VaultRoot, table_key
from holdfast.vault.refs import Committed, Counts, EventFile, PageCounts

_CHECKPOINT = re.compile(r"/(\d{20})\.checkpoint\.[^/]*parquet$")
_CHECKPOINTS_KEPT = 2
_COMMIT_FILE = re.compile(r"/_delta_log/(\d{20})\.json$")


@dataclass(frozen=True)
class LogCommit:
    """One commit: our chain entry, and what Delta itself says that the commit does."""

    version: int
    link: Link | None
    added: dict[str, int]
    removed: tuple[str, ...]
    transactions: dict[str, int]

    @property
    def kind(self) -> str:
        """Kind of the chain entry; empty without one."""
        return str(self.link.body.get("kind", "")) if self.link else ""

    @property
    def files(self) -> tuple[EventFile, ...]:
        """Page files that the chain entry adds."""
        if self.kind == "compact":
            return ()
        return tuple(EventFile.from_json(body) for body in self._body().get("files", ()))

    @property
    def replacement(self) -> Replacement | None:
        """What a compaction does."""
        return Replacement.from_json(self._body()) if self.kind == "compact" else None

    @property
    def pages(self) -> tuple[PageCounts, ...]:
        """Pages that the chain entry names."""
        pages = self._body().get("pages", ())
        return tuple(PageCounts(page["page_id"], Counts.from_json(page["counts"])) for page in pages)

    def committed(self) -> Committed:
        """The answer that whoever made this commit got, or should have got."""
        pages, files, link = self.pages, self.files, self._required()
        total = sum((page.counts for page in pages), Counts())
        size, rows = sum(file.bytes for file in files), sum(file.rows for file in files)
        return Committed(self.version, link.chain_head, total, pages, size, rows)

    def chain_head(self) -> ChainHead:
        """The chain after this commit."""
        return self._required().chain_head

    def _body(self) -> dict[str, Any]:
        return dict(self.link.body) if self.link else {}

    def _required(self) -> Link:
        if self.link is None:
            message = f"Commit {self.version} of a vault table has no chain entry."
            raise HoldfastError(Kind.DAMAGED, message, code="chain-entry-missing")
        return self.link


def parse_commit(version: int, data: bytes) -> LogCommit:
    """A commit from the bytes of its log file.

    Raises:
        ValueError: The bytes are no Delta commit.
    """
    info: dict[str, Any] = {}
    added: dict[str, int] = {}
    removed: list[str] = []
    transactions: dict[str, int] = {}
    for line in data.splitlines():
        action = json.loads(line)
        if "commitInfo" in action:
            info = action["commitInfo"]
        elif "add" in action:
            added[action["add"]["path"]] = int(action["add"]["size"])
        elif "remove" in action:
            removed.append(action["remove"]["path"])
        elif "txn" in action:
            transactions[action["txn"]["appId"]] = int(action["txn"]["version"])
    return LogCommit(version, parse_link(info), added, tuple(removed), transactions)


@dataclass(frozen=True)
class TableLog:
    """The log of one table."""

    root: VaultRoot
    job_id: str
    object: str

    @property
    def folder(self) -> str:
        """Key of the log's folder."""
        return f"{table_key(self.job_id, self.object)}/_delta_log"

    def key(self, version: int) -> str:
        """Key of a commit's file."""
        return f"{self.folder}/{version:020d}.json"

    def versions(self) -> list[int]:
        """Versions that have a file, ascending."""
        names = (_COMMIT_FILE.search(entry.key) for entry in self.root.list(self.folder))
        return sorted(int(name.group(1)) for name in names if name)

    def drop_checkpoints(self) -> None:
        """Delete all checkpoints but the newest two: every commit is kept, so that they are caches for readers."""
        found = [(entry.key, name) for entry in self.root.list(self.folder) if (name := _CHECKPOINT.search(entry.key))]
        kept = sorted({name.group(1) for _, name in found})[-_CHECKPOINTS_KEPT:]
        for key, name in found:
            if name.group(1) not in kept:
                self.root.delete(key)

    def read(self, version: int) -> LogCommit:
        """One commit.

        Raises:
            HoldfastError: NOT_FOUND without the file; DAMAGED if it cannot be read.
        """
        data = self.root.read(self.key(version))
        try:
            return parse_commit(version, data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"The log file of commit {version} of {self.object} is damaged."
            raise HoldfastError(Kind.DAMAGED, message, detail=str(error)) from error

    def layout(self, newest: int, since: Layout | None = None, after: int = -1) -> Layout:
        """The table's files at a version.

        Args:
            since: What is known of the version `after`, from which to go on.
        """
        found = since or Layout()
        for version in range(after + 1, newest + 1):
            commit = self.read(version)
            found = found.appended(commit.files)
            found = found.replaced(commit.replacement) if commit.replacement else found
        return found

    def find(self, commit_seq: int, newest: int) -> LogCommit | None:
        """The append with a number, searched from the newest version backwards."""
        for version in range(newest, -1, -1):
            commit = self.read(version)
            if commit.kind == "append" and commit.chain_head().commit_seq <= commit_seq:
                return commit if commit.chain_head().commit_seq == commit_seq else None
        return None
