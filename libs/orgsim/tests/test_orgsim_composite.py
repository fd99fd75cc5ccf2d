"""Many records and many requests in one: collections, tree, composite, batch, graph."""

from typing import Any

import pytest

from holdfast.orgsim.schema.fields import make_field

V = "/services/data/v62.0"


def account(**values) -> dict[str, Any]:
    return {"attributes": {"type": "Account"}, **values}


async def names(api, of: str = "Account") -> list[str]:
    found = (await api.query(f"SELECT Name FROM {of} ORDER BY Name")).json()["records"]
    return [row["Name"] for row in found]


def codes(answer) -> list[str | None]:
    return [None if row["success"] else row["errors"][0]["statusCode"] for row in answer.json()]


async def collect(api, method: str, records: list[dict[str, Any]], *, together: bool = False, path: str = ""):
    body = {"allOrNone": together, "records": records}
    return await api.http.request(method, f"{V}/composite/sobjects{path}", json=body)


async def test_collections_mix_types_and_tell_each_record_its_fate(api) -> None:
    mixed = [account(Name="a"), {"attributes": {"type": "Contact"}, "LastName": "c"}, account(),
             {"attributes": {"type": "Nope__c"}}, account(Id="001000000000000AAA", Name="x")]  # fmt: skip
    answer = await collect(api, "POST", mixed)
    assert answer.status_code == 200
    assert codes(answer) == [None, None, "REQUIRED_FIELD_MISSING", "INVALID_TYPE", "INVALID_FIELD_FOR_INSERT_UPDATE"]
    assert answer.json()[2] == {
        "success": False,
        "errors": [
            {
                "statusCode": "REQUIRED_FIELD_MISSING",
                "message": "Required fields are missing: [Name]",
                "fields": ["Name"],
            }
        ],
    }
    row = answer.json()[0]["id"]
    records = [account(id=row, Name="b"), account(Name="no id"), account(id="nope", Name="x"),
               account(id="001000000000000AAA", Name="x")]  # fmt: skip
    answer = await collect(api, "PATCH", records)
    assert codes(answer) == [None, "MISSING_ARGUMENT", "MALFORMED_ID", "INVALID_CROSS_REFERENCE_KEY"]
    assert await names(api) == ["b"]
    ids = f"{row},001000000000000AAA,nope"
    gone = await api.http.delete(f"{V}/composite/sobjects?ids={ids}&allOrNone=true")
    assert codes(gone) == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "INVALID_CROSS_REFERENCE_KEY", "MALFORMED_ID"]
    gone = await api.http.delete(f"{V}/composite/sobjects?ids={ids}")
    assert codes(gone) == [None, "INVALID_CROSS_REFERENCE_KEY", "MALFORMED_ID"]
    assert codes(await api.http.delete(f"{V}/composite/sobjects?ids={row}")) == ["ENTITY_IS_DELETED"]


async def test_a_collection_that_fails_together_leaves_nothing(api) -> None:
    ledger = api.org.ledger.sequence
    answer = await collect(api, "POST", [account(Name="a"), account(), account(Name="b")], together=True)
    rolled_back = "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert codes(answer) == [rolled_back, "REQUIRED_FIELD_MISSING", rolled_back]
    assert await names(api) == [] and api.org.ledger.sequence == ledger


async def test_limits_of_collections(api) -> None:
    answer = await collect(api, "POST", [account(Name="x")] * 201)
    assert answer.json() == [{"message": "record limit reached. cannot submit more than 200 records into this call",
                              "errorCode": "EXCEEDED_ID_LIMIT"}]  # fmt: skip
    turns = [account(Name="x"), {"attributes": {"type": "Contact"}, "LastName": "c"}] * 6
    answer = await collect(api, "POST", turns)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "LIMIT_EXCEEDED")
    assert all(code is None for code in codes(await collect(api, "POST", turns[:10])))
    assert (await api.http.delete(f"{V}/composite/sobjects")).status_code == 400
    ids = ["001000000000000AAA"] * 2001
    answer = await api.http.post(f"{V}/composite/sobjects/Account", json={"ids": ids, "fields": ["Name"]})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")


async def test_the_same_record_may_come_12_times_in_one_update(api) -> None:
    row = (await collect(api, "POST", [account(Name="0")])).json()[0]["id"]
    answer = await collect(api, "PATCH", [account(id=row, Name=str(n)) for n in range(1, 14)])
    assert codes(answer) == [None] * 12 + ["DUPLICATE_VALUE"]
    assert await names(api) == ["12"]


