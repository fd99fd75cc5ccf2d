"""`/query` over HTTP: pages, locators, children, and values to the letter."""

import json
from datetime import timedelta

import polars as pl
import pytest

from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.soql import selection
from holdfast.orgsim.soql.evaluate import run
from holdfast.orgsim.soql.parse import parse
from holdfast.orgsim.soql.result import StoredRows

V = "/services/data/v62.0"


def fill(org, name: str, count: int, **columns: list[str | None]) -> list[str]:
    """Rows of an object as a load makes them; their ids."""
    obj = org.schema.find(name)
    ids = list(org.new_ids(obj, count))
    made = pl.DataFrame({"Id": ids, "IsDeleted": ["false"] * count, **columns})
    org.table(obj).load(made)
    return ids


async def pages(api, soql: str, path: str = "query", **headers: str) -> list[dict]:
    answer = (await api.http.get(f"{V}/{path}", params={"q": soql}, headers=headers)).json()
    found = [answer]
    while not found[-1]["done"]:
        found.append((await api.http.get(found[-1]["nextRecordsUrl"])).json())
    return found


async def test_every_row_comes_once_and_in_order_whatever_the_batch(api) -> None:
    ids = fill(api.org, "Account", 4_500, Name=[f"n{i}" for i in range(4_500)])
    for options, sizes in (("", [2_000, 2_000, 500]), ("batchSize=1500", [1_500, 1_500, 1_500]),
                           ("batchSize=10", [200] * 22 + [100]), ("batchSize=9999", [2_000, 2_000, 500])):  # fmt: skip
        found = await pages(api, "SELECT Id FROM Account", **{"Sforce-Query-Options": options})
        assert [len(p["records"]) for p in found] == sizes
        assert [r["Id"] for p in found for r in p["records"]] == ids
        assert {p["totalSize"] for p in found} == {4_500}
        assert "nextRecordsUrl" not in found[-1]
    assert found[0]["nextRecordsUrl"].startswith(f"{V}/query/0r8")


async def test_a_cursor_keeps_the_rows_of_its_moment(api, writer) -> None:
    ids = fill(api.org, "Account", 2_100, Name=["old"] * 2_100)
    first = (await api.query("SELECT Id, Name FROM Account")).json()
    writer.update(ids[-1], {"Name": "new"})
    rest = (await api.http.get(first["nextRecordsUrl"])).json()
    assert rest["records"][-1]["Name"] == "old"
    again = (await api.http.get(first["nextRecordsUrl"])).json()
    assert again == rest


