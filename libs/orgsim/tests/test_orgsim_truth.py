"""Ledger, tables and answers tell the same: nothing is lost, doubled or altered on the odd paths of a save."""

import asyncio
from datetime import timedelta

import polars as pl
import pytest

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.ledger.blocks import Block
from holdfast.orgsim.ledger.entries import Loaded
from holdfast.orgsim.ledger.replay import snapshot
from holdfast.orgsim.saving.recyclebin import purge
from holdfast.orgsim.saving.resetting import Baseline
from holdfast.orgsim.saving.transaction import all_or_none
from holdfast.orgsim.schema.columns import canonical_column
from holdfast.orgsim.schema.document import parse_document
from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.schema.values import canonical
from holdfast.orgsim.setup.switches import apply_document
from holdfast.orgsim.setup.views import SHOWN
from holdfast.orgsim.soql import evaluate, selection

DATA = "/services/data/v62.0"
SUM = {"object": "Gift__c", "field": "Fund__c", "function": "SUM", "of": "Value__c"}
DOCUMENT = {
    "objects": [
        {
            "name": "Fund__c",
            "history": True,
            "shares": True,
            "fields": [{"name": "Rate__c", "type": "double", "precision": 18, "scale": 2, "tracked": True}],
        },
        {
            "name": "Gift__c",
            "fields": [
                {"name": "Fund__c", "type": "reference", "referenceTo": ["Fund__c"], "masterDetail": 0},
                {"name": "Other__c", "type": "reference", "referenceTo": ["Fund__c"], "relationshipName": "Other__r"},
                {"name": "Value__c", "type": "double", "precision": 18, "scale": 2},
                {"name": "Worth__c", "type": "double", "precision": 18, "scale": 2,
                 "formula": "Value__c + Other__r.Rate__c"},
            ],
        },
        {"name": "Fund__c", "fields": [
            {"name": "Total__c", "type": "double", "precision": 18, "scale": 2, "rollUp": SUM}]},
    ]
}  # fmt: skip


@pytest.fixture
def funds(org):
    apply_document(org, parse_document(DOCUMENT))
    return org.schema.objects["Fund__c"]


@pytest.fixture
def gifts(org, funds):
    return org.schema.objects["Gift__c"]


def later(org, seconds: int = 60):
    return org.transactions.delayed(timedelta(seconds=seconds))


def wait(org, seconds: int = 120) -> None:
    org.clock.advance(timedelta(seconds=seconds))
    org.schedule.run_due(org.clock.now())


def check_truth(org) -> None:
    """Each entry's before is what the entry before it left, and the last of them are the rows of the tables."""
    known: dict[str, dict[str, dict[str, str]]] = {}
    for entry in org.ledger.since(0):
        rows = known.setdefault(entry.object, {})
        if isinstance(entry, Loaded):
            rows.update({row["Id"]: _set(row) for row in entry.rows.iter_rows(named=True)})
            continue
        assert (None if entry.before is None else _set(entry.before)) == rows.get(entry.id), entry
        if entry.after is None:
            del rows[entry.id]
        else:
            rows[entry.id] = _set(entry.after)
    rebuilt = snapshot(org.ledger.folder)
    for name in set(org.tables) - set(SHOWN):
        stored = {row["Id"]: _set(row) for row in org.tables[name].rows()}
        assert stored == known.get(name, {}), name
        assert stored == {row["Id"]: _set(row) for row in rebuilt[name].rows(named=True)} if stored else True


def _set(row) -> dict[str, str]:
    return {name: value for name, value in row.items() if value is not None}


def codes(outcomes) -> list[str | None]:
    return [None if error is None else error.code for _, _, error in outcomes]


def test_a_record_named_twice_is_undeleted_once(org, writer, gifts, funds) -> None:
    fund = writer.insert(funds, {"Name": "f"})
    gift = writer.insert(gifts, {"Fund__c": fund, "Value__c": 3})
    writer.delete(fund)
    assert codes(writer.undelete_many(pl.Series([fund, fund[:15]]))) == [None, "UNDELETE_FAILED"]
    assert sum(e.operation == "undelete" and e.id in (fund, gift) for e in org.ledger.since(0)) == 2
    check_truth(org)