async def test_collections_retrieve_in_the_order_asked(api) -> None:
    rows = [r["id"] for r in (await collect(api, "POST", [account(Name=n) for n in "abc"])).json()]
    gone = rows.pop(1)
    await api.http.delete(f"{V}/sobjects/Account/{gone}")
    asked = [rows[1][:15], gone, "nope", rows[0], rows[1]]
    body = {"ids": asked, "fields": ["Name"]}
    found = (await api.http.post(f"{V}/composite/sobjects/Account", json=body)).json()
    assert [row and row["Name"] for row in found] == ["c", None, None, "a", "c"]
    assert list(found[0]) == ["attributes", "Name", "Id"]
    got = await api.http.get(f"{V}/composite/sobjects/Account", params={"ids": ",".join(asked), "fields": "Name"})
    assert got.json() == found
    wrong = await api.http.post(f"{V}/composite/sobjects/Account", json={"ids": asked, "fields": ["Nope"]})
    assert (wrong.status_code, wrong.json()[0]["errorCode"]) == (400, "INVALID_FIELD")


async def test_collections_upsert(api) -> None:
    schema = api.org.schema
    schema.add_field(schema.objects["Account"], make_field("Key__c", externalId=True, idLookup=True))
    row = (await collect(api, "POST", [account(Name="old", Key__c="1")])).json()[0]["id"]
    await collect(api, "POST", [account(Name="twin", Key__c="t")] * 2)
    records = [account(Name="new", Key__c="1"), account(Name="made", Key__c="2"), account(Name="again", Key__c="2"),
               account(Name="which", Key__c="t")]  # fmt: skip
    answer = await collect(api, "PATCH", records, path="/Account/Key__c")
    assert codes(answer) == [None, "DUPLICATE_VALUE", "DUPLICATE_VALUE", "DUPLICATE_EXTERNAL_ID"]
    answer = await collect(api, "PATCH", records[:2], path="/Account/Key__c")
    assert [r["created"] for r in answer.json()] == [False, True]
    assert answer.json()[0]["id"] == row
    by_id = await collect(api, "PATCH", [account(Id=None, Name="by id"), account(Id=row, Name="x")], path="/Account/Id")
    assert [r["created"] for r in by_id.json()] == [True, False]
    assert await names(api) == ["by id", "made", "twin", "twin", "x"]


def node(kind: str, reference: str, **values) -> dict[str, Any]:
    return {"attributes": {"type": kind, "referenceId": reference}, **values}


async def test_a_tree_is_saved_level_by_level(api) -> None:
    tree = [node("Account", "a", Name="root", Contacts={"records": [
        node("Contact", "c", LastName="leaf", Cases={"records": [node("Case", "k", Subject="deep")]})]}),
        node("Account", "b", Name="alone")]  # fmt: skip
    answer = await api.http.post(f"{V}/composite/tree/Account", json={"records": tree})
    assert answer.status_code == 201 and answer.json()["hasErrors"] is False
    ids = {row["referenceId"]: row["id"] for row in answer.json()["results"]}
    assert list(ids) == ["a", "b", "c", "k"]
    case = (await api.query(f"SELECT ContactId, Contact.AccountId FROM Case WHERE Id = '{ids['k']}'")).json()
    assert case["records"][0]["ContactId"] == ids["c"]
    assert case["records"][0]["Contact"]["AccountId"] == ids["a"]


async def test_a_tree_with_an_error_leaves_nothing(api) -> None:
    tree = [node("Account", "a", Name="root", Contacts={"records": [node("Contact", "c")]})]
    answer = await api.http.post(f"{V}/composite/tree/Account", json={"records": tree})
    assert answer.status_code == 400
    assert answer.json() == {"hasErrors": True, "results": [{"referenceId": "c", "errors": [
        {"statusCode": "REQUIRED_FIELD_MISSING", "message": "Required fields are missing: [LastName]",
         "fields": ["LastName"]}]}]}  # fmt: skip
    assert await names(api) == []


def chain(length: int) -> dict[str, Any]:
    below = {"ChildAccounts": {"records": [chain(length - 1)]}} if length > 1 else {}
    return node("Account", f"r{length}", Name=f"n{length}", **below)


@pytest.mark.parametrize(
    "records",
    [[node("Account", f"r{n}", Name="x") for n in range(201)], [chain(6)], [],
     [node("Account", "same", Name="x")] * 2, [{"attributes": {"type": "Account"}}], [node("Contact", "c")]],
)  # fmt: skip
async def test_limits_of_trees(api, records) -> None:
    answer = await api.http.post(f"{V}/composite/tree/Account", json={"records": records})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_INPUT")
    assert await names(api) == []


