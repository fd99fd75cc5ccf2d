"""Old values name the changed fields; they are only believed if they are what was written."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vault_pages import JOB, OBJECT, Backup, record, record_id, schema_of

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.reading import record_history

NAME = schema_of("Name")


def test_a_value_that_is_not_the_one_written_names_no_field(backup: Backup) -> None:
    table = backup.open()
    ref = backup.stage([record(n, 1, Name=f"n{n}") for n in range(5)], NAME, mode="baseline")
    backup.add(table, ref)
    path = backup.root.path(ref.path)
    assert path is not None
    old = pq.read_table(path)
    other = pa.array(["n0", "n1", "rotten", "n3", "n4"], pa.string())
    pq.write_table(old.set_column(old.column_names.index("Name"), "Name", other), path)
    unharmed = backup.stage([record(1, 2, Name="b")], NAME, run=2)
    assert table.apply([unharmed]).counts.updated == 1
    with pytest.raises(HoldfastError) as caught:
        table.apply([backup.stage([record(2, 2, Name="b")], NAME, run=3)])
    assert caught.value.kind == Kind.DAMAGED


@given(st.lists(st.dictionaries(st.integers(0, 3), st.integers(0, 5), min_size=1), min_size=1, max_size=6))
@settings(max_examples=25)
def test_the_fields_that_moved_are_named_whatever_moved_before(days: list[dict[int, int]]) -> None:
    """`days`: for each record that changes, a number whose bits say in which fields."""
    wide = schema_of("A", "B", "C")
    with TemporaryDirectory() as folder:
        backup = Backup.in_folder(Path(folder) / "vault", Path(folder))
        table = backup.open()
        now: dict[int, dict[str, str | None]] = {n: {"A": "0", "B": None, "C": "0"} for n in range(4)}
        backup.add(table, backup.stage([record(n, 1, **now[n]) for n in now], wide, mode="baseline"))
        for run, day in enumerate(days, start=2):
            moved = {n: tuple(name for bit, name in enumerate("ABC") if bits >> bit & 1) for n, bits in day.items()}
            for n, fields in moved.items():
                now[n] |= {name: f"{run}" if now[n][name] != f"{run}" else None for name in fields}
            page = [record(n, run if n in moved else 1, **now[n]) for n in now]
            stamps = {n: run if n in moved else None for n in now}
            backup.add(table, backup.stage([r for r, n in zip(page, now, strict=True) if stamps[n]], wide, run=run))
            for n, fields in moved.items():
                last = record_history(backup.root, JOB, OBJECT, record_id(n))[-1]
                assert (last.run, last.changed) == (run, fields)
