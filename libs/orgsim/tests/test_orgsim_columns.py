"""Whole columns take the same canonical text as single values."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.orgsim import ids
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.schema.columns import canonical_column
from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.schema.values import canonical

KINDS = ["double", "int", "date", "datetime", "reference", "boolean", "string", "time"]
USUAL = ["-0", "007", "1.50", "-0.00", "12", "1e3", " 5 ", "2024-02-30", "2024-01-31", "0000-01-01", "true", "Yes",
         "2024-01-31T12:00:00.000Z", "2024-01-31T12:00:00+0200", "001Hs0000000001",
         "001Hs0000000001AAA", "12:30:00"]  # fmt: skip


def one(field: dict, text: str | None) -> str | ApiError | None:
    try:
        return canonical(field, text)
    except ApiError as error:
        return error


@pytest.mark.parametrize("kind", KINDS)
@given(texts=st.lists(st.none() | st.sampled_from(USUAL) | st.text("0123456789.-+eT:Z", max_size=12), min_size=9))
def test_a_column_and_its_values_agree(kind: str, texts: list[str | None]) -> None:
    field = make_field("X__c", kind)
    stored, wrong = canonical_column(field, pl.Series(texts, dtype=pl.String))
    for row, (text, found) in enumerate(zip(texts, stored.to_list(), strict=True)):
        expected = one(field, text)
        if isinstance(expected, ApiError):
            assert wrong is not None
            assert (found, wrong[row].body()) == (None, expected.body())
        else:
            assert found == expected
            assert wrong is None or row not in wrong


@pytest.mark.parametrize("kind", ["double", "int"])
@pytest.mark.parametrize("text", ["1e999999999", "-1e-999999999", "0e999999999"])
def test_a_number_of_a_thousand_million_digits_is_refused_at_once(kind: str, text: str) -> None:
    assert isinstance(one(make_field("X__c", kind), text), ApiError)


@given(st.lists(st.none() | st.text("0aAzZ9é ", min_size=14, max_size=19), min_size=40, max_size=60))
def test_ids_in_columns_are_ids(texts: list[str | None]) -> None:
    found = ids.normalised(pl.Series(texts, dtype=pl.String)).to_list()
    assert found == [None if text is None else ids.normalise(text) for text in texts]