def part(reference: str, method: str, path: str, **more) -> dict[str, Any]:
    return {"method": method, "url": f"{V}/{path}", "referenceId": reference, **more}


async def composite(api, *parts, **options) -> list[dict[str, Any]]:
    answer = await api.http.post(f"{V}/composite", json={**options, "compositeRequest": list(parts)})
    assert answer.status_code == 200, answer.text
    return answer.json()["compositeResponse"]


async def test_composite_refers_to_records_of_a_query_and_to_decimals(api) -> None:
    api.org.schema.add_field(api.org.schema.objects["Account"], make_field("Big__c", "double", precision=25, scale=3))
    await api.http.post(f"{V}/sobjects/Account", content=b'{"Name":"found","Big__c":12345678901234567.25}')
    answers = await composite(
        api,
        part("q", "GET", "query?q=SELECT+Id,Name,Big__c+FROM+Account"),
        part("c", "POST", "sobjects/Contact", body={"LastName": "of @{q.records[0].Name}",
                                                    "AccountId": "@{q.records[0].Id}"}),
        part("n", "POST", "sobjects/Account", body={"Name": "copy", "Big__c": "@{q.records[0].Big__c}"}),
        part("u", "PATCH", "sobjects/Account/@{n.id}", body={"Name": "copied"}),
        part("r", "GET", "sobjects/Account/@{n.id}?fields=Name,Big__c"),
    )  # fmt: skip
    assert [a["httpStatusCode"] for a in answers] == [200, 201, 201, 204, 200]
    assert answers[3]["body"] is None
    assert answers[1]["httpHeaders"] == {"Location": f"{V}/sobjects/Contact/{answers[1]['body']['id']}"}
    contact = (await api.query("SELECT LastName, Account.Name FROM Contact")).json()["records"][0]
    assert (contact["LastName"], contact["Account"]["Name"]) == ("of found", "found")
    text = (await api.query("SELECT Big__c FROM Account WHERE Name = 'copied'")).text
    assert "12345678901234567.25" in text


async def test_a_reference_to_nothing_halts_its_own_part_only(api) -> None:
    answers = await composite(
        api,
        part("bad", "POST", "sobjects/Account", body={}),
        part("lost", "POST", "sobjects/Contact", body={"LastName": "c", "AccountId": "@{bad.id}"}),
        part("fine", "POST", "sobjects/Account", body={"Name": "fine"}),
    )
    assert [a["httpStatusCode"] for a in answers] == [400, 400, 201]
    assert answers[1]["body"] == [{"errorCode": "PROCESSING_HALTED", "message": (
        "Invalid reference specified. No value for bad.id found in bad. Provided referenceId ('bad.id') must start "
        "with a letter or a number, and it can contain only letters, numbers and underscores ('_')."
    )}]  # fmt: skip
    assert await names(api) == ["fine"]


async def test_a_part_without_a_url_fails_alone(api) -> None:
    broken = {"method": "GET", "url": "http://[bad", "referenceId": "b"}
    answers = await composite(api, broken, part("l", "GET", "limits"))
    assert [a["httpStatusCode"] for a in answers] == [400, 200]


async def test_limits_of_composite_and_batch(api) -> None:
    async def refused(path: str, body: dict[str, Any]) -> str:
        answer = await api.http.post(f"{V}/{path}", json=body)
        assert answer.status_code == 400
        return answer.json()[0]["errorCode"]

    reads = [part(f"r{n}", "GET", "limits") for n in range(26)]
    queries = [part(f"q{n}", "GET", "query?q=SELECT+Id+FROM+Account") for n in range(6)]
    assert await refused("composite", {"compositeRequest": reads}) == "LIMIT_EXCEEDED"
    assert await refused("composite", {"compositeRequest": queries}) == "LIMIT_EXCEEDED"
    assert await refused("composite", {"compositeRequest": [reads[0], reads[0]]}) == "INVALID_INPUT"
    assert await refused("composite/batch", {"batchRequests": reads}) == "LIMIT_EXCEEDED"
    assert len(await composite(api, *reads[:25])) == 25


