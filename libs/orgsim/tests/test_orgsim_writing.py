"""What the platform does when records change."""

from datetime import timedelta

import pytest

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.ledger.entries import Entry
from holdfast.orgsim.saving.recyclebin import purge_expired
from holdfast.orgsim.saving.transaction import all_or_none
from holdfast.orgsim.saving.writing import AmbiguousKeyError
from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.schema.objects import custom_lookup

STRANGE = [
    "NA",
    "null",
    "00123",
    "1e3",
    'say "hi"',
    "two\nlines",
    "cr\ronly",
    "crlf\r\n",
    "😀",
    "a\x00b",
    " blank ",
    "é",
]


@pytest.fixture
def account(org):
    return org.schema.objects["Account"]


@pytest.fixture
def contact(org):
    return org.schema.objects["Contact"]


def entries(org, since: int) -> list[tuple[str, str, str | None]]:
    return [(e.object, e.operation, e.note) for e in org.ledger.since(since) if isinstance(e, Entry)]


@pytest.mark.parametrize("value", STRANGE)
def test_text_is_kept_byte_for_byte(org, writer, account, ask, value: str) -> None:
    new_id = writer.insert(account, {"Name": value})
    assert org.table(account).get(new_id)["Name"] == value
    assert ask("SELECT Name FROM Account") == [(value,)]


@pytest.mark.parametrize(
    ("kind", "given", "stored"),
    [("double", "123456789012345678.5", "123456789012345678.5"), ("double", 1e22, "10000000000000000000000.0"),
     ("currency", 811, "811.0"), ("percent", "85.50", "85.5"), ("double", "0.00", "0.0"), ("double", "-3", "-3.0"),
     ("int", "7.0", "7"), ("boolean", True, "true"), ("date", "1700-01-31", "1700-01-31"),
     ("datetime", "1700-01-31T00:00:00Z", "1700-01-31T00:00:00.000Z"),
     ("datetime", "2024-01-31T12:34:56.789+0200", "2024-01-31T10:34:56.789Z"),
     ("time", "12:34:56", "12:34:56.000Z"), ("multipicklist", "a;b", "a;b"), ("string", "", None)],
)  # fmt: skip
def test_values_have_one_canonical_text(org, writer, account, kind: str, given: object, stored: str | None) -> None:
    account.add(make_field("X__c", kind, precision=30, scale=2))
    new_id = writer.insert(account, {"Name": "n", "X__c": given})
    assert org.table(account).get(new_id)["X__c"] == stored


