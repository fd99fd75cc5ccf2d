"""What a page file holds: golden values, checksums, no values in statistics."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from vault_pages import JOB, OBJECT, START, STEP, Backup, record, record_id, rows_of, schema_of

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.columns import EVENT_COLUMNS
from holdfast.vault.fingerprint import event_ids, field_seed, fingerprints
from holdfast.vault.page import PageMeta, page_key, write_page
from holdfast.vault.record_id import long_id, pack, unpack
from holdfast.vault.schema import RecordSchema

NAME_SEED = 8655181185809606191
PRINTS = [22788211740040854, -8854699321381029779, 0, -3406851967905426990]
EVENT_IDS = ["d2b4938968c83e0367b36463a69b3de5", "a3ea65bc17e315442b01a1560d2d4f63"]
SCHEMA_ID = "24ad0ffe27713fd027a695e6dd18709a"


def test_the_hash_is_xxh3() -> None:
    """Values of the reference implementation, so that other languages can recompute a fingerprint."""
    assert field_seed("") == 0x2D06800538D394C2
    assert field_seed("a") == 0xE6C632B61E964E1F


def test_fingerprints_are_those_of_every_release() -> None:
    """Golden values: a change of any of them is a new format version."""
    page = pa.table(
        {"Name": ["Ünïcode 🌍", "", None, "a"], "City": ["b", None, None, None]},
        pa.schema([("Name", "string"), ("City", "string")]),
    )
    assert field_seed("Name") == NAME_SEED
    assert fingerprints(page, ["City", "Name"]).to_list() == PRINTS


def test_event_ids_are_those_of_every_release() -> None:
    found = event_ids(
        "job/Account",
        record_ids=pl.Series(["001000000000001AAA", "001000000000001AAA"]),
        run=7,
        ops=pl.Series(["captured", "deleted"]),
        stamps_ms=pl.Series([1_700_000_000_000, None]),
        prints=pl.Series([-5, 9]),
    )
    assert found.to_pylist() == EVENT_IDS


def test_an_added_empty_field_and_the_order_of_fields_change_no_fingerprint() -> None:
    page = pa.table({"A": ["x"], "B": ["y"], "C": pa.array([None], pa.string())})
    assert fingerprints(page, "AB").to_list() == fingerprints(page, "CBA").to_list()
    assert fingerprints(page, "A").to_list() != fingerprints(pa.table({"B": ["x"]}), "B").to_list()


def written(tmp_path: Path, records: list[dict[str, str | None]], schema: RecordSchema) -> Path:
    out = tmp_path / "page.parquet"
    page = write_page(rows_of(schema, records), PageMeta(JOB, OBJECT, 3, 4, "p", "baseline", schema, START), out)
    assert page.rows == len(records)
    assert page.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert page.bytes == out.stat().st_size
    return out


def test_a_page_has_event_columns_then_fields(tmp_path: Path) -> None:
    schema = schema_of("Name", "MasterRecordId")
    records = [record(1, 5, Name="x"), record(2, 9, deleted=True, MasterRecordId=record_id(1))]
    out = written(tmp_path, records, schema)
    rows = pq.read_table(out).to_pylist()
    assert tuple(rows[0])[: len(EVENT_COLUMNS)] == EVENT_COLUMNS
    assert "Id" not in rows[0]
    assert [(r["_op"], r["_merged_into"], r["_run"], r["_seq"]) for r in rows] == [
        ("captured", None, 3, 4),
        ("deleted", record_id(1), 3, 4),
    ]


def test_the_latest_stamp_and_last_id_are_given(tmp_path: Path) -> None:
    schema = schema_of()
    meta = PageMeta(JOB, OBJECT, 1, 0, "p", "full", schema, START)
    page = write_page(rows_of(schema, [record(2, 9), record(1, 5)]), meta, tmp_path / "p.parquet")
    assert page.max_modified_at is not None
    assert (page.max_modified_at - START).total_seconds() == 9
    assert page.last_id == record_id(1)


def test_fields_that_move_by_themselves_are_stored_but_not_fingerprinted(tmp_path: Path) -> None:
    schema = schema_of("Name", LastViewedDate="datetime")
    records = [record(1, 1, Name="x", LastViewedDate="2026-01-01T00:00:00.000Z"), record(1, 2, Name="x")]
    table = pq.read_table(written(tmp_path, records, schema))
    prints = table.column("_fingerprint").to_pylist()
    assert prints[0] == prints[1]
    assert table.column("LastViewedDate").to_pylist()[0] == "2026-01-01T00:00:00.000Z"


def test_no_value_lives_on_in_statistics(tmp_path: Path) -> None:
    metadata = pq.read_metadata(written(tmp_path, [record(1, 1, Name="secret")], schema_of("Name")))
    columns = [metadata.row_group(0).column(i) for i in range(metadata.num_columns)]
    assert {c.path_in_schema for c in columns if c.statistics} == {"_run", "_modified_at", "_record_id"}


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    out = written(tmp_path, [record(n, n, Name=f"name {n}") for n in range(200)], schema_of("Name"))
    column = next(c for i in range(20) if (c := pq.read_metadata(out).row_group(0).column(i)).path_in_schema == "Name")
    whole, end = out.read_bytes(), column.data_page_offset + column.total_compressed_size
    for place in range(end - column.total_compressed_size // 2, end, 3):
        out.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(OSError):
            pq.read_table(out, columns=["Name"], page_checksum_verification=True)


@pytest.mark.parametrize("bad", [None, "", "001", "001Hn00000-0001AAA"])
def test_a_row_without_id_is_refused(tmp_path: Path, bad: str | None) -> None:
    with pytest.raises(HoldfastError) as caught:
        written(tmp_path, [record(1, 1) | {"Id": bad}], schema_of())
    assert caught.value.code == "record-without-id"


def test_a_baseline_page_lies_in_the_table_and_others_in_staging(backup: Backup) -> None:
    schema = schema_of()
    meta = PageMeta("job", "Account", 3, 0, "p", "baseline", schema, START)
    assert page_key(meta, "ff") == "job/records/Account/3/p-ff.parquet"
    other = PageMeta("job", "Account", 3, 0, "p", "full", schema, START)
    assert page_key(other, "ff") == "job/staging/3/Account/p-ff.parquet"


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("000000000000000", "000000000000000AAA"),
        ("012000000000000", "012000000000000AAA"),
        ("003Hn00001AbCdE", "003Hn00001AbCdEIAV"),
    ],
)
def test_ids_get_their_check_characters(short: str, long: str) -> None:
    assert (long_id(short), long_id(long)) == (long, long)


def test_keys_of_ids_lose_nothing() -> None:
    shorts = ["001Hn00001zZ9Aa", "001Hn00001zz9aa", "a0B000000000000", "001000000000001", "ZZZzzz9zzzzzzzz"]
    ids = pl.Series([long_id(short) for short in shorts])
    prefixes: list[int] = []
    keys = pack(ids, prefixes)
    assert keys.n_unique() == len(shorts)
    assert unpack(keys, prefixes) == ids.to_list()
    before = list(prefixes)
    assert pack(ids.reverse(), prefixes).to_list() == keys.reverse().to_list()
    assert prefixes == before


@pytest.mark.parametrize("bad", ["001", "001Hn00001zZ9Aa", "001Hn00001zZ9A!AAA", "\x00" * 18])
def test_a_text_that_is_no_id_has_no_key(bad: str) -> None:
    with pytest.raises(HoldfastError):
        pack(pl.Series([bad]), [])


def test_a_schema_is_named_by_its_content() -> None:
    one, other = schema_of("A", "B"), schema_of("B", "A")
    assert one.schema_id == other.schema_id == SCHEMA_ID
    assert RecordSchema.from_json(one.to_json()) == one
    with pytest.raises(HoldfastError):
        RecordSchema.from_json(b"{}")


def test_a_stored_file_is_never_replaced(backup: Backup) -> None:
    backup.root.put_new("a/b", b"one", STEP)
    backup.root.put_new("a/b", b"one", STEP)
    with pytest.raises(HoldfastError) as caught:
        backup.root.put_new("a/b", b"two", STEP)
    assert caught.value.kind is Kind.CONFLICT
    assert [entry.key for entry in backup.root.list("a")] == ["a/b"]
