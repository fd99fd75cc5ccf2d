"""Rows as tables of raw text: from a page of Bulk CSV and from a page of REST JSON.

Both give string columns only. The platform does not tell an empty text from none in CSV, so both are null.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pa_csv

from holdfast.common.errors import Kind
from holdfast.salesforce.errors import Retry, SalesforceError
from holdfast.salesforce.models import Body, RestPage

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# A row must fit in a block, and small blocks stay in the processor's cache: 27 MB of 31 columns take 60 ms of
# processor time with blocks of 1 MB, 180 ms with 16 MB. pyarrow's own threads double that and win nothing where
# several pages are parsed at a time. So the large block is only for pages that need it: Salesforce caps a
# record's long text at 1.6 million characters, up to three bytes each, doubled where they are quotes.
_BLOCK_BYTES = 1 << 20
_LARGEST_BLOCK_BYTES = 64 << 20

# Made once: without numpy installed, pyarrow looks for it anew on every conversion of a Python value.
_EMPTY = pa.scalar("", pa.string())
_NULL = pa.scalar(None, pa.string())


def parse_csv(body: Body, rows_promised: int) -> pa.Table:
    """Parse a page of a Bulk result, header row included.

    A page that was cut off is an error, also where what is left is a valid CSV: on a row boundary (the
    count is short), inside a quoted value (a quote is left open; pyarrow would accept it), or before the
    last line ending (pyarrow would then read a null there as text).

    Args:
        body: UTF-8, comma separated, LF or CRLF, with or without a byte-order mark.
        rows_promised: The `Sforce-NumberOfRecords` of the page.

    Returns:
        String columns named as in the header; an empty value, quoted or not, is null; NUL is kept.

    Raises:
        SalesforceError: UNAVAILABLE (`page-cut`) if the page is not whole: fetch it again. DAMAGED for a
            page that no second fetch can mend (bad UTF-8, a row of another width, a column named twice).
    """
    start = len(_BYTE_ORDER_MARK) if body[:3] == _BYTE_ORDER_MARK else 0
    if len(body) == start:
        return _counted(pa.table({}), rows_promised)
    if not body.endswith(b"\n"):
        raise _cut("it does not end with a line ending")
    if body.count(b'"') % 2:
        raise _cut("a quoted value is left open")
    header_end = body.index(b"\n") + 1
    names = _header(bytes(body[start:header_end]))
    if header_end == len(body):
        return _counted(pa.table({name: pa.array([], pa.string()) for name in names}), rows_promised)
    return _counted(_read_rows(pa.py_buffer(body).slice(header_end), names), rows_promised)


def _header(line: bytes) -> list[str]:
    try:
        names = next(csv.reader([line.decode("utf-8")], strict=True))
    except (UnicodeDecodeError, csv.Error, StopIteration) as error:
        raise _damaged("its header row cannot be read") from error
    if len(set(names)) != len(names):
        raise _damaged("it names a column twice")
    return names


def _read_rows(rows: pa.Buffer, names: list[str]) -> pa.Table:
    try:
        try:
            return _read_blocks(rows, names, _BLOCK_BYTES)
        except pa.ArrowInvalid as error:
            if "straddling object" not in str(error):
                raise
        return _read_blocks(rows, names, _LARGEST_BLOCK_BYTES)
    except pa.ArrowInvalid as error:
        raise _damaged(_without_values(str(error))) from error


def _read_blocks(rows: pa.Buffer, names: list[str], block_bytes: int) -> pa.Table:
    return pa_csv.read_csv(
        pa.BufferReader(rows),
        read_options=pa_csv.ReadOptions(column_names=names, block_size=block_bytes, use_threads=False),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            check_utf8=True,
        ),
    )


def _without_values(error: str) -> str:
    # pyarrow quotes the offending row, which is customer data and must not reach a log.
    return error.split(":", maxsplit=1)[0][:100]


def _counted(table: pa.Table, rows_promised: int) -> pa.Table:
    if table.num_rows != rows_promised:
        raise _cut(f"it holds {table.num_rows} of {rows_promised} rows")
    return table


def parse_rest(body: Body, fields: Sequence[str] | None = None) -> RestPage:
    """Parse a page of a REST query.

    Numbers keep the exact token of the JSON text: `json` hands it over as text, which `orjson` cannot.
    A page holds at most 2,000 rows, so the slower parser costs some 35 ms a page of 60 fields.

    Args:
        body: The answer of `query`, `queryAll` or a next page.
        fields: The columns to return, in order, `Owner.Name` for a parent's. Salesforce does not tell cases apart;
            the columns are named as here. Without it the columns are those met in the rows, nested values that
            are no parent left out.

    Raises:
        SalesforceError: UNAVAILABLE if the body is no query answer; DAMAGED if a row lacks a field.
    """
    return rest_page(parse_exactly(body), fields)


def parse_exactly(body: Body) -> Any:
    """The JSON value of an answer, numbers as the text they were sent as.

    Raises:
        SalesforceError: UNAVAILABLE if the body is not JSON.
    """
    try:
        return json.loads(bytes(body), parse_float=str, parse_int=str, parse_constant=_no_constant)
    except ValueError as error:
        raise _unreadable("a query") from error


def rest_page(page: Any, fields: Sequence[str] | None = None) -> RestPage:
    """The page that `parse_exactly` found in an answer; see `parse_rest`."""
    try:
        records, next_url = page["records"], page.get("nextRecordsUrl")
        total_size = int(page["totalSize"])
        names = list(fields) if fields is not None else _names(records)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable("a query") from error
    try:
        spelled = {key.lower(): key for key in records[0]} if records else {}
        table = pa.table({name: _column(records, spelled.get(name.lower(), name)) for name in names})
    except UnicodeEncodeError as error:
        raise _damaged("it holds half a character") from error
    return RestPage(table, total_size, next_url)


def _names(records: list[dict[str, Any]]) -> list[str]:
    """Names of the fields met, parents' under their path; compounds and children are no fields."""
    names = dict.fromkeys(name for record in records for name in _met(record, ""))
    # A parent that is null in one row and present in another shows up both as `Owner` and as `Owner.Name`.
    parents = {name.rsplit(".", depth)[0] for name in names for depth in range(1, name.count(".") + 1)}
    return [name for name in names if name not in parents]