@pytest.mark.parametrize(
    ("values", "code"),
    [({}, "REQUIRED_FIELD_MISSING"), ({"Name": "x" * 256}, "STRING_TOO_LONG"),
     ({"Name": "n", "ParentId": "001Hs0000099999AAA"}, "INVALID_CROSS_REFERENCE_KEY"),
     ({"Name": "n", "ParentId": "zz"}, "MALFORMED_ID"),
     ({"Name": "n", "SystemModstamp": "2020-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
     ({"Name": "n", "AnnualRevenue": "lots"}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
     ({"Name": "n", "Nope": 1}, "INVALID_FIELD")],
)  # fmt: skip
def test_refused_records_leave_nothing(org, writer, account, values, code: str) -> None:
    before = org.ledger.sequence
    with pytest.raises(ApiError) as refused:
        writer.insert(account, values)
    assert refused.value.code == code
    assert (len(org.table(account)), org.ledger.sequence) == (0, before)


def test_update_without_a_change_still_stamps(org, writer, account) -> None:
    new_id = writer.insert(account, {"Name": "n"})
    first = org.table(account).get(new_id)["SystemModstamp"]
    org.clock.advance(timedelta(seconds=5))
    writer.update(new_id, {"Name": "n"})
    assert org.table(account).get(new_id)["SystemModstamp"] > first
    assert org.table(account).get(new_id)["CreatedDate"] == first


def test_delete_cascades_and_undelete_restores_but_cleared_lookups_stay_clear(org, writer, account, contact) -> None:
    note = org.schema.define("Note__c")
    org.schema.add_field(note, custom_lookup("Account__c", ["Account"]))
    parent = writer.insert(account, {"Name": "p"})
    child = writer.insert(contact, {"LastName": "c", "AccountId": parent})
    loose = writer.insert(note, {"Name": "n", "Account__c": parent})
    since = org.ledger.sequence
    org.clock.advance(timedelta(seconds=9))
    stamp_before = org.table(note).get(loose)["SystemModstamp"]
    writer.delete(parent)
    assert entries(org, since) == [
        ("Account", "delete", None),
        ("Contact", "delete", f"with {parent}"),
        ("Note__c", "update", f"lookup cleared: {parent} deleted"),
    ]
    assert org.table(note).get(loose)["Account__c"] is None
    assert org.table(note).get(loose)["SystemModstamp"] > stamp_before
    with pytest.raises(ApiError, match="UNDELETE_FAILED"):
        writer.undelete(child)
    writer.undelete(parent)
    assert org.table(contact).get(child)["IsDeleted"] == "false"
    assert org.table(contact).get(child)["AccountId"] == parent
    assert org.table(note).get(loose)["Account__c"] is None


def test_merge_deletes_losers_and_moves_their_children(org, writer, account, contact) -> None:
    winner, loser = (writer.insert(account, {"Name": n}) for n in ("w", "l"))
    child = writer.insert(contact, {"LastName": "c", "AccountId": loser})
    moved = writer.merge(account, winner, [loser], {"Industry": "Energy"})
    gone = org.table(account).get(loser)
    assert (gone["IsDeleted"], gone["MasterRecordId"]) == ("true", winner)
    assert (moved, org.table(contact).get(child)["AccountId"]) == ([child], winner)
    assert org.table(account).get(winner)["Industry"] == "Energy"
    with pytest.raises(ApiError, match="merged"):
        writer.undelete(loser)


def test_hard_delete_forgets_and_get_deleted_remembers(org, writer, account) -> None:
    new_id = writer.insert(account, {"Name": "n"})
    writer.hard_delete(new_id)
    assert org.table(account).get(new_id) is None
    assert [i for i, _ in org.purged["Account"]] == [new_id]


def test_the_bin_is_emptied_after_15_days(org, writer, account) -> None:
    new_id = writer.insert(account, {"Name": "n"})
    writer.delete(new_id)
    org.clock.advance(timedelta(days=14, hours=23))
    purge_expired(org)
    assert org.table(account).get(new_id) is not None
    org.clock.advance(timedelta(hours=2))
    purge_expired(org)
    assert org.table(account).get(new_id) is None


def test_upsert_by_external_id(org, writer, account) -> None:
    account.add(make_field("Key__c", "string", externalId=True))
    first, created = writer.upsert(account, "Key__c", "k1", {"Name": "n"})
    assert created
    assert writer.upsert(account, "Key__c", "K1", {"Name": "m"}) == (first, False)
    writer.insert(account, {"Name": "o", "Key__c": "k1"})
    with pytest.raises(AmbiguousKeyError):
        writer.upsert(account, "Key__c", "k1", {})


def test_unique_fields_refuse_a_second_value(org, writer, account) -> None:
    account.add(make_field("Key__c", "string", unique=True))
    writer.insert(account, {"Name": "n", "Key__c": "a"})
    with pytest.raises(ApiError, match="DUPLICATE_VALUE"):
        writer.insert(account, {"Name": "n", "Key__c": "A"})


def test_all_or_none_takes_everything_back(org, writer, account, contact) -> None:
    kept = writer.insert(account, {"Name": "kept"})
    child = writer.insert(contact, {"LastName": "c", "AccountId": kept})
    state, since = dict(org.table(account).get(kept)), org.ledger.sequence
    with pytest.raises(RuntimeError), all_or_none(org):
        writer.update(kept, {"Name": "changed"})
        gone = writer.insert(account, {"Name": "new"})
        writer.delete(kept)
        raise RuntimeError
    assert org.table(account).get(kept) == state
    assert org.table(account).get(gone) is None
    assert org.table(contact).get(child)["IsDeleted"] == "false"
    assert (org.ledger.sequence, org.recycle_bin) == (since, {})


def test_state_rebuilt_from_the_ledger_equals_the_table_at_every_moment(org, writer, account, contact) -> None:
    moments = []
    a, b = (writer.insert(account, {"Name": n}) for n in "ab")
    for act in (lambda: writer.update(a, {"Name": "a2"}), lambda: writer.delete(b), lambda: writer.undelete(b),
                lambda: writer.merge(account, a, [b], {}), lambda: writer.hard_delete(a)):  # fmt: skip
        moments.append((org.clock.now(), {r["Id"]: dict(r) for r in org.table(account).rows()}))
        org.clock.advance(timedelta(seconds=1))
        act()
    moments.append((org.clock.now(), {r["Id"]: dict(r) for r in org.table(account).rows()}))
    for at, expected in moments:
        assert org.ledger.state_at(at, "Account") == expected
