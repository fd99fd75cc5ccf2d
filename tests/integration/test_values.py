"""Whatever a field holds comes back as it was: by REST and by Bulk, in DuckDB and in Polars."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import Installation, installed
from .tables import files_at, query

pytestmark = pytest.mark.integration
GENERATED = 60
FIELDS = [
    {"name": "Text__c", "type": "string"},
    {"name": "Long__c", "type": "textarea"},
    {"name": "Choice__c", "type": "picklist"},
    {"name": "Choices__c", "type": "multipicklist"},
    {"name": "Mail__c", "type": "email"},
    {"name": "Amount__c", "type": "currency"},
    {"name": "Ratio__c", "type": "double"},
    {"name": "Share__c", "type": "percent"},
    {"name": "Whole__c", "type": "int"},
    {"name": "Flag__c", "type": "boolean"},
    {"name": "Day__c", "type": "date"},
    {"name": "Moment__c", "type": "datetime"},
    {"name": "Clock__c", "type": "time"},
]
KINDS = {field["name"]: field["type"] for field in FIELDS}
NASTY_TEXT = [
    "NA", "N/A", "null", "NULL", "None", "nan", "true", "FALSE", "00123", "1e3", "-0", "1.0", "0x1F", "2020-01-01",
    "#N/A", "=1+1", '"', '""', "'", ",", ";", "\\", "\\n", "a\nb", "a\rb", "a\r\nb", "\n", "\r", "\t", " ", "  x  ",
    "nul\x00nul", "\x00", "\u200b", "\ufeff", "e\u0301", "é", "\U0001f469\u200d\U0001f467", "\U0010ffff", "مرحبا",
    "日本語", "<b>&amp;</b>", '","', '"\n"', "\x1f", "\x7f", "\x85", "\u2028",
]  # fmt: skip
NASTY: dict[str, list[str]] = {
    "string": NASTY_TEXT,
    "textarea": [*NASTY_TEXT, "x" * 32_000, "é\n" * 10_000],
    "picklist": ["NA", "null", "00123", 'a "b"'],
    "multipicklist": ["a;b;c", "NA;null", "a b;c,d", "x"],
    "email": ["a@b.example", "o'brien+x@b.example"],
    "currency": ["0", "-0.01", "123456789012345678.25", "-99999999999999.99", "1000", "0.1", "100.10"],
    "double": ["0.000000000000000001", "123456789012345678", "-1.5", "1000000", "0.30000000000000004"],
    "percent": ["100", "33.333333333333333333", "-12.5"],
    "int": ["0", "-1", "2147483647", "-2147483648", "1000"],
    "boolean": ["true", "false"],
    "date": ["1700-01-01", "1582-10-15", "1969-12-31", "2000-02-29", "4000-12-31"],
    "datetime": ["1700-01-01T00:00:00.000Z", "1969-12-31T23:59:59.999Z", "2038-01-19T03:14:08.001Z"],
    "time": ["00:00:00.000Z", "23:59:59.999Z", "12:30:00.001Z"],
}


def _decimals(places: int) -> st.SearchStrategy[str]:
    numbers = st.decimals(-(10**15), 10**15, places=places, allow_nan=False, allow_infinity=False)
    return numbers.map(lambda number: format(number, "f"))


def _text(longest: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=longest)


_stamps = st.datetimes(datetime(1700, 1, 1), datetime(4000, 12, 31))  # noqa: DTZ001 - written as UTC
DRAWN: dict[str, st.SearchStrategy[str]] = {
    "string": _text(60),
    "textarea": _text(300),
    "picklist": _text(20),
    "multipicklist": st.lists(_text(10), min_size=1, max_size=4).map(";".join),
    "email": st.from_regex(r"\A[a-z]{1,9}@[a-z]{1,9}\.example\Z"),
    "currency": _decimals(2),
    "double": _decimals(12),
    "percent": _decimals(6),
    "int": st.integers(-(2**31), 2**31 - 1).map(str),
    "boolean": st.sampled_from(["true", "false"]),
    "date": st.dates(date(1700, 1, 1), date(4000, 12, 31)).map(date.isoformat),
    "datetime": _stamps.map(lambda at: f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"),
    "time": st.times().map(lambda at: f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}Z"),
}
ROW = st.fixed_dictionaries({name: st.none() | DRAWN[kind] for name, kind in KINDS.items()})


@pytest.fixture(scope="module")
def org() -> Iterator[RunningOrg]:
    with start_org() as running:
        yield running


@pytest.fixture(scope="module")
def by_way(
    tmp_path_factory: pytest.TempPathFactory, kafka_servers: str, postgres_server: Any
) -> Iterator[dict[str, Installation]]:
    """Two installations that differ in the threshold alone: one reads everything by REST, the other by Bulk."""
    servers = {way: postgres_server.ensure_database(f"values_{way}") for way in ("rest", "bulk2")}
    threshold = {"rest": "1000000", "bulk2": "1"}
    folders = {way: tmp_path_factory.mktemp(way) for way in servers}
    env = {way: {"HOLDFAST_EXTRACTOR_BULK_THRESHOLD_ROWS": threshold[way]} for way in servers}
    with (
        installed(folders["rest"], kafka=kafka_servers, dsn=servers["rest"], env=env["rest"]) as rest,
        installed(folders["bulk2"], kafka=kafka_servers, dsn=servers["bulk2"], env=env["bulk2"]) as bulk,
    ):
        yield {"rest": rest, "bulk2": bulk}


def nasty_rows() -> list[dict[str, str | None]]:
    """Every nasty value of every field, side by side."""
    longest = max(len(values) for values in NASTY.values())
    return [{name: NASTY[kind][n % len(NASTY[kind])] for name, kind in KINDS.items()} for n in range(longest)]


@settings(
    max_examples=3,
    database=None,
    derandomize=True,
    phases=[Phase.generate],  # an example is a backup: no time to shrink one
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_every_value_comes_back_as_it_was(
    org: RunningOrg, by_way: dict[str, Installation], data: st.DataObject
) -> None:
    name = f"Thing{uuid4().hex[:8]}__c"
    given_rows = [*nasty_rows(), *data.draw(st.lists(ROW, min_size=GENERATED, max_size=GENERATED))]
    ids = org.define(name, FIELDS, [{"Name": f"{n}", **row} for n, row in enumerate(given_rows)])
    truth = org.state(name)
    for record_id, row in zip(ids, given_rows, strict=True):
        _kept(row, truth[record_id])

    held = {}
    for way, holdfast in by_way.items():
        table = _backed_up(holdfast, org, name, way)
        duck = {
            row["_record_id"]: row for row in query(table, "SELECT * EXCLUDE (_observed_at, _modified_at) FROM events")
        }
        polars = {row["_record_id"]: row for row in pl.read_parquet(files_at(table)).to_dicts()}
        assert duck.keys() == polars.keys() == truth.keys()
        for record_id, row in truth.items():
            for field, kind in KINDS.items():
                assert duck[record_id][field] == polars[record_id][field], (way, field)
                _same(kind, row[field], duck[record_id][field], (way, field))
        held[way] = {key: {field: row[field] for field in ["Name", *KINDS]} for key, row in duck.items()}
        held[way] |= {"fingerprints": {key: row["_fingerprint"] for key, row in duck.items()}}
    assert held["rest"] == held["bulk2"]


def _backed_up(holdfast: Installation, org: RunningOrg, name: str, way: str) -> Path:
    job = holdfast.create_job(holdfast.connect(org), [name], name=name)
    run = holdfast.run(job)
    assert run["state"] == "completed", (run, holdfast.log)
    assert [each["strategy"] for each in run["objects"]] == [way]
    return holdfast.vault / job / "records" / name


def _kept(given_row: dict[str, str | None], row: dict[str, str | None]) -> None:
    """The org has what it was given; else the comparison with its state would show nothing."""
    for field, kind in KINDS.items():
        wanted = given_row[field] or ("false" if kind == "boolean" else None)
        _same(kind, wanted, row[field], field)


def _same(kind: str, expected: str | None, found: str | None, where: object) -> None:
    if kind in ("currency", "double", "percent", "int") and expected is not None:
        assert found is not None and Decimal(expected) == Decimal(found), (where, expected, found)
        assert PLAIN.fullmatch(found) or where in KINDS, (where, found)
    else:
        assert (expected or None) == (found or None), (where, expected, found)


PLAIN = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?")
