"""Record ids."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.orgsim import ids


@pytest.mark.parametrize(
    ("short", "checksum"),
    [("000000000000000", "AAA"), ("012000000000000", "AAA"), ("0122a000000PCxA", "AAW"), ("01254000001upcK", "AAQ")],
)
def test_checksum_of_recorded_ids(short: str, checksum: str) -> None:
    assert ids.to18(short) == short + checksum


def test_ids_of_one_object_sort_as_they_were_made() -> None:
    made = [ids.make_id("001", number) for number in (1, 9, 10, 35, 36, 61, 62, 3843, 3844, 10**9)]
    assert made == sorted(made)
    assert {len(i) for i in made} == {18}


def test_normalise_takes_both_lengths_and_nothing_else() -> None:
    full = ids.make_id("003", 7)
    assert ids.normalise(full[:15]) == full
    assert ids.normalise(full) == full
    assert ids.normalise("'; DROP") is None
    assert ids.normalise("0" * 16) is None


def test_custom_prefixes_begin_at_a00() -> None:
    assert [ids.custom_prefix(n) for n in (0, 1, 62)] == ["a00", "a01", "a10"]


@given(st.lists(st.none() | st.integers(1, 10**6) | st.integers(1, 62**9 - 1), max_size=20))
def test_a_column_of_ids_is_the_ids_of_its_numbers(numbers: list[int | None]) -> None:
    column = ids.id_column("a0B", pl.Series(numbers, dtype=pl.Int64))
    assert column.to_list() == [None if n is None else ids.make_id("a0B", n) for n in numbers]