async def test_the_eleventh_open_cursor_releases_the_oldest_and_two_days_end_the_rest(api) -> None:
    fill(api.org, "Account", 2_001)
    urls = [(await api.query("SELECT Id FROM Account")).json()["nextRecordsUrl"] for _ in range(11)]
    gone = await api.http.get(urls[0])
    assert (gone.status_code, gone.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")
    assert (await api.http.get(urls[1])).status_code == 200
    api.org.clock.advance(timedelta(days=2))
    await api.sign_in()
    assert (await api.http.get(urls[5])).json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


async def test_two_long_texts_make_batches_of_200(api) -> None:
    account = api.org.schema.objects["Account"]
    for name in ("A__c", "B__c"):
        account.add(make_field(name, "textarea"))
    fill(api.org, "Account", 201)
    assert [len(p["records"]) for p in await pages(api, "SELECT A__c, B__c FROM Account")] == [200, 1]
    assert [len(p["records"]) for p in await pages(api, "SELECT A__c FROM Account")] == [201]


async def test_child_rows_count_towards_the_batch(api) -> None:
    parents = fill(api.org, "Account", 300)
    fill(api.org, "Contact", 1_500, AccountId=[parents[i // 5] for i in range(1_500)])
    found = await pages(
        api, "SELECT Id, (SELECT Id FROM Contacts) FROM Account", **{"Sforce-Query-Options": "batchSize=200"}
    )
    assert [len(p["records"]) for p in found[:2]] == [33, 33]
    assert [r["Id"] for p in found for r in p["records"]] == parents
    assert all(r["Contacts"]["totalSize"] == 5 for p in found for r in p["records"])


async def test_more_children_than_a_batch_come_through_a_locator_of_their_own(api) -> None:
    parents = fill(api.org, "Account", 2)
    children = fill(api.org, "Contact", 450, AccountId=[parents[1]] * 450, LastName=[f"{i}" for i in range(450)])
    options = {"Sforce-Query-Options": "batchSize=200"}
    found = await pages(api, "SELECT Id, (SELECT Id, LastName FROM Contacts) FROM Account", **options)
    records = [r for p in found for r in p["records"]]
    assert records[0]["Contacts"] is None
    inner = records[1]["Contacts"]
    assert (inner["totalSize"], inner["done"], len(inner["records"])) == (450, False, 200)
    rows = inner["records"]
    while not inner["done"]:
        inner = (await api.http.get(inner["nextRecordsUrl"])).json()
        rows += inner["records"]
    assert [r["Id"] for r in rows] == children
    assert rows[-1]["attributes"] == {"type": "Contact", "url": f"{V}/sobjects/Contact/{children[-1]}"}


async def test_child_queries_filter_sort_limit_and_nest(api, writer) -> None:
    schema = api.org.schema
    account = writer.insert(schema.objects["Account"], {"Name": "a"})
    people = [writer.insert(schema.objects["Contact"], {"LastName": n, "AccountId": account}) for n in "dbca"]
    writer.insert(schema.objects["Case"], {"ContactId": people[1], "Subject": "s"})
    soql = (
        "SELECT Name, (SELECT LastName, Account.Name, (SELECT Subject FROM Cases) FROM Contacts "
        "WHERE LastName > 'a' ORDER BY LastName LIMIT 2) FROM Account"
    )
    (record,) = (await api.query(soql)).json()["records"]
    b, c = record["Contacts"]["records"]
    assert list(record) == ["attributes", "Name", "Contacts"]
    assert (b["LastName"], c["LastName"], b["Account"]["Name"], c["Cases"]) == ("b", "c", "a", None)
    assert b["Cases"]["records"][0]["Subject"] == "s"


async def test_values_to_the_letter(api) -> None:
    obj = api.org.schema.define("Value__c")
    kinds = {"N__c": "double", "Big__c": "double", "I__c": "int", "D__c": "date", "T__c": "time", "F__c": "boolean",
             "At__c": "datetime", "M__c": "multipicklist", "S__c": "string", "B__c": "base64"}  # fmt: skip
    for name, kind in kinds.items():
        obj.add(make_field(name, kind))
    text = 'quote " backslash \\ tab\t line\n \u2028 é 漢 \x01 <end>'
    row = {"N__c": "811.0", "Big__c": "123456789012345678.5", "I__c": "12", "D__c": "2024-01-31",
           "T__c": "12:34:56.000Z", "F__c": "true", "At__c": "2022-03-17T16:21:26.000Z",
           "M__c": "a;b", "S__c": text}  # fmt: skip
    (one, two) = fill(api.org, "Value__c", 2, **{k: [v, None] for k, v in row.items()})
    answer = await api.query(f"SELECT {', '.join(kinds)} FROM Value__c")
    first, empty = answer.json()["records"]
    assert first["S__c"] == text
    assert (first["At__c"], first["T__c"], first["D__c"]) == (
        "2022-03-17T16:21:26.000+0000",
        "12:34:56.000Z",
        "2024-01-31",
    )
    assert (first["F__c"], first["M__c"], first["B__c"]) == (True, "a;b", f"{V}/sobjects/Value__c/{one}/B__c")
    for raw in ('"N__c":811.0,', '"Big__c":123456789012345678.5,', '"I__c":12,'):
        assert raw in answer.text
    assert empty == {"attributes": {"type": "Value__c", "url": f"{V}/sobjects/Value__c/{two}"}, **dict.fromkeys(kinds),
                     "F__c": False, "B__c": f"{V}/sobjects/Value__c/{two}/B__c"}  # fmt: skip


async def test_parents_stand_where_they_are_first_named(api, writer) -> None:
    account = writer.insert(api.org.schema.objects["Account"], {"Name": "a"})
    writer.insert(api.org.schema.objects["Contact"], {"LastName": "x", "AccountId": account})
    soql = "SELECT Id, Account.Owner.Username, LastName, account.name, ReportsTo.Name, Owner.Id FROM Contact"
    answer = await api.query(soql)
    assert answer.status_code == 200, answer.text
    (record,) = answer.json()["records"]
    assert list(record) == ["attributes", "Id", "Account", "LastName", "ReportsTo", "Owner"]
    assert list(record["Account"]) == ["attributes", "Owner", "Name"]
    assert record["Account"]["Owner"]["attributes"]["type"] == "User"
    assert (record["ReportsTo"], record["Account"]["Name"]) == (None, "a")


async def test_typeof_answers_by_the_type_of_the_parent(api, writer) -> None:
    schema = api.org.schema
    account = writer.insert(schema.objects["Account"], {"Name": "a", "Phone": "1"})
    case = writer.insert(schema.objects["Case"], {"Subject": "c"})
    event = {"DurationInMinutes": 5, "ActivityDateTime": "2024-01-01T00:00:00Z"}
    for what in (account, case, None):
        writer.insert(schema.objects["Event"], {"Subject": "e", "WhatId": what, **event})
    soql = "SELECT Id, TYPEOF What WHEN Account THEN Name, Phone ELSE Id END FROM Event ORDER BY WhatId NULLS LAST"
    rows = (await api.query(soql)).json()["records"]
    assert rows[0]["What"] == {
        "attributes": {"type": "Account", "url": f"{V}/sobjects/Account/{account}"},
        "Name": "a",
        "Phone": "1",
    }
    assert rows[1]["What"]["Id"] == case
    assert rows[2]["What"] is None


async def test_custom_metadata_has_no_cursors(api) -> None:
    api.org.schema.define("Setting__mdt")
    fill(api.org, "Setting__mdt", 2_500)
    (page,) = await pages(api, "SELECT Id FROM Setting__mdt")
    assert len(page["records"]) == 2_500


async def test_a_result_too_large_to_hold_is_read_page_by_page(api, writer, monkeypatch: pytest.MonkeyPatch) -> None:
    parents = fill(api.org, "Account", 3, Name=["x", "y", "z"])
    count = 50_000
    ids = fill(
        api.org,
        "Contact",
        count,
        LastName=[f"{i % 997:03d}" for i in range(count)],
        AccountId=[parents[i % 3] for i in range(count)],
    )
    wanted = {}
    for soql in (
        "SELECT Id, LastName, Account.Name FROM Contact WHERE LastName > '100'",
        "SELECT Id, Account.Name FROM Contact WHERE Account.Name != 'y' ORDER BY LastName DESC, Id DESC OFFSET 7",
    ):
        wanted[soql] = run(api.org, parse(soql), api.org.admin).frame
    monkeypatch.setattr(selection, "HELD_CELLS", 1_000)
    monkeypatch.setattr("holdfast.orgsim.soql.evaluate.HELD_CELLS", 1_000)
    for soql, frame in wanted.items():
        result = run(api.org, parse(soql), api.org.admin)
        writer.update(ids[5], {"LastName": "changed"})
        assert isinstance(result.rows, StoredRows)
        assert result.total == frame.height
        for start in (0, 19_990, 39_999, frame.height - 5):
            assert result.slice(start, 50).select(frame.columns).equals(frame.slice(start, 50))
        writer.update(ids[5], {"LastName": "005"})


async def test_aggregate_pages_and_counts(api) -> None:
    fill(api.org, "Account", 5, Name=["a", "a", "b", "b", "b"], AnnualRevenue=["1.0", "2.5", None, "4.0", "0.1"])
    assert (await api.query("SELECT COUNT() FROM Account")).text == '{"totalSize":5,"done":true,"records":[]}'
    soql = (
        "SELECT Name, COUNT(Id), SUM(AnnualRevenue) total, AVG(AnnualRevenue) FROM Account GROUP BY Name ORDER BY Name"
    )
    answer = await api.query(soql)
    assert answer.json()["records"] == [
        {"attributes": {"type": "AggregateResult"}, "Name": "a", "expr0": 2, "total": 3.5, "expr1": 1.75},
        {"attributes": {"type": "AggregateResult"}, "Name": "b", "expr0": 3, "total": 4.1, "expr1": 2.05},
    ]


async def test_more_groups_than_a_batch_are_refused(api) -> None:
    fill(api.org, "Account", 2_001, Name=[f"n{i}" for i in range(2_001)])
    answer = await api.query("SELECT Name, COUNT(Id) FROM Account GROUP BY Name")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")
    assert answer.json()[0]["message"].startswith("Aggregate query does not support queryMore(), use LIMIT")
    answer = await api.query("SELECT Name, COUNT(Id) FROM Account GROUP BY Name LIMIT 2000")
    assert (len(answer.json()["records"]), answer.json()["done"]) == (2_000, True)


async def test_explain_names_the_index_it_would_lead_with(api) -> None:
    ids = fill(api.org, "Account", 100)
    answer = await api.http.get(f"{V}/query", params={"explain": f"SELECT Name FROM Account WHERE Id = '{ids[0]}'"})
    best = answer.json()["plans"][0]
    assert (best["leadingOperationType"], best["fields"], best["cardinality"], best["sobjectCardinality"]) == (
        "Index", ["Id"], 1, 100)  # fmt: skip


async def test_search_by_sosl_and_by_parameters(api, writer) -> None:
    account, contact = api.org.schema.objects["Account"], api.org.schema.objects["Contact"]
    acme = writer.insert(account, {"Name": "Acme (North)", "Industry": "Energy"})
    writer.insert(account, {"Name": "Acmes"})
    ann = writer.insert(contact, {"LastName": "Acme", "Email": "ann@acme.example"})

    async def search(text: str) -> list[tuple[str, str]]:
        records = (await api.http.get(f"{V}/search/", params={"q": text})).json()["searchRecords"]
        return [(r["attributes"]["type"], r["Id"]) for r in records]

    assert await search("FIND {Acme}") == [("Account", acme), ("Contact", ann)]
    assert len(await search("FIND {acme*} RETURNING Account(Id, Name), Contact")) == 3
    assert await search("FIND {acme} IN EMAIL FIELDS RETURNING Account(Id), Contact(Id)") == [("Contact", ann)]
    assert await search("FIND {acme AND NOT north} RETURNING Account(Id), Contact(Id)") == [("Contact", ann)]
    assert await search("FIND {acme*} RETURNING Account(Id WHERE Industry = 'Energy' LIMIT 1) LIMIT 5") == [
        ("Account", acme)
    ]
    body = {"q": "acme", "fields": ["Id", "Name"], "sobjects": [{"name": "Account", "where": "Industry != null"}]}
    (found,) = (await api.http.post(f"{V}/parameterizedSearch", json=body)).json()["searchRecords"]
    assert (found["Id"], found["Name"]) == (acme, "Acme (North)")
    refused = await api.http.get(f"{V}/search", params={"q": "LOOK {x}"})
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "MALFORMED_SEARCH")
    old = await api.http.get("/services/data/v36.0/search", params={"q": "FIND {Acme} RETURNING Contact(Id)"})
    assert [r["Id"] for r in json.loads(old.text)] == [ann]


async def test_tooling_queries_answer_in_their_own_shape(api) -> None:
    fill(api.org, "Account", 2_001)

    async def ask(soql: str) -> dict:
        answer = await api.query(soql, "tooling/query")
        assert answer.status_code == 200, answer.text
        return answer.json()

    first = await ask("SELECT Id FROM Account")
    assert {k: v for k, v in first.items() if k not in ("records", "nextRecordsUrl")} == {
        "totalSize": 2_001, "done": False, "size": 2_001, "queryLocator": None,
        "entityTypeName": "Account"}  # fmt: skip
    assert first["records"][0]["attributes"]["url"].startswith(f"{V}/tooling/sobjects/Account/001")
    assert first["nextRecordsUrl"].startswith(f"{V}/tooling/query/0r8")
    assert len((await api.http.get(first["nextRecordsUrl"])).json()["records"]) == 1
    for soql in (
        "SELECT SubscriberPackage.Id, SubscriberPackage.Name, SubscriberPackage.NamespacePrefix, "
        "SubscriberPackageVersionId FROM InstalledSubscriberPackage",
        "SELECT Id, DeveloperName FROM CustomField WHERE TableEnumOrId = 'Account'",
        "SELECT Id, ValidationName FROM ValidationRule WHERE EntityDefinition.DeveloperName = 'Account'",
        "SELECT Id, Name FROM ApexClass WHERE NamespacePrefix = null ORDER BY Name",
    ):
        assert (await ask(soql))["records"] == []
    missing = await api.query("SELECT Id FROM SourceMember", "tooling/query")
    assert missing.json()[0]["errorCode"] == "INVALID_TYPE"
    assert api.org.schema.find("CustomField") is None