def test_a_record_cannot_be_merged_twice_and_no_winner_is_its_own_parent(org, writer) -> None:
    accounts = org.schema.objects["Account"]
    loser = writer.insert(accounts, {"Name": "loser"})
    winner = writer.insert(accounts, {"Name": "winner", "ParentId": loser})
    with pytest.raises(ApiError):
        writer.merge(accounts, winner, [loser, loser], {})
    assert writer.merge(accounts, winner, [loser], {}) == [winner]
    assert org.table(accounts).get(winner)["ParentId"] is None
    assert sum(e.operation == "merge" for e in org.ledger.since(0)) == 1
    check_truth(org)


def test_upsert_keys_that_are_numbers_are_kept_and_found_as_numbers(org, writer) -> None:
    accounts = org.schema.objects["Account"]
    accounts.add(make_field("Number__c", "double", externalId=True, precision=18, scale=2))
    given = writer.given(accounts, [{"Name": "a"}, {"Name": "b"}])
    assert codes(writer.upsert_many(accounts, "Number__c", pl.Series(["07", "x"]), given)) == [
        None, "INVALID_TYPE_ON_FIELD_IN_RECORD"]  # fmt: skip
    assert writer.upsert(accounts, "Number__c", "7.00", {"Name": "c"})[1] is False
    assert org.table(accounts).frame().select("Name", "Number__c").rows() == [("c", "7.0")]
    with pytest.raises(ApiError, match="not of required type"):
        writer.upsert(accounts, "Number__c", "seven", {"Name": "d"})


async def test_a_bulk_row_with_two_wrong_values_fails_once(org, api) -> None:
    jobs = DATA + "/jobs/ingest"
    job = (await api.http.post(jobs, json={"operation": "insert", "object": "Account"})).json()["id"]
    rows = "Name,NumberOfEmployees,AnnualRevenue\nbad,x,y\ngood,1,2\n"
    await api.http.put(f"{jobs}/{job}/batches", content=rows)
    assert (await api.http.patch(f"{jobs}/{job}", json={"state": "UploadComplete"})).status_code == 200
    info = (await api.http.get(f"{jobs}/{job}")).json()
    assert (info["state"], info["numberRecordsProcessed"], info["numberRecordsFailed"]) == ("JobComplete", 2, 1)
    failed = (await api.http.get(f"{jobs}/{job}/failedResults")).text.splitlines()
    assert [line.split(",")[2] for line in failed[1:]] == ['"bad"']
    saved = (await api.http.get(f"{jobs}/{job}/successfulResults")).text.splitlines()
    assert [line.split(",")[2] for line in saved[1:]] == ['"good"']


async def test_history_goes_for_good_with_its_record_and_is_told(org, api, writer, funds) -> None:
    fund = writer.insert(funds, {"Name": "f", "Rate__c": 1})
    span = {"start": org.clock.now().isoformat(), "end": (org.clock.now() + timedelta(minutes=5)).isoformat()}
    (history,) = org.table(org.schema.objects["Fund__History"]).frame()["Id"]
    wait(org)
    updated = await api.http.get(f"{DATA}/sobjects/Fund__History/updated", params=span)
    assert updated.json()["ids"] == [history]

    writer.delete(fund)
    wait(org)
    told = (await api.http.get(f"{DATA}/sobjects/Fund__History/deleted", params=span)).json()["deletedRecords"]
    purge(writer, fund, "emptied")
    assert org.table(org.schema.objects["Fund__History"]).get(history) is None
    assert [row["id"] for row in told] == [history]
    assert (await api.http.get(f"{DATA}/sobjects/Fund__History/deleted", params=span)).json()["deletedRecords"] == told
    check_truth(org)


