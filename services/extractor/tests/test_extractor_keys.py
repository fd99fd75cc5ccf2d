"""Reading on by key: what is asked for, and from which records on."""

from __future__ import annotations

import json

import polars as pl
import pyarrow as pa
import pytest

from holdfast.extractor.keys import KeyField, following, key_of, place_of
from holdfast.extractor.soql import ObjectQuery, Position
from holdfast.vault.schema import FieldType, RecordSchema

KEY = (KeyField("A__c", "string"), KeyField("B__c", "datetime", descending=True), KeyField("C__c", "double"))
PLACE = json.dumps(["O'x", "2026-01-01T00:00:00.000+0000", "1.50"])


def test_what_follows_is_asked_for_field_by_field_from_the_last_on() -> None:
    assert following(KEY, PLACE) == [
        ["A__c = 'O\\'x'", "B__c = 2026-01-01T00:00:00.000Z", "C__c >= 1.50"],
        ["A__c = 'O\\'x'", "B__c < 2026-01-01T00:00:00.000Z"],
        ["A__c > 'O\\'x'"],
    ]


def test_the_queries_go_in_the_order_of_the_index_and_leave_deleted_rows_to_others() -> None:
    query = ObjectQuery("R__b", ("A__c", "N__c"), key=KEY)
    assert query.by_key(None) == ["SELECT A__c,N__c FROM R__b ORDER BY A__c ASC, B__c DESC, C__c ASC"]
    assert len(query.by_key(Position(PLACE, None))) == 3
    assert not query.all_rows and query.stamp is None
    assert query.of_the_living(("A__c",)).unordered() == "SELECT A__c FROM R__b"


@pytest.mark.parametrize("value", [" x", "x ", "x\n", "\u00a0x", "", None])
def test_a_key_that_salesforce_would_not_find_is_no_place(value: str | None) -> None:
    rows = pa.table({"A__c": ["a", value], "N__c": ["1", "2"]})
    assert place_of(KEY[:1], rows) == '["a"]'
    assert place_of(KEY[:1], rows.slice(1)) is None


def test_a_schema_tells_its_key_with_types_and_directions() -> None:
    fields = tuple(FieldType(each.name, each.type) for each in KEY)
    schema = RecordSchema("R__b", fields, ("A__c", "B__c", "C__c"), frozenset({"B__c"}))
    assert key_of(RecordSchema.from_json(schema.to_json())) == KEY


def test_a_walk_from_any_record_leaves_none_out() -> None:
    """Every record from a place on, by conditions as the org would judge them."""
    keys = [(KeyField("A", "double")), KeyField("B", "double", descending=True)]
    rows = [(a, b) for a in range(4) for b in reversed(range(4))]
    frame = pl.DataFrame(rows, schema=["A", "B"], orient="row")
    with pl.SQLContext(t=frame, eager=True) as context:
        for at, row in enumerate(rows):
            parts = following(keys, json.dumps([str(value) for value in row]))
            answers = [context.execute(f"SELECT * FROM t WHERE {' AND '.join(part)}").rows() for part in parts]
            found = [each for answer in answers for each in answer]
            assert found == rows[at:]
