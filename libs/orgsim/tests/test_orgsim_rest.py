"""REST queries, rows, collections, composite, replication and SOAP on the wire."""

from datetime import timedelta

import pytest

V = "/services/data/v62.0"


async def create(api, name: str, **values) -> str:
    answer = await api.http.post(f"{V}/sobjects/{name}", json=values)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_query_pages_and_nested_parents(api) -> None:
    parent = await create(api, "Account", Name="p")
    for n in range(450):
        await create(api, "Contact", LastName=f"c{n}", AccountId=parent if n else None)
    headers = {"Sforce-Query-Options": "batchSize=10"}
    soql = "SELECT Id, Account.Name, Account.Owner.Name, IsDeleted, CreatedDate FROM Contact"
    page = (await api.http.get(f"{V}/query", params={"q": soql}, headers=headers)).json()
    assert (page["totalSize"], page["done"], len(page["records"])) == (450, False, 200)
    assert page["records"][0]["Account"] is None
    record = page["records"][1]
    assert record["attributes"]["url"] == f"{V}/sobjects/Contact/{record['Id']}"
    assert record["Account"]["attributes"]["type"] == "Account"
    assert (record["Account"]["Name"], record["Account"]["Owner"]["Name"]) == ("p", "Integration User")
    assert record["IsDeleted"] is False
    assert record["CreatedDate"].endswith(".000+0000")
    names, locators = len(page["records"]), []
    while "nextRecordsUrl" in page:
        locators.append(page["nextRecordsUrl"].rsplit("/", 1)[1])
        page = (await api.http.get(page["nextRecordsUrl"])).json()
        names += len(page["records"])
    assert (names, page["done"]) == (450, True)
    assert locators[0].endswith("-200")
    assert api.org.accounting.locators[locators[0]] == 1
    api.org.clock.advance(timedelta(days=2, seconds=1))
    await api.sign_in()
    answer = await api.http.get(f"{V}/query/{locators[0]}")
    assert answer.json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


async def test_numbers_keep_every_digit_through_rest(api) -> None:
    api.org.schema.objects["Account"].add({**api.org.schema.objects["Account"].fields["AnnualRevenue"],
                                           "name": "Big__c", "type": "double"})  # fmt: skip
    answer = await api.http.post(
        f"{V}/sobjects/Account", content=b'{"Name":"n","Big__c":1234567890123456.78,"NumberOfEmployees":7}'
    )
    assert answer.status_code == 201, answer.text
    text = (await api.query("SELECT Big__c, AnnualRevenue, NumberOfEmployees FROM Account")).text
    assert '"Big__c":1234567890123456.78,"AnnualRevenue":null,"NumberOfEmployees":7}' in text


async def test_child_subqueries_and_typeof(api) -> None:
    parent = await create(api, "Account", Name="p")
    await create(api, "Contact", LastName="c", AccountId=parent)
    record = (await api.query("SELECT Id, (SELECT LastName FROM Contacts), (SELECT Id FROM Cases) FROM Account")).json()
    record = record["records"][0]
    assert record["Contacts"]["records"][0]["LastName"] == "c"
    assert record["Cases"] is None
    await create(api, "Event", DurationInMinutes=5, ActivityDateTime="2024-01-01T00:00:00Z", WhatId=parent)
    soql = "SELECT What.Type, TYPEOF What WHEN Account THEN Name ELSE Id END FROM Event"
    record = (await api.query(soql)).json()["records"][0]
    assert record["What"]["Name"] == "p"


async def test_rows_are_created_changed_upserted_and_deleted(api) -> None:
    new_id = await create(api, "Account", Name="n", BillingCity="Rome")
    record = (await api.http.get(f"{V}/sobjects/Account/{new_id}")).json()
    assert record["BillingAddress"]["city"] == "Rome"
    assert (await api.http.patch(f"{V}/sobjects/Account/{new_id}", json={"Name": "m"})).status_code == 204
    answer = await api.http.get(f"{V}/sobjects/Account/{new_id}", params={"fields": "Name"})
    assert answer.json()["Name"] == "m"
    answer = await api.http.patch(f"{V}/sobjects/Account/Id/{new_id}", json={"Name": "o"})
    assert answer.json()["created"] is False
    assert (await api.http.delete(f"{V}/sobjects/Account/{new_id}")).status_code == 204
    answer = await api.http.get(f"{V}/sobjects/Account/{new_id}")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (404, "ENTITY_IS_DELETED")
    answer = await api.http.post(f"{V}/sobjects/Account", json={})
    assert answer.json() == [{"message": "Required fields are missing: [Name]", "errorCode": "REQUIRED_FIELD_MISSING",
                              "fields": ["Name"]}]  # fmt: skip