def test_late_commits_come_in_any_order(org, writer, funds) -> None:
    with later(org, 60):
        writer.insert(funds, {"Name": "slow"})
    with later(org, 10):
        writer.insert(funds, {"Name": "fast"})
    wait(org, 30)
    assert org.table(funds).frame()["Name"].to_list() == ["fast"]
    wait(org)
    assert org.table(funds).frame()["Name"].to_list() == ["slow", "fast"]
    check_truth(org)


def test_roll_ups_wait_for_a_record_that_commits_late(org, writer, gifts, funds) -> None:
    first, second = (writer.insert(funds, {"Name": name}) for name in ("first", "second"))
    with later(org):
        writer.update(first, {"Name": "renamed"})
    given = writer.given(gifts, [{"Fund__c": first, "Value__c": 1}, {"Fund__c": second, "Value__c": 2}])
    assert codes(writer.insert_many(gifts, given)) == ["UNABLE_TO_LOCK_ROW", None]
    wait(org)
    assert org.table(funds).frame().select("Name", "Total__c").rows() == [("renamed", "0.0"), ("second", "2.0")]
    writer.insert(gifts, {"Fund__c": first, "Value__c": 1})
    assert org.table(funds).get(first)["Total__c"] == "1.0"
    check_truth(org)


def test_a_late_commit_gives_no_deleted_parent_back(org, writer, gifts, funds) -> None:
    fund, looked_up, free = (writer.insert(funds, {"Name": name}) for name in "abc")
    gift = writer.insert(gifts, {"Fund__c": fund, "Value__c": 3, "Other__c": looked_up})
    with later(org):
        writer.update(gift, {"Value__c": 4})
    deleted = writer.delete_many(pl.Series([looked_up, fund, free]))
    assert codes(deleted) == ["UNABLE_TO_LOCK_ROW", "UNABLE_TO_LOCK_ROW", None]
    wait(org)
    assert org.table(gifts).get(gift)["Other__c"] == looked_up
    check_truth(org)


def test_formulas_are_right_after_a_late_commit(org, writer, gifts, funds) -> None:
    fund, other = (writer.insert(funds, {"Name": name, "Rate__c": 1}) for name in "ab")
    gift = writer.insert(gifts, {"Fund__c": fund, "Value__c": 4, "Other__c": other})
    with later(org):
        writer.update(gift, {"Value__c": 5})
    writer.update(other, {"Rate__c": 100})
    wait(org)
    assert org.table(gifts).get(gift)["Worth__c"] == "105.0"
    check_truth(org)


def test_a_unique_value_is_taken_from_its_save_on(org, writer, funds) -> None:
    funds.add(make_field("Code__c", "string", unique=True))
    with later(org):
        writer.insert(funds, {"Name": "a", "Code__c": "x"})
    with pytest.raises(ApiError, match="duplicate value found"):
        writer.insert(funds, {"Name": "b", "Code__c": "X"})


def test_a_reset_ends_what_has_not_been_committed(org, writer, gifts, funds) -> None:
    fund = writer.insert(funds, {"Name": "a"})
    loaded = Baseline.of(org)
    writer.update(fund, {"Name": "b"})
    org.transactions.delay = timedelta(seconds=60)
    writer.insert(gifts, {"Fund__c": fund, "Value__c": 1})
    loaded.restore(org)
    assert org.table(funds).get(fund)["Name"] == "a"
    wait(org)
    assert len(org.table(gifts)) == 0
    assert org.table(funds).get(fund)["Total__c"] == "0.0"
    check_truth(org)


def test_what_the_ledger_cannot_take_is_not_in_the_tables(org, writer, funds, monkeypatch) -> None:
    fund = writer.insert(funds, {"Name": "a"})
    sequence = org.ledger.sequence

    def broken(*_: object) -> None:
        raise ValueError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(Block, "entries", broken)
        with pytest.raises(ValueError, match="broken"):
            writer.update(fund, {"Name": "b"})
    assert org.table(funds).get(fund)["Name"] == "a"
    assert org.ledger.sequence == sequence
    check_truth(org)


