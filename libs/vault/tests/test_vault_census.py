"""A list of living records against the state: sets and sums, compared with what plain Python makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import polars_hash as plh
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vault_pages import START, Backup, Record, record, record_id, schema_of

from holdfast.vault import chunks
from holdfast.vault.absence import Place, stage_absence
from holdfast.vault.census import Comparison, Horizon, census, compare, reading, sums_of
from holdfast.vault.index import StateIndex
from holdfast.vault.record_id import pack, unpack, unpack_all
from holdfast.vault.refs import StagedRef

NAME, LIST = schema_of("Name"), schema_of()
ANY = Horizon(None, None)


def listed(backup: Backup, rows: Sequence[Record], seq: int = 50) -> list[StagedRef]:
    return [backup.stage(rows, LIST, run=9, seq=seq, mode="census")] if rows else []


def against(backup: Backup, index: StateIndex, rows: Sequence[Record], horizon: Horizon = ANY) -> Comparison:
    return compare(census(backup.root, listed(backup, rows), index), horizon)


def test_each_difference_is_named(backup: Backup) -> None:
    table = backup.open()
    rows = [record(1, 1, Name="a"), record(2, 1, Name="b"), record(3, 1, deleted=True), record(4, 9, Name="d")]
    backup.add(table, backup.stage(rows, NAME, mode="baseline"))
    found = against(backup, table.index, [record(1, 2), record(3, 1), record(4, 1), record(5, 1)])
    assert (found.listed, found.newer) == (4, 1)
    assert found.missing.ids == (record_id(3), record_id(5))
    assert found.outdated.ids == (record_id(1),)
    assert found.absent.ids == (record_id(2),)
    assert found.recent.count == 0


def test_what_is_younger_than_the_reading_is_told_apart(backup: Backup) -> None:
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, Name="a"), record(2, 1, Name="b")], NAME, mode="baseline"))
    horizon = Horizon(START + timedelta(seconds=5), START + timedelta(seconds=3))
    found = against(backup, table.index, [record(1, 4), record(2, 1), record(3, 5), record(4, 6)], horizon)
    assert (found.missing.ids, found.outdated.count) == ((record_id(3),), 0)
    assert set(found.recent.ids) == {record_id(1), record_id(4)}


def test_a_list_that_names_a_record_twice_counts_it_once_and_its_sums_tell(backup: Backup) -> None:
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, Name="a"), record(2, 1, Name="b")], NAME, mode="baseline"))
    found = against(backup, table.index, [record(1, 1), record(2, 1), record(2, 1)])
    assert (found.listed, found.sums.records) == (2, 3)
    assert found.absent.count == found.missing.count == 0


def test_a_reading_lists_who_lives_in_its_newest_observation(backup: Backup) -> None:
    table = backup.open()
    first = backup.stage([record(1, 1, Name="a"), record(2, 1, Name="b")], NAME, seq=1)
    second = backup.stage([record(2, 2, deleted=True), record(1, 0, deleted=True), record(3, 1, Name="c")], NAME, seq=2)
    backup.add(table, first)
    found = compare(reading(backup.root, [first, second], table.index), ANY)
    assert found.listed == 2
    assert found.missing.ids == (record_id(3),)
    assert found.absent.ids == (record_id(2),)


@pytest.mark.parametrize("numbers", [[], [1], list(range(700))])
def test_sums_are_those_of_the_format(numbers: list[int]) -> None:
    rows = [record(number, number) for number in numbers]
    ids = pl.Series([row["Id"] for row in rows], dtype=pl.String)
    stamps = pl.Series([int((START + timedelta(seconds=n)).timestamp() * 1000) for n in numbers], dtype=pl.Int64)
    sums = sums_of(ids, stamps)
    assert sums.ids == hash_sum([str(row["Id"]) for row in rows])
    assert sums.stamps == (hash_sum([f"{row['Id']}|{row['SystemModstamp']}" for row in rows]) if rows else "")


def hash_sum(texts: list[str]) -> str:
    frame = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})
    hashes = frame.select(plh.col("text").nchash.xxh3_64(seed=0)).to_series().to_list()
    return f"{sum(hashes) % (1 << 64):016x}"


def test_ids_come_back_from_keys_by_column() -> None:
    ids = [record_id(number) for number in range(300)] + ["a0BHn00000zZ9aQMAW", "00Q000000000001EAA"]
    prefixes: list[int] = []
    keys = pack(pl.Series(ids), prefixes)
    assert unpack_all(keys, prefixes).to_list() == unpack(keys, prefixes)


Stamps = st.dictionaries(st.integers(1, 12), st.integers(1, 4))


@settings(max_examples=40)
@given(Stamps, Stamps, st.integers(0, 3))
def test_the_comparison_is_that_of_sets_and_the_absent_are_deleted(
    held: dict[int, int], org: dict[int, int], recent: int
) -> None:
    with TemporaryDirectory(prefix="holdfast-census-") as folder, pytest.MonkeyPatch.context() as small:
        small.setattr(chunks, "CHUNK_ROWS", 2)
        small.setattr(chunks, "RECENT_ROWS", recent)
        backup = Backup.in_folder(Path(folder) / "vault", Path(folder))
        table = backup.open()
        if held:
            backup.add(table, backup.stage([record(n, s, Name="a") for n, s in held.items()], NAME, mode="baseline"))
        pages = listed(backup, [record(n, s) for n, s in org.items()])
        listing = census(backup.root, pages, table.index)
        found = compare(listing, ANY)
        assert set(found.missing.ids) == {record_id(n) for n in org.keys() - held.keys()}
        assert set(found.outdated.ids) == {record_id(n) for n in org.keys() & held.keys() if org[n] > held[n]}
        assert set(found.absent.ids) == {record_id(n) for n in held.keys() - org.keys()}
        if not found.absent.count:
            return
        absence = stage_absence(backup.root, Place(table.job_id, table.object, 9, 99, "absence", START), listing)
        size = (absence.page.rows, absence.page.sha256)
        backup.add(table, StagedRef(absence.path, "absence", 9, 99, *size, "deletions", absence.schema))
        assert backup.state().keys() == {record_id(n) for n in org.keys() & held.keys()}
        again = stage_absence(backup.root, Place(table.job_id, table.object, 9, 99, "absence", START), listing)
        assert again.page.sha256 == absence.page.sha256