async def test_collections_report_each_record(api) -> None:
    records = [{"attributes": {"type": "Account"}, "Name": "a"}, {"attributes": {"type": "Account"}}]
    answer = (await api.http.post(f"{V}/composite/sobjects", json={"allOrNone": False, "records": records})).json()
    assert [r["success"] for r in answer] == [True, False]
    assert answer[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    answer = (await api.http.post(f"{V}/composite/sobjects", json={"allOrNone": True, "records": records})).json()
    assert [r["errors"][0]["statusCode"] for r in answer] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUIRED_FIELD_MISSING",
    ]
    ids = [r["Id"] for r in (await api.query("SELECT Id FROM Account")).json()["records"]]
    assert len(ids) == 1
    patch = {"records": [{"attributes": {"type": "Account"}, "id": ids[0], "Name": "b"}]}
    assert (await api.http.patch(f"{V}/composite/sobjects", json=patch)).json()[0]["success"]
    got = await api.http.post(f"{V}/composite/sobjects/Account", json={"ids": [*ids, "001"], "fields": ["Name"]})
    assert [r and r["Name"] for r in got.json()] == ["b", None]
    gone = await api.http.delete(f"{V}/composite/sobjects", params={"ids": ",".join(ids)})
    assert gone.json() == [{"id": ids[0], "success": True, "errors": []}]
    many = {"records": [{"attributes": {"type": "Account"}, "Name": "x"}] * 201}
    assert (await api.http.post(f"{V}/composite/sobjects", json=many)).status_code == 400


async def test_composite_refers_back_costs_one_request_and_rolls_back(api) -> None:
    body = {"allOrNone": True, "compositeRequest": [
        {"method": "POST", "url": f"{V}/sobjects/Account", "referenceId": "a", "body": {"Name": "n"}},
        {"method": "POST", "url": f"{V}/sobjects/Contact", "referenceId": "c",
         "body": {"LastName": "c", "AccountId": "@{a.id}"}},
    ]}  # fmt: skip
    used = api.org.accounting.total
    answer = (await api.http.post(f"{V}/composite", json=body)).json()["compositeResponse"]
    assert [p["httpStatusCode"] for p in answer] == [201, 201]
    assert api.org.accounting.total == used + 1
    body["compositeRequest"][1]["body"] = {}
    answer = (await api.http.post(f"{V}/composite", json=body)).json()["compositeResponse"]
    assert [p["body"][0]["errorCode"] for p in answer] == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING"]
    assert (await api.query("SELECT COUNT() FROM Account")).json()["totalSize"] == 1
    describe = {"method": "GET", "url": f"{V}/sobjects/Account/describe", "referenceId": "d"}
    first = (await api.http.post(f"{V}/composite", json={"compositeRequest": [describe]})).json()
    modified = first["compositeResponse"][0]["httpHeaders"]["Last-Modified"]
    describe["httpHeaders"] = {"If-Modified-Since": modified}
    again = (await api.http.post(f"{V}/composite", json={"compositeRequest": [describe]})).json()
    assert again["compositeResponse"][0]["httpStatusCode"] == 304
    batch = {"batchRequests": [{"method": "GET", "url": "v62.0/limits"}, {"method": "GET", "url": "v62.0/nope"}]}
    answer = (await api.http.post(f"{V}/composite/batch", json=batch)).json()
    assert answer["hasErrors"] is True
    assert [r["statusCode"] for r in answer["results"]] == [200, 404]


async def test_get_deleted_and_get_updated(api) -> None:
    start = api.org.clock.now().strftime("%Y-%m-%dT%H:%M:%S+00:00")
    kept, soft, hard = [await create(api, "Account", Name=n) for n in "abc"]
    api.org.clock.advance(timedelta(minutes=2))
    await api.http.delete(f"{V}/sobjects/Account/{soft}")
    await soap(api, f"<delete xmlns='urn:partner.soap.sforce.com'><ids>{hard}</ids></delete>")
    await soap(api, f"<emptyRecycleBin xmlns='urn:partner.soap.sforce.com'><ids>{hard}</ids></emptyRecycleBin>")
    api.org.clock.advance(timedelta(minutes=2))
    span = {"start": start, "end": api.org.clock.now().strftime("%Y-%m-%dT%H:%M:%S+00:00")}
    deleted = (await api.http.get(f"{V}/sobjects/Account/deleted/", params=span)).json()
    assert {r["id"] for r in deleted["deletedRecords"]} == {soft, hard}
    assert set(deleted) == {"deletedRecords", "earliestDateAvailable", "latestDateCovered"}
    assert (await api.http.get(f"{V}/sobjects/Account/updated/", params=span)).json()["ids"] == [kept]
    old = {"start": "2001-01-01T00:00:00+00:00", "end": span["end"]}
    answer = await api.http.get(f"{V}/sobjects/Account/updated", params=old)
    assert answer.json()[0]["errorCode"] == "INVALID_REPLICATION_DATE"