def _met(record: dict[str, Any], prefix: str) -> Iterator[str]:
    for name, value in record.items():
        if name == "attributes":
            continue
        if not isinstance(value, dict):
            yield prefix + name
        elif "attributes" in value:
            yield from _met(value, f"{prefix}{name}.")


def _column(records: list[dict[str, Any]], name: str) -> pa.Array:
    try:
        if "." in name:
            values = [_along(record, name.split(".")) for record in records]
        else:
            values = [record[name] for record in records]
    except (KeyError, TypeError):
        raise _damaged(f"a row lacks the field {name[:80]}") from None
    try:
        column = pa.array(values, pa.string())
    except (pa.ArrowTypeError, pa.ArrowInvalid):  # booleans, which the fast way refuses
        column = pa.array([_text(value) for value in values], pa.string())
    empty = pc.equal(column, _EMPTY)
    return pc.if_else(empty, _NULL, column) if pc.any(empty).as_py() else column


def _along(record: dict[str, Any], path: list[str]) -> Any:
    """The value at the end of the path; null where a parent on the way is."""
    value: Any = record
    for name in path:
        value = value[name]
        if value is None:
            return None
    return value


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unreadable(what: str) -> SalesforceError:
    return SalesforceError(
        Kind.UNAVAILABLE,
        f"Salesforce's answer is not that of {what}.",
        code="answer-unreadable",
        retry=Retry.TWICE,
    )


def _cut(how: str) -> SalesforceError:
    return SalesforceError(
        Kind.UNAVAILABLE, f"A page of the result is not whole: {how}.", code="page-cut", retry=Retry.BACKOFF
    )


def _damaged(how: str) -> SalesforceError:
    return SalesforceError(Kind.DAMAGED, f"A page of the result cannot be read: {how}.", code="page-unreadable")
