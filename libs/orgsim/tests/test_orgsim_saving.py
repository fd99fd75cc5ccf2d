"""Batches: every row has its own outcome, a chunk holds an id or key once, and transactions nest."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.rules import platform
from holdfast.orgsim.rules.batch import Batch
from holdfast.orgsim.saving.transaction import all_or_none
from holdfast.orgsim.schema.fields import make_field


@pytest.fixture
def account(org):
    obj = org.schema.objects["Account"]
    obj.add(make_field("Key__c", "string", externalId=True))
    obj.add(make_field("Code__c", "string", unique=True))
    return obj


def codes(outcomes) -> list[str | None]:
    return [None if error is None else error.code for _, _, error in outcomes]


def insert(writer, obj, *records) -> list[str]:
    outcomes = writer.insert_many(obj, writer.given(obj, records))
    assert codes(outcomes) == [None] * len(records)
    return [record_id for record_id, _, _ in outcomes]


def test_each_row_of_a_batch_has_its_own_outcome(org, writer, account) -> None:
    records = [{"Name": "a"}, {"Fax": "1"}, {"Name": "b", "ParentId": "001Hs0000099999AAA"}, {"Nope": 1},
               {"Name": "c"},
               {"Name": "d", "SystemModstamp": "2020-01-01T00:00:00Z"},
               {"Name": "n" * 300, "ParentId": "zz"}]  # fmt: skip
    outcomes = writer.insert_many(account, writer.given(account, records))
    assert codes(outcomes) == [None, "REQUIRED_FIELD_MISSING", "INVALID_CROSS_REFERENCE_KEY", "INVALID_FIELD", None,
                               "INVALID_FIELD_FOR_INSERT_UPDATE", "MALFORMED_ID"]  # fmt: skip
    assert outcomes.failed == 5
    assert org.table(account).frame()["Name"].to_list() == ["a", "c"]
    assert [created for _, created, _ in outcomes] == [True, False, False, False, True, False, False]


def test_rows_that_set_different_fields_keep_their_own_values(org, writer, account) -> None:
    a, b = insert(writer, account, {"Name": "a", "Fax": "1"}, {"Name": "b", "Fax": "2"})
    given = writer.given(account, [{"Fax": None}, {"Name": "B"}])
    assert codes(writer.update_many(account, pl.Series([a, b]), given)) == [None, None]
    rows = org.table(account).frame().select("Name", "Fax").rows()
    assert rows == [("a", None), ("B", "2")]


def test_a_record_can_be_changed_twelve_times_in_a_chunk_in_the_order_of_the_rows(org, writer, account) -> None:
    first, second = insert(writer, account, {"Name": "a"}, {"Name": "b"})
    ids = pl.Series([first, second, *[first] * 12, first[:15]])
    outcomes = list(writer.update_many(account, ids, writer.given(account, [{"Fax": str(n)} for n in range(15)])))
    assert codes(outcomes) == [None] * 13 + ["DUPLICATE_VALUE"] * 2
    assert "(12 allowed)" in outcomes[13][2].message
    assert org.table(account).get(first)["Fax"] == "12"
    ids = pl.Series([first, *[second] * 199, first])
    given = writer.given(account, [{"Fax": str(n)} for n in range(201)])
    assert codes(writer.update_many(account, ids, given))[-1] is None, "the next chunk begins to count anew"
    assert org.table(account).get(first)["Fax"] == "200"


def test_upsert_inserts_updates_and_refuses_in_one_batch(org, writer, account) -> None:
    known, _, _ = insert(writer, account, {"Name": "k", "Key__c": "k"}, {"Name": "t", "Key__c": "T"},
                         {"Name": "t", "Key__c": "t"})  # fmt: skip
    keys = pl.Series(["K", "new", "t", None, "twice", "TWICE"])
    given = writer.given(account, [{"Name": f"n{n}"} for n in range(6)])
    outcomes = list(writer.upsert_many(account, "key__c", keys, given))
    assert codes(outcomes) == [None, None, "DUPLICATE_EXTERNAL_ID", "MISSING_ARGUMENT", "DUPLICATE_VALUE",
                               "DUPLICATE_VALUE"]  # fmt: skip
    assert outcomes[0][:2] == (known, False)
    assert org.table(account).get(outcomes[1][0])["Key__c"] == "new"
    assert (outcomes[4][2].message, outcomes[4][2].fields) == ("Duplicate external id specified: twice", ["Key__c"])


def test_a_unique_value_is_given_out_once_in_a_batch(org, writer, account) -> None:
    (held,) = insert(writer, account, {"Name": "n", "Code__c": "a"})
    given = writer.given(account, [{"Name": "n", "Code__c": c} for c in ("A", "b", "B", "c", None, None)])
    outcomes = list(writer.insert_many(account, given))
    assert codes(outcomes) == ["DUPLICATE_VALUE", None, "DUPLICATE_VALUE", None, None, None]
    assert outcomes[0][2].message == f"duplicate value found: Code__c duplicates value on record with id: {held}"
    assert outcomes[1][0] in outcomes[2][2].message
    again = writer.given(account, [{"Code__c": "A"}, {"Code__c": "b"}])
    own, other = held, outcomes[3][0]
    assert codes(writer.update_many(account, pl.Series([own, other]), again)) == [None, "DUPLICATE_VALUE"]


def test_the_first_refusal_of_a_row_counts_and_rules_may_set_values(org, writer, account, monkeypatch) -> None:
    def strict(batch: Batch) -> None:
        batch.refuse(pl.col("Name") == "bad", "CUSTOM", pl.concat_str(pl.lit("no "), pl.col("Name")), ["Name"])
        batch.refuse(pl.col("Name").str.starts_with("b"), "LATER", "later")
        batch.set("Fax", pl.col("Name").str.to_uppercase(), where=batch.gave("Name"))

    monkeypatch.setattr(platform, "BEFORE_SAVE", platform.BEFORE_SAVE)
    platform.BEFORE_SAVE.append(strict)
    try:
        outcomes = list(writer.insert_many(account, writer.given(account, [{"Name": n} for n in ("bad", "b", "ok")])))
    finally:
        platform.BEFORE_SAVE.remove(strict)
    assert codes(outcomes) == ["CUSTOM", "LATER", None]
    assert outcomes[0][2].message == "no bad"
    assert org.table(account).get(outcomes[2][0])["Fax"] == "OK"


def test_a_refused_detail_keeps_its_whole_family(org, writer, account) -> None:
    contact = org.schema.objects["Contact"]
    keep, go = insert(writer, account, {"Name": "keep"}, {"Name": "go"})
    insert(writer, contact, {"LastName": "guard", "AccountId": keep}, {"LastName": "x", "AccountId": go},
           {"LastName": "y", "AccountId": keep})  # fmt: skip

    def guard(batch: Batch) -> None:
        if batch.obj is contact:
            batch.refuse(pl.col("LastName") == "guard", "DELETE_FAILED", "guarded")

    platform.BEFORE_DELETE.append(guard)
    try:
        outcomes = writer.delete_many(pl.Series([keep, go, "x", keep]))
    finally:
        platform.BEFORE_DELETE.remove(guard)
    assert codes(outcomes) == ["DELETE_FAILED", None, "MALFORMED_ID", "DELETE_FAILED"]
    assert org.table(contact).frame().select("LastName", "IsDeleted").rows() == [
        ("guard", "false"), ("x", "true"), ("y", "false")]  # fmt: skip
    assert list(org.recycle_bin) == [go]


def test_many_deletes_take_their_children_and_undelete_brings_them_back(org, writer, account) -> None:
    contact = org.schema.objects["Contact"]
    parents = insert(writer, account, *({"Name": str(n)} for n in range(3)))
    children = insert(writer, contact, *({"LastName": str(n), "AccountId": parents[n % 2]} for n in range(4)))
    assert codes(writer.delete_many(pl.Series(parents[:2]))) == [None, None]
    assert [org.recycle_bin[p].children for p in parents[:2]] == [children[0::2], children[1::2]]
    assert codes(writer.undelete_many(pl.Series([parents[0], children[1], parents[2]]))) == [
        None, "UNDELETE_FAILED", "UNDELETE_FAILED"]  # fmt: skip
    assert org.table(contact).frame()["IsDeleted"].to_list() == ["false", "true", "false", "true"]
    assert codes(writer.hard_delete_many(pl.Series([parents[0], parents[1]]))) == [None, "ENTITY_IS_DELETED"]
    assert org.table(contact).frame()["Id"].to_list() == children[1::2]


def test_all_or_none_nests(org, writer, account) -> None:
    since = org.ledger.sequence
    with all_or_none(org):
        outer = writer.insert(account, {"Name": "outer"})
        with pytest.raises(ApiError), all_or_none(org):
            writer.update(outer, {"Fax": "1"})
            writer.delete(outer)
            raise ApiError(400, "X", "x")
        assert org.ledger.sequence == since
        assert (org.table(account).get(outer)["Fax"], dict(org.recycle_bin)) == (None, {})
    assert [e.operation for e in org.ledger.since(since)] == ["insert"]


async def test_a_late_commit_appears_with_an_older_stamp(api) -> None:
    base = "/services/data/v62.0/sobjects/Account"
    org = api.org
    org.clock.set(datetime(2026, 1, 1, 12, tzinfo=UTC), frozen=True)
    kept = (await api.http.post(base, json={"Name": "kept"})).json()["id"]
    since = org.ledger.sequence
    assert (await api.http.post("/_org/late-commits", json={"delay_s": 601})).status_code == 400
    await api.http.post("/_org/late-commits", json={"delay_s": 300})
    org.clock.advance(timedelta(seconds=10))
    late = (await api.http.post(base, json={"Name": "late"})).json()["id"]
    assert (await api.http.delete(f"{base}/{kept}")).status_code == 204
    assert (await api.http.post("/_org/late-commits", json={"delay_s": 0})).json() == {"delay_s": 0.0, "pending": 2}
    assert (await api.http.get(f"{base}/{late}")).status_code == 404
    assert (org.table(org.schema.objects["Account"]).get(kept)["IsDeleted"], org.recycle_bin) == ("false", {})
    locked = await api.http.patch(f"{base}/{kept}", json={"Fax": "1"})
    assert (locked.status_code, locked.json()[0]["errorCode"]) == (400, "UNABLE_TO_LOCK_ROW")
    assert (await api.http.delete(f"{base}/{kept}")).json()[0]["errorCode"] == "UNABLE_TO_LOCK_ROW"
    org.clock.advance(timedelta(seconds=299))
    first = (await api.http.post(base, json={"Name": "first"})).json()["id"]
    assert [e.id for e in org.ledger.since(since)] == [first]
    org.clock.advance(timedelta(seconds=1))
    seen = (await api.query("SELECT Id, SystemModstamp FROM Account")).json()["records"]
    stamps = {r["Id"]: r["SystemModstamp"] for r in seen}
    assert stamps == {late: "2026-01-01T12:00:10.000+0000", first: "2026-01-01T12:05:09.000+0000"}
    assert [(e.id, e.operation, e.at.minute) for e in org.ledger.since(since)] == [
        (first, "insert", 5), (late, "insert", 5), (kept, "delete", 5)]  # fmt: skip
    assert list(org.recycle_bin) == [kept]
