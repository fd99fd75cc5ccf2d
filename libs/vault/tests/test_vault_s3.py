"""The same vault in a bucket: commits, states, index and verification over S3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from vault_pages import JOB, KEY, OBJECT, STEP, Backup, changed, record, record_id, schema_of

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.location import VaultRoot
from holdfast.vault.reading import record_history
from holdfast.vault.verify import verify_table

pytestmark = pytest.mark.integration
NAME, BOTH = schema_of("Name"), schema_of("Name", "City")


@pytest.fixture
def bucket(s3: Any, tmp_path: Path) -> Backup:
    options = {
        "aws_endpoint": s3.endpoint,
        "aws_access_key_id": s3.access_key,
        "aws_secret_access_key": s3.secret_key,
        "aws_region": "us-east-1",
        "aws_virtual_hosted_style_request": "false",
    }
    return Backup(VaultRoot(f"s3://{s3.bucket}/{tmp_path.name}", options), tmp_path)


def test_a_vault_in_a_bucket(bucket: Backup) -> None:
    table = bucket.open()
    ref = bucket.stage([record(n, 1, Name=f"n{n}") for n in range(5)], NAME, mode="baseline")
    first = bucket.add(table, ref)
    assert bucket.open().committed(1, [ref.page_id]) == first
    second = bucket.stage([record(0, 2, Name="new", City="x"), record(1, 2, deleted=True)], BOTH, run=2)
    assert changed(bucket.add(table, second).counts) == {"updated": 1, "deleted": 1}
    table.save_index()
    assert len(bucket.state()) == 4
    assert bucket.state(1)[record_id(0)]["Name"] == "n0"
    assert [v.operation for v in record_history(bucket.root, JOB, OBJECT, record_id(1))] == ["captured", "deleted"]
    assert bucket.open().index.files == table.index.files
    assert verify_table(bucket.root, JOB, OBJECT, key=KEY.public_key(), expected=table.head).damage == []
    options = {name: value for name, value in bucket.root.options.items() if name != "aws_checksum_algorithm"}
    assert len(pl.scan_delta(bucket.root.table_uri(JOB, OBJECT), storage_options=options).collect()) == 7


def test_two_writers_on_a_bucket(bucket: Backup) -> None:
    bucket.open().widen(["Name", "SystemModstamp", "IsDeleted"])
    one, other = bucket.open(), bucket.open()
    ref = bucket.stage([record(1, 1, Name="a")], NAME)
    ours, theirs = one.apply([ref]), other.apply([ref])
    assert one.commit(ours, 1) == other.commit(theirs, 1)
    assert len(bucket.state()) == 1


def test_a_key_is_written_once(bucket: Backup) -> None:
    bucket.root.put_new("a/b", b"one", STEP)
    bucket.root.put_new("a/b", b"one", STEP)
    with pytest.raises(HoldfastError) as caught:
        bucket.root.put_new("a/b", b"two", STEP)
    assert caught.value.kind is Kind.CONFLICT
    assert bucket.root.read("a/b") == b"one"
    assert bucket.root.size("a/c") is None
    with pytest.raises(HoldfastError) as caught:
        bucket.root.read("a/c")
    assert caught.value.kind is Kind.NOT_FOUND
