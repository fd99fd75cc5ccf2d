"""Old values name the changed fields; they are only believed if they are what was written."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from vault_pages import Backup, record, schema_of

from holdfast.common.errors import HoldfastError, Kind

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