def test_rows_that_a_delete_has_changed_go_as_they_are_by_then(org, writer) -> None:
    contacts = org.schema.objects["Contact"]
    boss = writer.insert(contacts, {"LastName": "boss"})
    report = writer.insert(contacts, {"LastName": "report", "ReportsToId": boss})
    with later(org):
        writer.insert(contacts, {"LastName": "late"})
    assert codes(writer.delete_many(pl.Series([boss, report]))) == [None, None]
    assert org.table(contacts).get(report)["ReportsToId"] is None
    check_truth(org)


async def test_fractions_in_xml_of_a_bulk_1_query(org, api, writer) -> None:
    accounts = org.schema.objects["Account"]
    accounts.add(make_field("Share__c", "double", precision=18, scale=8))
    shares = ["1234567890.12345678", "0.00000001", "5.0"]
    for share in shares:
        writer.insert(accounts, {"Name": "a", "Share__c": share})
    root, head = "/services/async/62.0/job", {"X-SFDC-Session": api.http.headers["Authorization"].split()[1]}
    job = {"operation": "query", "object": "Account", "contentType": "XML"}
    job_id = (await api.http.post(root, json=job, headers=head)).json()["id"]
    query = "SELECT Share__c FROM Account ORDER BY Id"
    kind = {**head, "Content-Type": "application/xml"}
    batch = (await api.http.post(f"{root}/{job_id}/batch", content=query, headers=kind)).text
    batch_id = batch.partition("<id>")[2].partition("</id>")[0]
    results = f"{root}/{job_id}/batch/{batch_id}/result"
    result_id = (await api.http.get(results, headers=head)).text.partition("<result>")[2].partition("</result>")[0]
    page = (await api.http.get(f"{results}/{result_id}", headers=head)).text
    assert [part.partition("</Share__c>")[0] for part in page.split("<Share__c>")[1:]] == shares


def test_undelete_leaves_no_lookup_to_a_deleted_record(org, writer, gifts, funds) -> None:
    master, other = (writer.insert(funds, {"Name": name}) for name in "ab")
    gift, orphan = (writer.insert(gifts, {"Fund__c": master, "Value__c": n, "Other__c": other}) for n in (1, 2))
    for record_id in (gift, orphan, other):
        writer.delete(record_id)
    writer.undelete(gift)
    assert org.table(gifts).get(gift)["Other__c"] is None
    assert org.table(funds).get(master)["Total__c"] == "1.0"

    writer.hard_delete(master)
    with pytest.raises(ApiError, match="master is deleted"):
        writer.undelete(orphan)
    check_truth(org)


def test_records_that_leave_the_bin_together_keep_their_lookups(org, writer, gifts, funds) -> None:
    master, other = (writer.insert(funds, {"Name": name}) for name in "ab")
    gift = writer.insert(gifts, {"Fund__c": master, "Value__c": 1, "Other__c": other})
    for record_id in (gift, master, other):
        writer.delete(record_id)
    assert codes(writer.undelete_many(pl.Series([gift, other, master]))) == [None] * 3
    row = org.table(gifts).get(gift)
    assert (row["Fund__c"], row["Other__c"], org.table(funds).get(master)["Total__c"]) == (master, other, "1.0")
    check_truth(org)