async def soap(api, body: str, token: str | None = None) -> str:
    token = token or api.http.headers["Authorization"].split()[1]
    envelope = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:u="urn:partner.soap.sforce.com">'
        f"<e:Header><u:SessionHeader><u:sessionId>{token}</u:sessionId></u:SessionHeader></e:Header>"
        f"<e:Body>{body}</e:Body></e:Envelope>"
    )
    answer = await api.http.post(
        "/services/Soap/u/62.0/00D000", content=envelope, headers={"Content-Type": "text/xml", "SOAPAction": '""'}
    )
    assert answer.status_code == (500 if "Fault" in answer.text else 200)
    return answer.text


async def test_soap_undelete_merge_and_faults(api) -> None:
    winner, loser = [await create(api, "Account", Name=n) for n in "wl"]
    await api.http.delete(f"{V}/sobjects/Account/{loser}")
    text = await soap(api, f"<u:undelete><u:ids>{loser}</u:ids></u:undelete>")
    assert f"<result><id>{loser}</id><success>true</success></result>" in text
    text = await soap(
        api,
        "<u:merge><u:request><u:masterRecord><u:type>Account</u:type>"
        f"<u:Id>{winner}</u:Id><u:Fax>1</u:Fax></u:masterRecord><u:recordToMergeIds>{loser}</u:recordToMergeIds>"
        "</u:request></u:merge>",
    )
    assert f"<mergedRecordIds>{loser}</mergedRecordIds><success>true</success>" in text
    rows = (await api.query("SELECT Id, IsDeleted, MasterRecordId FROM Account", "queryAll")).json()["records"]
    assert [(r["IsDeleted"], r["MasterRecordId"]) for r in rows] == [(False, None), (True, winner)]
    assert "UNDELETE_FAILED" in await soap(api, f"<u:undelete><u:ids>{loser}</u:ids></u:undelete>")
    assert "<userId>005" in await soap(api, "<u:getUserInfo/>")
    assert "<faultcode>sf:INVALID_SESSION_ID</faultcode>" in await soap(api, "<u:getUserInfo/>", token="x")


@pytest.mark.parametrize(
    ("path", "body"),
    [("sobjects/Account", {"Name": ["x"]}), ("sobjects/Account", [1]), ("composite", {"compositeRequest": [{"a": 1}]}),
     ("composite", {}), ("composite/batch", {"batchRequests": [{}]}), ("composite/sobjects", {"records": [1]}),
     ("jobs/query", {"operation": "query"}), ("jobs/query", {"operation": "query", "query": 5}),
     ("jobs/ingest", {"operation": "insert"}), ("jobs/ingest", {"operation": "fly", "object": "Account"})],
)  # fmt: skip
async def test_bad_bodies_are_refused_in_words(api, path: str, body: object) -> None:
    answer = await api.http.post(f"{V}/{path}", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()[0]["message"]
    assert (await api.query("SELECT COUNT() FROM Account")).json()["totalSize"] == 0


async def test_a_record_without_a_type_fails_alone(api) -> None:
    records = [{"attributes": None}, {"attributes": {"type": "Account"}, "Name": "n"}]
    answer = (await api.http.post(f"{V}/composite/sobjects", json={"records": records})).json()
    assert [r["success"] for r in answer] == [False, True]


async def test_what_describe_global_lists_can_be_described_even_if_no_query_reads_it(api) -> None:
    listed = (await api.http.get("/services/data/v62.0/sobjects")).json()["sobjects"]
    for entry in listed:
        answer = await api.http.get(f"/services/data/v62.0/sobjects/{entry['name']}/describe")
        assert answer.status_code == 200, entry["name"]
        assert answer.json()["queryable"] == entry["queryable"], entry["name"]
    assert (await api.query("SELECT Id FROM UserChangeEvent")).json()[0]["errorCode"] == "INVALID_TYPE_FOR_OPERATION"
