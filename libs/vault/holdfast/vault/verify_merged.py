"""Whether files that were merged into others are still all there, row by row: `docs/formats/vault.md` §10."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from holdfast.vault.compaction import rows_in
from holdfast.vault.layout import Layout, Replacement, StoredFile
from holdfast.vault.location import VaultRoot
from holdfast.vault.multiset import Multiset


def replacement_faults(replacement: Replacement, layout: Layout) -> Iterator[str]:
    """What is wrong with a compaction of a table with these files, by what the log says alone."""
    in_use = {file.path: file for file in layout.stored()}
    removed = [in_use[path] for path in replacement.removed if path in in_use]
    if len(removed) != len(replacement.removed):
        yield "the compaction takes out files that were not in use"
    parts = [sorted(part for file in files for part in file.parts) for files in (removed, replacement.files)]
    if parts[0] != parts[1] or sum(f.rows for f in removed) != sum(f.rows for f in replacement.files):
        yield "the compaction puts in other pages than it takes out"
    if replacement.before != replacement.after:
        yield "the compaction changed rows"


def rows_of(data: bytes) -> Multiset:
    """The rows of a file's bytes.

    Raises:
        pa.ArrowException, OSError: They cannot be read.
    """
    return rows_in(pa.BufferReader(data))


def replaced_fault(root: VaultRoot, table: str, replacement: Replacement) -> str:
    """What is wrong with the files that were taken out, if they are all still there; empty if nothing is."""
    keys = [f"{table}/{path}" for path in replacement.removed]
    if any(root.size(key) is None for key in keys):
        return ""
    total, rows = 0, 0
    for key in keys:
        try:
            part = rows_of(root.read(key))
        except (pa.ArrowException, OSError) as error:
            return f"a replaced file cannot be read: {error}"
        total, rows = (total + int(part.hash, 16)) % (1 << 64), rows + part.rows
    if f"{total:016x}" != replacement.before or rows != sum(file.rows for file in replacement.files):
        return "the files that were merged into it hold other rows"
    return ""


def merged_rows_fault(rows: Multiset, file: StoredFile, replacement: Replacement) -> str:
    """What is wrong with the rows of a merged file; empty if nothing is."""
    alone = replacement.files == (file,)
    return "the merged file holds other rows than were put in" if alone and rows.hash != replacement.after else ""