async def test_batch_halts_if_asked_to(api) -> None:
    requests = [{"method": "POST", "url": "v62.0/sobjects/Account", "richInput": {}},
                {"method": "POST", "url": "/v62.0/sobjects/Account", "richInput": {"Name": "n"}}]  # fmt: skip
    answer = (await api.http.post(f"{V}/composite/batch", json={"batchRequests": requests})).json()
    assert (answer["hasErrors"], [r["statusCode"] for r in answer["results"]]) == (True, [400, 201])
    body = {"batchRequests": requests, "haltOnError": True}
    answer = (await api.http.post(f"{V}/composite/batch", json=body)).json()
    assert [r["statusCode"] for r in answer["results"]] == [400, 412]
    assert answer["results"][1]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"
    assert await names(api) == ["n"]


async def graph(api, *graphs: tuple[str, list[dict[str, Any]]], version: str = "v62.0"):
    body = {"graphs": [{"graphId": name, "compositeRequest": parts} for name, parts in graphs]}
    return await api.http.post(f"/services/data/{version}/composite/graph", json=body)


async def test_each_graph_stands_or_falls_whole(api) -> None:
    good = [part("c", "POST", "sobjects/Contact", body={"LastName": "c", "AccountId": "@{a.id}"}),
            part("a", "POST", "sobjects/Account", body={"Name": "good"})]  # fmt: skip
    bad = [part("a", "POST", "sobjects/Account", body={"Name": "bad"}), part("c", "POST", "sobjects/Contact", body={})]
    answer = (await graph(api, ("1", good), ("2", bad))).json()["graphs"]
    assert [(g["graphId"], g["isSuccessful"]) for g in answer] == [("1", True), ("2", False)]
    first = answer[0]["graphResponse"]["compositeResponse"]
    assert [p["referenceId"] for p in first] == ["c", "a"]
    second = answer[1]["graphResponse"]["compositeResponse"]
    assert [p["body"][0]["errorCode"] for p in second] == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING"]
    contact = (await api.query("SELECT Account.Name FROM Contact")).json()["records"]
    assert [row["Account"]["Name"] for row in contact] == ["good"] and await names(api) == ["good"]


async def test_graphs_after_too_many_failures_are_not_run(api) -> None:
    bad = [part("a", "POST", "sobjects/Account", body={})]
    good = [part("a", "POST", "sobjects/Account", body={"Name": "late"})]
    answer = (await graph(api, *((f"g{n}", bad) for n in range(15)), ("last", good))).json()["graphs"]
    assert answer[-1]["isSuccessful"] is False and await names(api) == []
    assert answer[-1]["graphResponse"]["compositeResponse"][0]["body"][0]["errorCode"] == "PROCESSING_HALTED"


def linked(length: int) -> list[dict[str, Any]]:
    parts = [part("n0", "POST", "sobjects/Account", body={"Name": "0"})]
    for n in range(1, length):
        body = {"Name": str(n), "ParentId": f"@{{n{n - 1}.id}}"}
        parts.append(part(f"n{n}", "POST", "sobjects/Account", body=body))
    return parts


@pytest.mark.parametrize(
    ("graphs", "code"),
    [([("a", [part("r", "GET", "query?q=SELECT+Id+FROM+Account")])], "INVALID_INPUT"),
     ([("a", [part("r", "DELETE", "sobjects/Account")])], "INVALID_INPUT"),
     ([("a", linked(16))], "LIMIT_EXCEEDED"),
     ([("a", [part("x", "PATCH", "sobjects/Account/@{y.id}", body={}),
              part("y", "PATCH", "sobjects/Account/@{x.id}", body={})])], "INVALID_INPUT"),
     ([(f"g{n}", linked(1)) for n in range(76)], "LIMIT_EXCEEDED"),
     ([(f"g{n}", [part(f"r{i}", "POST", "sobjects/Account", body={"Name": "x"}) for i in range(251)])
       for n in range(2)], "LIMIT_EXCEEDED"),
     ([("same", linked(1)), ("same", linked(1))], "INVALID_INPUT"), ([("", linked(1))], "INVALID_INPUT"),
     ([("a", [part(f"r{n}", "POST", f"sobjects/O{n}", body={}) for n in range(16)])], "LIMIT_EXCEEDED"),
     ([], "INVALID_INPUT")],
)  # fmt: skip
async def test_limits_of_graphs(api, graphs, code: str) -> None:
    answer = await graph(api, *graphs)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)
    assert await names(api) == []


async def test_graph_depth_and_version(api) -> None:
    answer = (await graph(api, ("a", linked(15)))).json()["graphs"]
    assert answer[0]["isSuccessful"], answer
    assert (await graph(api, ("a", linked(1)), version="v49.0")).status_code == 404
