"""Pages of rows: what is kept exactly, and which broken page is refused how."""

from __future__ import annotations

import csv
import io
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.common.errors import Kind
from holdfast.salesforce.errors import SalesforceError
from holdfast.salesforce.rows import parse_csv, parse_rest

THREE = b'"Id","Name"\n"1","a"\n"2","b"\n"3","c"\n'


def refused(body: bytes, rows: int) -> SalesforceError:
    with pytest.raises(SalesforceError) as caught:
        parse_csv(body, rows)
    return caught.value


def test_csv_keeps_texts_that_look_like_something_else() -> None:
    body = '"Id","V"\n"1","NA"\n"2","null"\n"3","00123"\n"4","1e3"\n"5","true"\n"6","say ""hi"""\n'
    table = parse_csv(body.encode(), 6)
    assert table["V"].to_pylist() == ["NA", "null", "00123", "1e3", "true", 'say "hi"']
    assert table.schema.types == [pa.string(), pa.string()]


def test_csv_empty_is_null_quoted_or_not() -> None:
    table = parse_csv(b'Id,A,B\n1,"",\n2,,""\n', 2)
    assert table["A"].to_pylist() == [None, None]
    assert table["B"].to_pylist() == [None, None]


def test_csv_keeps_nul_newlines_and_emoji() -> None:
    table = parse_csv('"Id","V"\r\n"1","a\x00b"\r\n"2","x\r\ny\nz"\r\n"3","🎉,"\r\n'.encode(), 3)
    assert table["V"].to_pylist() == ["a\x00b", "x\r\ny\nz", "🎉,"]


def test_csv_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert parse_csv(b"\xef\xbb\xbf" + THREE, 3).column_names == ["Id", "Name"]


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 7, 5 << 20])
def test_csv_values_larger_than_a_block(size: int) -> None:
    long = "ab\n" * (size // 3)
    body = f'"Id","V"\n"1","x"\n"2","{long}"\n"3","y"\n'
    assert parse_csv(body.encode(), 3)["V"].to_pylist() == ["x", long, "y"]


def test_csv_nulls_of_a_one_column_page_count_as_rows() -> None:
    assert parse_csv(b'"V"\n"a"\n\n"b"\n', 3)["V"].to_pylist() == ["a", None, "b"]


def test_csv_header_only_is_an_empty_table_with_its_columns() -> None:
    table = parse_csv(b'"Id","Name"\n', 0)
    assert table.num_rows == 0
    assert table.column_names == ["Id", "Name"]


def test_csv_empty_body_is_no_rows_only_if_none_were_promised() -> None:
    assert parse_csv(b"", 0).num_rows == 0
    assert refused(b"", 2).code == "page-cut"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'"Id","Name"\n"1","a"\n"2","b"\n', id="on a row boundary"),
        pytest.param(b'"Id","Name"\n"1","a"\n"2","b"\n"3","c', id="inside a quoted value"),
        pytest.param(b'"Id","Name"\n"1","a"\n"2","b"\n"3",', id="before the last value"),
        pytest.param(b'"Id","Name"\n"1","a"\n"2","b"\n"3","c"', id="before the last line ending"),
        pytest.param(b'"Id","Name"\n"1","a"\n"2","b"\n"3","c\n', id="at a line break inside a value"),
    ],
)
def test_csv_cut_anywhere_is_refused_as_worth_fetching_again(body: bytes) -> None:
    error = refused(body, 3)
    assert error.kind is Kind.UNAVAILABLE
    assert error.code == "page-cut"


def test_csv_more_rows_than_promised_are_refused() -> None:
    assert refused(THREE, 2).code == "page-cut"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'"Id","Id"\n"1","a"\n', "names a column twice"),
        (b'"Id","Name"\n"1","secret value","x"\n', "Expected 2 columns"),
        (b'"Id","Name"\n"1","\xff"\n', "invalid UTF8"),
    ],
)
def test_csv_that_no_second_fetch_mends_is_damaged_and_keeps_values_out_of_the_message(
    body: bytes, reason: str
) -> None:
    error = refused(body, 1)
    assert error.kind is Kind.DAMAGED
    assert "secret value" not in str(error) + error.detail
    assert reason in str(error) or "cannot be read" in str(error)


text = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(text, text), max_size=20))
def test_csv_gives_back_every_text_and_refuses_every_cut(rows: list[tuple[str, str]]) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("Id", "V"), *rows])
    body = out.getvalue().encode()
    table = parse_csv(body, len(rows))
    assert table["V"].to_pylist() == [value or None for _, value in rows]
    if rows:
        for end in range(len(body)):
            with pytest.raises(SalesforceError):
                parse_csv(body[:end], len(rows))


def page(*records: str, total: int | None = None, more: str | None = None) -> bytes:
    next_url = f',"nextRecordsUrl":"{more}"' if more else ""
    size = len(records) if total is None else total
    return f'{{"totalSize":{size},"done":true{next_url},"records":[{",".join(records)}]}}'.encode()


def test_rest_numbers_are_the_tokens_of_the_text() -> None:
    tokens = ["123456789012345678", "0.1", "100.0", "1e3", "-0.0", "-0", "1234567890123.4567890123", "3E-7"]
    table = parse_rest(page(*(f'{{"Id":"x","N":{token}}}' for token in tokens))).table
    assert table["N"].to_pylist() == tokens


def test_rest_booleans_nulls_and_empty_texts() -> None:
    table = parse_rest(page('{"B":true,"T":""}', '{"B":false,"T":"NA"}', '{"B":null,"T":null}')).table
    assert table["B"].to_pylist() == ["true", "false", None]
    assert table["T"].to_pylist() == [None, "NA", None]


def test_rest_parents_become_paths_and_compounds_and_children_go() -> None:
    owner = '{"attributes":{"type":"User"},"Name":"Ann","Profile":{"attributes":{},"Name":"Admin"}}'
    first = '{"attributes":{},"Id":"1","Owner":' + owner + ',"BillingAddress":{"city":"x"},"Contacts":{"records":[]}}'
    second = '{"attributes":{},"Id":"2","Owner":null,"BillingAddress":{"city":"y"},"Contacts":{"records":[]}}'
    table = parse_rest(page(first, second)).table
    assert table.to_pydict() == {
        "Id": ["1", "2"],
        "Owner.Name": ["Ann", None],
        "Owner.Profile.Name": ["Admin", None],
    }


def test_rest_named_fields_fix_the_columns_even_without_rows() -> None:
    fields = ["Owner.Name", "Id"]
    assert parse_rest(page(), fields).table.column_names == fields
    table = parse_rest(page('{"attributes":{},"Id":"1","Owner":null}'), fields).table
    assert table.to_pydict() == {"Owner.Name": [None], "Id": ["1"]}


def test_rest_row_without_a_named_field_is_refused() -> None:
    with pytest.raises(SalesforceError, match="lacks the field Name") as caught:
        parse_rest(page('{"Id":"1"}'), ["Id", "Name"])
    assert caught.value.kind is Kind.DAMAGED


def test_rest_next_page() -> None:
    got = parse_rest(page('{"Id":"1"}', total=2001, more="/services/data/v62.0/query/0r8-2000"))
    assert got.total_size == 2001
    assert got.next_url == "/services/data/v62.0/query/0r8-2000"
    assert parse_rest(page()).next_url is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"records":[]}', b'{"totalSize":1,"records":[NaN]}', b"1"])
def test_rest_body_that_is_no_query_answer(body: bytes) -> None:
    with pytest.raises(SalesforceError) as caught:
        parse_rest(body)
    assert caught.value.code == "answer-unreadable"


@given(st.lists(text, max_size=20))
def test_rest_gives_back_every_text(values: list[str]) -> None:
    body = json.dumps({"totalSize": len(values), "records": [{"Id": "1", "V": value} for value in values]})
    assert parse_rest(body.encode(), ["V"]).table["V"].to_pylist() == [value or None for value in values]
