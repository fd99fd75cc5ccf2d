"""Event files that cannot be read: damaged for good, or only not handed out now."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import polars as pl
import pytest
from vault_pages import Backup

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.files import open_events, read_events, read_rows
from holdfast.vault.location import VaultRoot

Read = Callable[[VaultRoot, str], object]
READERS: list[Read] = [open_events, read_events, lambda root, key: read_rows(root, key, pl.Series([1]), ["_record_id"])]
KEY = "job/events.parquet"


@contextmanager
def no_more_files() -> Iterator[None]:
    """As in a process that has as many files open as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("read", READERS, ids=["open", "columns", "rows"])
def test_a_file_that_cannot_be_opened_now_is_not_called_damaged(backup: Backup, read: Read) -> None:
    path = backup.root.path(KEY)
    assert path is not None
    path.parent.mkdir(parents=True)
    pl.DataFrame({"_record_id": ["a", "b"]}).write_parquet(path)
    read(backup.root, KEY)
    with no_more_files(), pytest.raises(HoldfastError) as refused:
        read(backup.root, KEY)
    assert refused.value.kind is Kind.UNAVAILABLE and refused.value.transient
    read(backup.root, KEY)
    path.write_bytes(b"PAR1 and then nothing of use PAR1")
    with pytest.raises(HoldfastError) as damaged:
        read(backup.root, KEY)
    assert damaged.value.kind is Kind.DAMAGED
