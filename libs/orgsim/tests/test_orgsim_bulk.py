"""Bulk 2.0 on the wire: query pages and ingest results."""

import asyncio
import csv
import io
import json
from decimal import Decimal
from types import SimpleNamespace

import httpx
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.orgsim.api.app import OrgApp
from holdfast.orgsim.org import Org, OrgSettings

V = "/services/data/v62.0"


async def create(api, name: str, **values) -> str:
    answer = await api.http.post(f"{V}/sobjects/{name}", json=values)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def bulk_query(api, soql: str, **body) -> tuple[dict, list[list[str]], list[str]]:
    job = await api.http.post(f"{V}/jobs/query", json={"operation": "query", "query": soql, **body})
    assert job.status_code == 200, job.text
    assert job.json()["state"] == "UploadComplete"
    info = (await api.http.get(f"{V}/jobs/query/{job.json()['id']}")).json()
    rows, locators, params = [], [], {"maxRecords": "2"}
    while True:
        page = await api.http.get(f"{V}/jobs/query/{info['id']}/results", params=params)
        assert page.status_code == 200, page.text
        parsed = list(csv.reader(io.StringIO(page.text, newline="")))
        assert len(parsed) - 1 == int(page.headers["Sforce-NumberOfRecords"])
        rows += parsed if not rows else parsed[1:]
        if page.headers["Sforce-Locator"] == "null":
            return info, rows, locators
        params["locator"] = page.headers["Sforce-Locator"]
        locators.append(params["locator"])


async def test_bulk_query_pages_repeat_the_header_and_keep_every_byte(api) -> None:
    texts = ["NA", 'say "hi"', "two\nlines", "a,b", "x\x00y", "😀 é"]
    for text in texts:
        await create(api, "Account", Name=text)
    info, rows, locators = await bulk_query(
        api, "SELECT Id, Name, owner.Name, Fax, SystemModstamp, IsDeleted FROM Account"
    )
    assert rows[0] == ["Id", "Name", "owner.Name", "Fax", "SystemModstamp", "IsDeleted"]
    assert [r[1] for r in rows[1:]] == texts
    assert {(r[2], r[3], r[4][-5:], r[5]) for r in rows[1:]} == {("Integration User", "", ".000Z", "false")}
    assert (info["state"], info["numberRecordsProcessed"], info["apiVersion"]) == ("JobComplete", 6, 62.0)
    first = await api.http.get(f"{V}/jobs/query/{info['id']}/results", params={"maxRecords": "2"})
    assert first.text.startswith('"Id","Name","owner.Name","Fax","SystemModstamp","IsDeleted"\n"001')
    assert api.org.accounting.bulk_pages[(info["id"], locators[0], "2")] == 1
    assert api.org.accounting.bulk_pages[(info["id"], "", "2")] == 2


async def test_a_bulk_result_keeps_the_values_of_its_moment(api) -> None:
    new_id = await create(api, "Account", Name="before")
    soql = "SELECT Name FROM Account"
    job = (await api.http.post(f"{V}/jobs/query", json={"operation": "query", "query": soql})).json()["id"]
    await api.http.patch(f"{V}/sobjects/Account/{new_id}", json={"Name": "after"})
    await api.http.get(f"{V}/jobs/query/{job}")
    assert (await api.http.get(f"{V}/jobs/query/{job}/results")).text == '"Name"\n"before"\n'
    _, rows, _ = await bulk_query(api, soql)
    assert rows == [["Name"], ["after"]]


async def test_bulk_query_life_cycle_and_refusals(api) -> None:
    for soql, message in [
        ("SELECT BillingAddress FROM Account", "Selecting compound data not supported in Bulk Query"),
        ("SELECT Id, (SELECT Id FROM Contacts) FROM Account", "Aggregate Relationships not supported in Bulk Query"),
        ("SELECT COUNT() FROM Account", "Function not supported in Bulk Query"),
        ("SELECT Id FROM Nope__c", "sObject type 'Nope__c' is not supported"),
    ]:
        answer = await api.http.post(f"{V}/jobs/query", json={"operation": "query", "query": soql})
        assert answer.status_code == 400
        assert message in answer.json()[0]["message"]
    body = {"operation": "query", "query": "SELECT Id FROM Account", "columnDelimiter": "TAB", "lineEnding": "CRLF"}
    job = (await api.http.post(f"{V}/jobs/query", json=body)).json()["id"]
    await api.http.get(f"{V}/jobs/query/{job}")
    assert (await api.http.get(f"{V}/jobs/query/{job}/results")).text == '"Id"\r\n'
    assert (await api.http.get(f"/services/data/v61.0/jobs/query/{job}/results")).status_code == 409
    assert (await api.http.get(f"{V}/jobs/query/{job}/results?locator=zzz")).status_code == 400
    assert (await api.http.delete(f"{V}/jobs/query/{job}")).status_code == 204
    assert (await api.http.get(f"{V}/jobs/query/{job}")).status_code == 404
    job = (await api.http.post(f"{V}/jobs/query", json=body)).json()["id"]
    assert (await api.http.patch(f"{V}/jobs/query/{job}", json={"state": "Aborted"})).json()["state"] == "Aborted"
    listed = (await api.http.get(f"{V}/jobs/query")).json()
    assert (listed["done"], [j["id"] for j in listed["records"]]) == (True, [job])


