"""What the feed and the events say, without a service around them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import polars as pl

from holdfast.common.contracts.differ import ChangeCounts, RecordChanged
from holdfast.differ.announcements import change_counts
from holdfast.differ.feeding import feed_messages
from holdfast.differ.store import TableKey
from holdfast.vault.feed import CommitChanges
from holdfast.vault.refs import Counts

KEY = TableKey(UUID(int=1), "Thing__c")
TABLE = f"{KEY.job_id}/records/Thing__c"
AT = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
CHANGES = pl.DataFrame(
    {
        "_event_id": ["e1", "e2"],
        "_record_id": ["a00Hn0000000001AAA", "a00Hn0000000002AAA"],
        "_op": ["updated", "deleted"],
        "_run": [7, 7],
        "_modified_at": [AT, None],
        "_changed": [["Name", "Größe__c"], None],
    },
    schema_overrides={"_modified_at": pl.Datetime("us", "UTC"), "_changed": pl.List(pl.String)},
)


def test_a_message_is_the_public_event() -> None:
    messages = feed_messages(KEY, "00DHn000000000AMAQ", CommitChanges(3, 5, CHANGES))
    events = [RecordChanged.model_validate_json(value, strict=True) for _, value, _ in messages]
    assert events[0] == RecordChanged(
        organization_id="00DHn000000000AMAQ",
        job_id=KEY.job_id,
        run=7,
        object="Thing__c",
        record_id="a00Hn0000000001AAA",
        operation="updated",
        changed_fields=["Name", "Größe__c"],
        modified_at=AT,
        event_id="e1",
        table=TABLE,
        version=5,
    )
    assert (events[1].operation, events[1].changed_fields, events[1].modified_at) == ("deleted", [], None)
    assert [key.decode() for key, _, _ in messages] == [event.key() for event in events]


def test_a_message_has_no_field_that_the_event_lacks() -> None:
    ((_, value, _), _) = feed_messages(KEY, "00D", CommitChanges(3, 5, CHANGES))
    assert set(pl.Series([value.decode()]).str.json_decode(infer_schema_length=1).struct.fields) == set(
        RecordChanged.model_fields
    )


def test_the_headers_make_it_a_cloud_event() -> None:
    (_, _, headers), _ = feed_messages(KEY, "00D", CommitChanges(3, 5, CHANGES))
    assert headers == {
        "ce_specversion": "1.0",
        "ce_type": RecordChanged.TYPE,
        "ce_source": f"/{TABLE}",
        "ce_id": "e1",
        "content-type": "application/json",
    }


def test_a_commit_without_changes_sends_nothing() -> None:
    assert feed_messages(KEY, "00D", CommitChanges(1, 1, CHANGES.clear())) == []


def test_every_count_of_the_vault_is_in_the_event() -> None:
    vault = Counts(captured=1, created=2, updated=3, touched=4, deleted=5, undeleted=6)
    assert change_counts(vault) == ChangeCounts(captured=1, created=2, updated=3, touched=4, deleted=5, undeleted=6)
