"""One value, one text, whichever API delivered it."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.canonical import canonical
from holdfast.vault.record_id import long_id
from holdfast.vault.schema import FieldType, RecordSchema


def through(kind: str, tokens: list[str | None]) -> list[str | None]:
    schema = RecordSchema("Thing", (FieldType("Id", "id"), FieldType("F", kind)))
    ids = pa.array([long_id("001000000000001")] * len(tokens), pa.string())
    page = pa.table({"Id": ids, "F": pa.array(tokens, pa.string())})
    result: list[str | None] = canonical(page, schema, "rest").column("F").to_pylist()
    return result


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("100.0", "100"),
        ("1E3", "1000"),
        ("1.5e-3", "0.0015"),
        ("-1.25E+2", "-125"),
        ("12.34E1", "123.4"),
        ("-0", "0"),
        ("-0.00", "0"),
        ("0E5", "0"),
        ("+5", "5"),
        ("007", "7"),
        (".5", "0.5"),
        ("5.", "5"),
        ("0.10", "0.1"),
        ("-0.10", "-0.1"),
        ("1200", "1200"),
        ("123456789012345678.25", "123456789012345678.25"),
        ("123456789012345678901234567890.10", "123456789012345678901234567890.1"),
        ("1.0E20", "100000000000000000000"),
        ("", None),
        (None, None),
        ("n/a", "n/a"),
        ("n/a.0", "n/a.0"),
        ("1.5.0", "1.5.0"),
        ("1..0", "1..0"),
        ("1e401", "1e401"),
    ],
)
@pytest.mark.parametrize("kind", ["int", "long", "double", "currency", "percent"])
def test_numbers_are_exact_decimals(kind: str, token: str | None, text: str | None) -> None:
    assert through(kind, [token]) == [text]


@given(
    st.lists(
        st.one_of(
            st.decimals(allow_nan=False, allow_infinity=False, places=None)
            .filter(lambda d: abs(d.adjusted()) < 300)
            .map(str),
            st.floats(allow_nan=False, allow_infinity=False).map(repr),
            st.integers(min_value=-(10**30), max_value=10**30).map(lambda n: f"{n}.000"),
        ),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=150)
def test_a_number_keeps_its_value_and_loses_its_spelling(tokens: list[str]) -> None:
    texts = through("double", list(tokens))
    for token, text in zip(tokens, texts, strict=True):
        assert text is not None
        exact = format(Decimal(token), "f")
        exact = exact.rstrip("0").rstrip(".") if "." in exact else exact
        assert text == ("0" if Decimal(token) == 0 else exact)
    assert through("double", texts) == texts


@pytest.mark.parametrize(
    ("kind", "token", "text"),
    [
        ("datetime", "2022-03-17T16:21:26.000+0000", "2022-03-17T16:21:26.000Z"),
        ("datetime", "2022-03-17T16:21:26.123+00:00", "2022-03-17T16:21:26.123Z"),
        ("datetime", "2022-03-17T16:21:26Z", "2022-03-17T16:21:26.000Z"),
        ("datetime", "1700-01-01T00:00:00.000Z", "1700-01-01T00:00:00.000Z"),
        ("datetime", "2022-03-17T16:21:26.1234567Z", "2022-03-17T16:21:26.1234567Z"),
        ("datetime", "tomorrow", "tomorrow"),
        ("time", "12:34:56.000Z", "12:34:56.000Z"),
        ("time", "12:34:56", "12:34:56.000Z"),
        ("date", "1700-02-28", "1700-02-28"),
        ("boolean", "True", "true"),
        ("boolean", "false", "false"),
        ("boolean", "yes", "yes"),
        ("reference", "012000000000000", "012000000000000AAA"),
        ("reference", "003Hn00001AbCdE", "003Hn00001AbCdEIAV"),
        ("reference", "003Hn00001AbCdEIAV", "003Hn00001AbCdEIAV"),
        ("reference", "not an id  15ch", "not an id  15ch"),
        ("multipicklist", "b;a", "b;a"),
    ],
)
def test_other_types_have_one_form(kind: str, token: str, text: str) -> None:
    assert through(kind, [token, None, token]) == [text, None, text]


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=8))
@settings(max_examples=100)
def test_text_is_kept_byte_for_byte(texts: list[str]) -> None:
    assert through("string", list(texts)) == [text or None for text in texts]


def test_compound_fields_and_bodies_are_left_out() -> None:
    fields = {"Id": "id", "A": "address", "L": "location", "B": "base64", "T": "string"}
    schema = RecordSchema("Thing", tuple(FieldType(*item) for item in fields.items()))
    page = pa.table({name: pa.array(["001000000000001AAA"]) for name in ("Id", "T", "B")})
    assert canonical(page, schema, "rest").column_names == ["Id", "T"]


@pytest.mark.parametrize("columns", [["Id"], ["Id", "F", "Extra"], ["F"]])
def test_a_page_with_other_columns_than_asked_for_is_refused(columns: list[str]) -> None:
    schema = RecordSchema("Thing", (FieldType("Id", "id"), FieldType("F", "string")))
    page = pa.table({name: pa.array(["001000000000001AAA"]) for name in columns})
    with pytest.raises(HoldfastError) as caught:
        canonical(page, schema, "bulk")
    assert (caught.value.kind, caught.value.code) == (Kind.INVALID, "unexpected-columns")