async def test_result_pages_cover_the_result_once(api) -> None:
    api.org.settings.bulk_page_bytes = 300
    for n in range(90):
        await create(api, "Account", Name=f"name {n}")
    body = {"operation": "query", "query": "SELECT Id, Name FROM Account"}
    job = (await api.http.post(f"{V}/jobs/query", json=body)).json()["id"]
    await api.http.get(f"{V}/jobs/query/{job}")
    url, names = f"{V}/jobs/query/{job}/resultPages", []
    while url:
        pages = (await api.http.get(url)).json()
        assert len(pages["resultPages"]) <= 5
        for page in pages["resultPages"]:
            text = (await api.http.get(page["resultUrl"])).text
            names += [row[1] for row in list(csv.reader(io.StringIO(text)))[1:]]
        url = pages.get("nextRecordsUrl")
    assert names == [f"name {n}" for n in range(90)]


async def ingest(api, operation: str, text: str, **body) -> tuple[dict, str, str]:
    job = (await api.http.post(f"{V}/jobs/ingest", json={"object": "Account", "operation": operation, **body})).json()
    assert job["contentUrl"] == f"services/data/v62.0/jobs/ingest/{job['id']}/batches"
    put = await api.http.put("/" + job["contentUrl"], content=text.encode(), headers={"Content-Type": "text/csv"})
    assert put.status_code == 201
    url = f"{V}/jobs/ingest/{job['id']}"
    assert (await api.http.patch(url, json={"state": "UploadComplete"})).status_code == 200
    good = (await api.http.get(f"{url}/successfulResults")).text
    bad = (await api.http.get(f"{url}/failedResults")).text
    return (await api.http.get(url)).json(), good, bad


async def test_bulk_ingest_insert_update_and_delete(api) -> None:
    info, good, bad = await ingest(api, "insert", 'Name,Fax\na,1\n,2\n"x ""y""",#N/A\n')
    assert (info["state"], info["numberRecordsProcessed"], info["numberRecordsFailed"]) == ("JobComplete", 3, 1)
    assert bad.splitlines() == [
        '"sf__Id","sf__Error","Name","Fax"',
        '"","REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --","","2"',
    ]
    saved = list(csv.DictReader(io.StringIO(good)))
    assert [(r["sf__Created"], r["Name"], r["Fax"]) for r in saved] == [("true", "a", "1"), ("true", 'x "y"', "#N/A")]
    first = saved[0]["sf__Id"]
    info, _, _ = await ingest(api, "update", f"Id,Name,Fax\n{first},,#N/A\n")
    record = (await api.http.get(f"{V}/sobjects/Account/{first}")).json()
    assert (record["Name"], record["Fax"]) == ("a", None)
    await ingest(api, "delete", f"Id\n{first}\n")
    info, _, bad = await ingest(api, "delete", f"Id\n{first}\n")
    assert f'"{first}","ENTITY_IS_DELETED:entity is deleted: --","{first}"' in bad
    info, _, _ = await ingest(api, "insert", "Name\r\na\r\n")
    assert info["state"] == "Failed"
    assert "Current LineEnding setting is LF" in info["errorMessage"]


@given(rows=st.lists(st.tuples(st.text(max_size=40), st.none() | st.decimals(-(10**12), 10**12, places=6)), max_size=8))
@settings(max_examples=40)
def test_rest_bulk_and_state_agree_for_any_value(rows: list[tuple[str, Decimal | None]]) -> None:
    asyncio.run(compare_surfaces(rows))


async def compare_surfaces(rows: list[tuple[str, Decimal | None]]) -> None:
    org = Org(OrgSettings(client_secret="secret"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(OrgApp(org)), base_url="http://org") as http:
        token = org.sessions.open(org.admin, org.clock.now()).token
        http.headers["Authorization"] = f"Bearer {token}"
        loaded = [{"T__c": text, "D__c": None if number is None else str(number)} for text, number in rows]
        fields = [{"name": "T__c", "type": "textarea"}, {"name": "D__c", "type": "double"}]
        body = {"name": "S__c", "name_field": False, "fields": fields, "rows": loaded}
        assert (await http.post("/_org/objects", json=body)).status_code == 200
        state = (await http.get("/_org/state?object=S__c")).content.splitlines()
        truth = [(r["T__c"], r["D__c"]) for r in map(orjson.loads, state)]
        assert truth == [(t or None, None if n is None else plain(n)) for t, n in rows]
        _, table, _ = await bulk_query(SimpleNamespace(http=http), "SELECT T__c, D__c FROM S__c")
        assert [(t or None, n or None) for t, n in table[1:]] == truth
        answer = await http.get(f"{V}/query", params={"q": "SELECT T__c, D__c FROM S__c"})
        records = json.loads(answer.content, parse_float=str)["records"]
        assert [(r["T__c"], r["D__c"]) for r in records] == truth


def plain(number: Decimal) -> str:
    text = f"{number:f}".rstrip("0")
    return (text + "0" if text.endswith(".") else text) if number else "0.0"