@pytest.mark.parametrize("held_cells", [6_000_000, 0])
async def test_later_saves_do_not_reach_the_children_and_variants_of_an_open_cursor(
    org, api, writer, monkeypatch, held_cells
) -> None:
    monkeypatch.setattr(selection, "HELD_CELLS", held_cells)
    monkeypatch.setattr(evaluate, "HELD_CELLS", held_cells)
    monkeypatch.setattr(selection, "FEW_PARENTS", 0)
    accounts, contacts = org.schema.objects["Account"], org.schema.objects["Contact"]
    calls = org.schema.define("Call__c")
    calls.add(make_field("What__c", "reference", referenceTo=["Account", "Contact"], relationshipName="What__r",
                         polymorphicForeignKey=True))  # fmt: skip
    ids = insert(writer, accounts, [{"Name": "then"}] * 250)
    children = insert(writer, contacts, [{"LastName": "then", "AccountId": i} for i in ids])
    insert(writer, calls, [{"Name": "c", "What__c": i} for i in ids])
    api.http.headers["Sforce-Query-Options"] = "batchSize=200"
    family = (await api.query("SELECT Id, (SELECT LastName FROM Contacts) FROM Account")).json()
    typed = (await api.query("SELECT Id, TYPEOF What__r WHEN Account THEN Name END FROM Call__c")).json()

    writer.update_many(accounts, pl.Series(ids), writer.given(accounts, [{"Name": "now"}] * 250))
    writer.update_many(contacts, pl.Series(children), writer.given(contacts, [{"LastName": "now"}] * 250))
    insert(writer, contacts, [{"LastName": "new", "AccountId": i} for i in ids])
    writer.hard_delete_many(pl.Series(ids[240:]))

    names = [row["Contacts"]["records"][0]["LastName"] for row in await whole(api, family)]
    assert names == ["then"] * 250
    assert all(row["Contacts"]["totalSize"] == 1 for row in await whole(api, family))
    assert [row["What__r"]["Name"] for row in await whole(api, typed)] == ["then"] * 250


def insert(writer, obj, records) -> list[str]:
    outcomes = writer.insert_many(obj, writer.given(obj, records))
    assert not outcomes.failed
    return [record_id for record_id, _, _ in outcomes]


async def whole(api, page) -> list[dict]:
    rows = list(page["records"])
    while not page["done"]:
        page = (await api.http.get(page["nextRecordsUrl"])).json()
        rows += page["records"]
    return rows


@pytest.mark.parametrize("padding", [0, 20])  # few values are read one by one, many as a column
def test_what_is_no_value_of_a_type_is_not_stored(org, padding) -> None:
    fields = {kind: make_field("F__c", kind) for kind in ("datetime", "date", "double", "int")}
    good = {"datetime": "0001-02-28T23:59:59.999Z", "date": "0001-02-28", "double": "-0.5", "int": "7"}
    bad = {
        "datetime": ["2023-02-29T00:00:00.000Z", "2024-13-01T00:00:00.000Z", "2024-01-01T00:00:60.000Z",
                     "0000-01-01T00:00:00.000Z"],
        "date": ["2023-02-29", "2024-W01-1", "20240101", "0000-01-01"],
        "double": ["1_0", "１２", "NaN", "1,5"],
        "int": ["1_0", "１２", "1.5"],
    }  # fmt: skip
    for kind, texts in bad.items():
        values = [good[kind], *texts, *[good[kind]] * padding]
        stored, wrong = canonical_column(fields[kind], pl.Series(values))
        assert sorted(wrong or {}) == list(range(1, len(texts) + 1)), kind
        assert stored.drop_nulls().to_list() == [good[kind]] * (padding + 1)
        for text in texts:
            with pytest.raises(ApiError, match="not of required type"):
                canonical(fields[kind], text)


async def test_a_transaction_that_is_undone_takes_no_other_save_back(org, writer, funds) -> None:
    fund, other = (writer.insert(funds, {"Name": name, "Rate__c": 1}) for name in "ab")
    opened, begun, changed, ended = (asyncio.Event() for _ in range(4))

    async def undone() -> None:
        with pytest.raises(ValueError, match="undone"), all_or_none(org):
            opened.set()
            await begun.wait()
            writer.update(fund, {"Name": "c"})
            changed.set()
            await ended.wait()
            raise ValueError("undone")

    async def meanwhile() -> None:
        await opened.wait()
        writer.update(fund, {"Rate__c": 1})
        begun.set()
        await changed.wait()
        given = writer.given(funds, [{"Rate__c": 2}, {"Rate__c": 2}])
        assert codes(writer.update_many(funds, pl.Series([fund, other]), given)) == ["UNABLE_TO_LOCK_ROW", None]
        ended.set()

    await asyncio.wait_for(asyncio.gather(undone(), meanwhile()), 10)
    writer.update(fund, {"Rate__c": 3})
    assert org.table(funds).frame().select("Name", "Rate__c").rows() == [("a", "3.0"), ("b", "2.0")]
    check_truth(org)
