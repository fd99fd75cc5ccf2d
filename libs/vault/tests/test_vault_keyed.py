"""Records that Salesforce gives no id, as those of big objects: they are known by the fields of their key."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import polars as pl
import pytest
from vault_pages import KEY, OBJECT, Backup, Record, compact_and_clear

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.index_store import same_entries
from holdfast.vault.reading import record_history
from holdfast.vault.record_id import keyed_ids, long_id, pack, unpack, unpack_all
from holdfast.vault.schema import FieldType, RecordSchema
from holdfast.vault.verify import verify_table

FIELDS = {"Rider__c": "string", "Start__c": "datetime", "Note__c": "string", "CreatedDate": "datetime"}
RIDES = RecordSchema(OBJECT, tuple(FieldType(*field) for field in FIELDS.items()), ("Rider__c", "Start__c"))


def ride(rider: str, note: str, created: str = "2026-02-01T00:00:00.000Z") -> Record:
    return {"Rider__c": rider, "Start__c": "2026-01-01T00:00:00Z", "Note__c": note, "CreatedDate": created}


def notes(backup: Backup) -> dict[str | None, str | None]:
    return {row["Rider__c"]: row["Note__c"] for row in backup.state().values()}


def test_the_id_is_the_hash_of_the_key_as_the_format_says() -> None:
    (found,) = keyed_ids(pl.DataFrame({"a": ["é1"], "b": [None], "c": ["x"]}, schema_overrides={"b": pl.String}))
    assert found == "key-" + hashlib.sha256("3:é1-1:x".encode()).hexdigest()[:16]


def test_keys_that_read_alike_when_put_together_are_told_apart() -> None:
    values = pl.DataFrame({"a": ["ab", "a", "1:a", None, "-"], "b": ["c", "bc", "c", "x", "x"]})
    assert keyed_ids(values).n_unique() == 5


def test_ids_go_into_64_bits_and_come_back() -> None:
    ids = keyed_ids(pl.DataFrame({"a": [str(n) for n in range(1000)]}))
    prefixes: list[int] = []
    keys = pack(ids, prefixes)
    assert unpack(keys, prefixes) == ids.to_list() == unpack_all(keys, prefixes).to_list()
    assert long_id(ids[0]) == ids[0]


def test_one_object_does_not_mix_ids_of_salesforce_with_those_of_keys() -> None:
    mixed = pl.Series(["key-00000000000000ff", "001000000000001AAA"])
    for ids in (mixed, mixed.reverse()):
        with pytest.raises(HoldfastError) as refused:
            pack(ids, [])
        assert refused.value.code == "bad-record-id"


def test_schemas_without_a_key_keep_their_id_and_those_with_one_come_back() -> None:
    assert b"key" not in replace(RIDES, key=()).to_json()
    assert RecordSchema.from_json(RIDES.to_json()) == RIDES
    with pytest.raises(HoldfastError, match="key field"):
        replace(RIDES, key=("Gone__c",))


def test_a_record_written_anew_under_its_key_is_updated_whatever_its_stamp(backup: Backup) -> None:
    table = backup.open()
    backup.add(table, backup.stage([ride("a", "1"), ride("b", "1")], RIDES, mode="baseline"))
    again = [ride("a", "2", created="2020-01-01T00:00:00.000Z"), ride("b", "1"), ride("c", "1")]
    done = backup.add(table, backup.stage(again, RIDES, run=2, mode="full"))
    assert done.counts.to_json() == {"updated": 1, "created": 1, "repeated": 1}
    assert notes(backup) == {"a": "2", "b": "1", "c": "1"}
    (known,) = (key for key, row in backup.state().items() if row["Rider__c"] == "a")
    history = record_history(backup.root, "0a000000-0000-7000-8000-000000000001", OBJECT, known)
    assert len(history) == 2
    assert same_entries(table.index, backup.open().index)


def test_keys_outlive_a_compaction_and_a_reopening(backup: Backup) -> None:
    table = backup.open()
    for run in (1, 2, 3):
        backup.add(table, backup.stage([ride(f"r{run}", "1")], RIDES, run=run, mode="full"))
    table.save_index_if_behind()
    compact_and_clear(backup.root)
    assert notes(backup) == {"r1": "1", "r2": "1", "r3": "1"}
    done = backup.add(backup.open(), backup.stage([ride("r2", "2")], RIDES, run=4, mode="full"))
    assert done.counts.to_json() == {"updated": 1}
    fresh = backup.open()
    report = verify_table(backup.root, fresh.job_id, fresh.object, key=KEY.public_key(), expected=fresh.head)
    assert (report.damage, report.rows) == ([], 4)


@pytest.mark.parametrize("mode", ["baseline", "full"])
def test_two_keys_of_one_hash_are_refused_and_neither_is_lost(backup: Backup, monkeypatch, mode) -> None:
    def same(values: pl.DataFrame) -> pl.Series:
        return pl.Series("Id", ["key-00000000000000aa"] * len(values))

    monkeypatch.setattr("holdfast.vault.canonical.keyed_ids", same)
    table = backup.open()
    backup.add(table, backup.stage([ride("a", "1")], RIDES, mode="baseline"))
    apart = backup.stage([ride("b", "1")], RIDES, run=2, seq=1, mode=mode)
    together = backup.stage([ride("b", "1"), ride("c", "1")], RIDES, run=2, seq=2, mode=mode)
    for page in (apart, together):
        with pytest.raises(HoldfastError) as refused:
            table.apply([page])
        assert (refused.value.kind, refused.value.code) == (Kind.DAMAGED, "keys-collide")
    assert notes(backup) == {"a": "1"}


def test_a_row_that_comes_twice_in_a_page_is_one_record(backup: Backup) -> None:
    table = backup.open()
    twice = [ride("a", "1"), ride("b", "1"), ride("a", "2")]
    done = backup.add(table, backup.stage(twice, RIDES, mode="baseline"))
    assert done.counts.to_json() == {"captured": 2, "stale": 1}
    assert notes(backup) == {"a": "2", "b": "1"}
