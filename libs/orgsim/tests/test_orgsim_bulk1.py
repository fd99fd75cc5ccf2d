"""Bulk API 1.0 as its clients speak it: JSON, XML and the mixtures."""

import csv
import gzip
import io
import json
from datetime import timedelta
from xml.etree import ElementTree

import httpx
import pytest

BASE = "/services/async/59.0"
NS = "{http://www.force.com/2009/06/asyncapi/dataload}"


class Bulk1:
    """A client that speaks as salesforce-bulk (XML) or simple-salesforce (JSON) does."""

    def __init__(self, api) -> None:
        self.api = api
        self.token = api.http.headers["Authorization"].partition(" ")[2]

    async def ask(self, method: str, path: str, body="", kind: str | None = "application/xml", **headers: str):
        sent = {"X-SFDC-Session": self.token, "Authorization": "", **headers}
        if kind is not None:
            sent["Content-Type"] = kind
        return await self.api.http.request(method, BASE + path, content=body, headers=sent)

    async def job(self, operation: str, kind: str = "CSV", *, name: str = "Account", extra: str = "", **headers) -> str:
        body = (
            f'<jobInfo xmlns="{NS[1:-1]}"><operation>{operation}</operation><object>{name}</object>{extra}'
            f"<contentType>{kind}</contentType></jobInfo>"
        )
        answer = await self.ask("POST", "/job", body, "application/xml; charset=UTF-8", **headers)
        assert (answer.status_code, answer.headers["content-type"]) == (201, "application/xml"), answer.text
        return fields(answer)["id"]

    async def batch(self, job: str, body: str, kind: str = "text/csv") -> str:
        answer = await self.ask("POST", f"/job/{job}/batch", body, kind)
        assert answer.status_code == 201, answer.text
        assert fields(answer)["state"] == "Queued"
        return fields(answer)["id"]

    async def state(self, job: str, batch: str) -> dict:
        return fields(await self.ask("GET", f"/job/{job}/batch/{batch}"))

    async def results(self, job: str, batch: str) -> list[list[str]]:
        answer = await self.ask("GET", f"/job/{job}/batch/{batch}/result")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv"), answer.text
        return list(csv.reader(io.StringIO(answer.text)))

    async def rows(self, job: str, batch: str) -> str:
        answer = await self.ask("GET", f"/job/{job}/batch/{batch}/result")
        ids = [e.text for e in ElementTree.fromstring(answer.content).iterfind(f"{NS}result")]
        return (await self.ask("GET", f"/job/{job}/batch/{batch}/result/{ids[0]}")).text


def fields(answer: httpx.Response) -> dict:
    if answer.headers["content-type"] == "application/json":
        return answer.json()
    return {e.tag.removeprefix(NS): e.text for e in ElementTree.fromstring(answer.content)}


@pytest.fixture
def bulk(api) -> Bulk1:
    return Bulk1(api)


async def test_rows_are_saved_and_answered_in_their_order(bulk) -> None:
    job = await bulk.job("insert")
    batch = await bulk.batch(job, 'Name,Fax\n"a, b",1\n,2\nc,#N/A\n')
    info = await bulk.state(job, batch)
    assert (info["state"], info["numberRecordsProcessed"], info["numberRecordsFailed"]) == ("Completed", "3", "1")
    header, first, second, third = await bulk.results(job, batch)
    assert header == ["Id", "Success", "Created", "Error"]
    assert second == ["", "false", "false", "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --"]
    assert [first[1:], third[1:]] == [["true", "true", ""]] * 2
    row = bulk.api.org.table(bulk.api.org.schema.objects["Account"]).get(first[0])
    assert (row["Name"], row["Fax"]) == ("a, b", "1")
    ledger = (await bulk.api.http.get("/_org/ledger?object=Account")).text.splitlines()
    assert [(e["op"], e["api"]) for e in map(json.loads, ledger)] == [("insert", "Bulk1")] * 2
    for operation in ("update", "delete"):
        job = await bulk.job(operation)
        batch = await bulk.batch(job, f"Id,Name\n{third[0]},d\n" if operation == "update" else f"Id\n{third[0]}\n")
        assert (await bulk.results(job, batch))[1] == [third[0], "true", "false", ""]
    closed = await bulk.ask("POST", f"/job/{job}", f'<jobInfo xmlns="{NS[1:-1]}"><state>Closed</state></jobInfo>')
    assert (closed.status_code, fields(closed)["state"], fields(closed)["numberBatchesCompleted"]) == (
        200,
        "Closed",
        "1",
    )
    refused = await bulk.ask("POST", f"/job/{job}/batch", "Id\n", "text/csv")
    assert (refused.status_code, fields(refused)["exceptionCode"]) == (400, "InvalidJobState")


async def test_json_jobs_speak_json_with_whole_numbers_for_modes_and_dates(bulk) -> None:
    body = '{"operation":"insert","object":"Account","concurrencyMode":1,"contentType":"JSON"}'
    job = (await bulk.ask("POST", "/job", body, "application/json")).json()
    assert (job["state"], job["concurrencyMode"], job["apiVersion"]) == ("Open", "Serial", 59.0)
    rows = '[{"Name":"a","NumberOfEmployees":5},{"Fax":"1"},{"Name":"b","Owner":{"Username":"nobody"}}]'
    batch = (await bulk.ask("POST", f"/job/{job['id']}/batch", rows, "application/json")).json()
    assert (batch["state"], batch["jobId"]) == ("Queued", job["id"])
    result = await bulk.ask("GET", f"/job/{job['id']}/batch/{batch['id']}/result", kind="application/json")
    assert result.headers["content-type"] == "application/json"
    first, second, third = result.json()
    assert (first["success"], first["created"], first["errors"]) == (True, True, [])
    assert second["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert (second["id"], third["success"]) == (None, False)
    asked = await bulk.ask("GET", f"/job/{job['id']}/batch/{batch['id']}/request", kind="application/json")
    assert asked.json()[1] == {"Fax": "1"}
    query = body.replace("insert", "query")
    job = (await bulk.ask("POST", "/job", query, "application/json")).json()["id"]
    soql = "SELECT Id, Name, NumberOfEmployees, CreatedDate, Owner.Name, Owner.CreatedDate FROM Account"
    batch = (await bulk.ask("POST", f"/job/{job}/batch", soql, "application/json")).json()["id"]
    ids = (await bulk.ask("GET", f"/job/{job}/batch/{batch}/result", kind="application/json")).json()
    (record,) = (await bulk.ask("GET", f"/job/{job}/batch/{batch}/result/{ids[0]}", kind="application/json")).json()
    assert (record["Name"], record["NumberOfEmployees"], record["Owner"]["Name"]) == ("a", 5, "Integration User")
    now = bulk.api.org.clock.now().timestamp() * 1000
    assert abs(record["CreatedDate"] - now) < 60_000
    assert abs(record["Owner"]["CreatedDate"] - now) < 60_000


async def test_xml_rows_with_nil_and_relationships(bulk) -> None:
    job = await bulk.job("insert", "XML")
    rows = (
        f'<sObjects xmlns="{NS[1:-1]}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><sObject><Name>a &lt; b'
        "</Name><Owner><sObject><Username>integration@holdfast.test</Username></sObject></Owner></sObject>"
        '<sObject><Name xsi:nil="true"/></sObject></sObjects>'
    )
    batch = await bulk.batch(job, rows, "application/xml")
    answer = await bulk.ask("GET", f"/job/{job}/batch/{batch}/result")
    assert answer.headers["content-type"] == "application/xml"
    good, bad = ElementTree.fromstring(answer.content)
    assert [e.text for e in good][1:] == ["true", "true"]
    assert bad.findtext(f"{NS}errors/{NS}statusCode") == "REQUIRED_FIELD_MISSING"
    assert bad.findtext(f"{NS}success") == "false"
    job = await bulk.job("query", "XML")
    batch = await bulk.batch(job, "SELECT Name, Fax, CreatedDate, Owner.Username FROM Account", "application/xml")
    root = ElementTree.fromstring(await bulk.rows(job, batch))
    record = root.find(f"{NS}records")
    assert [record.findtext(f"{NS}{n}") for n in ("type", "Name", "Fax")] == ["Account", "a < b", ""]
    assert record.findtext(f"{NS}CreatedDate").endswith(".000Z")
    assert record.findtext(f"{NS}Owner/{NS}Username") == "integration@holdfast.test"


async def test_a_csv_job_made_with_json_answers_its_batches_in_xml(bulk, writer) -> None:
    """The mixture of tap-salesforce."""
    account = bulk.api.org.schema.objects["Account"]
    writer.delete(writer.insert(account, {"Name": "gone"}))
    body = '{"operation":"queryAll","object":"Account","contentType":"CSV"}'
    answer = await bulk.ask("POST", "/job", body, "application/json", **{"Sforce-Disable-Batch-Retry": "true"})
    job = answer.json()["id"]
    batch = await bulk.ask("POST", f"/job/{job}/batch", "SELECT Name,IsDeleted FROM Account", "text/csv")
    batch_id = fields(batch)["id"]
    assert batch.headers["content-type"] == "application/xml"
    closed = await bulk.ask("POST", f"/job/{job}", '{"state":"Closed"}', "application/json")
    assert closed.json()["state"] == "Closed"
    info = await bulk.ask("GET", f"/job/{job}/batch/{batch_id}", kind="application/json")
    assert fields(info)["state"] == "Completed"
    assert await bulk.rows(job, batch_id) == '"Name","IsDeleted"\n"gone","true"\n'
    gone = await bulk.ask("GET", "/job/750000000000001", kind="application/json")
    assert (gone.status_code, gone.headers["content-type"]) == (400, "application/json")
    assert gone.json()["exceptionCode"] == "InvalidJob"


async def test_an_empty_query_says_so(bulk) -> None:
    job = await bulk.job("query")
    batch = await bulk.batch(job, "SELECT Id FROM Account")
    assert await bulk.rows(job, batch) == "Records not found for this query\n"


@pytest.mark.parametrize(
    ("operation", "body", "message"),
    [
        ("insert", "Name,Nope__c\na,b\n", "InvalidBatch : Field name not found : Nope__c"),
        ("update", "Name\na\n", "InvalidBatch : Field name not found : Id"),
        ("insert", 'Name\n"a"b\n', "ClientInputError : Failed to parse CSV"),
        ("query", "SELECT Nope__c FROM Account", "InvalidBatch : Failed to process query: INVALID_FIELD: "),
        ("query", "SELECT BillingAddress FROM Account", "FeatureNotEnabled : Selecting compound data"),
        ("query", "SELECT Id FROM Contact", "InvalidBatch : Failed to process query: INVALID_TYPE_FOR_OPERATION: The"),
        ("query", "SELEKT", "InvalidBatch : Failed to process query: MALFORMED_QUERY: "),
    ],
)
async def test_batches_fail_with_the_reason(bulk, operation: str, body: str, message: str) -> None:
    job = await bulk.job(operation)
    batch = await bulk.batch(job, body)
    info = await bulk.state(job, batch)
    assert info["state"] == "Failed"
    assert info["stateMessage"].startswith(message)
    answer = await bulk.ask("GET", f"/job/{job}/batch/{batch}/result", kind="application/json")
    assert answer.json() == {"exceptionCode": "InvalidBatch", "exceptionMessage": "Records not processed"}
    assert len(bulk.api.org.table(bulk.api.org.schema.objects["Account"])) == 0


async def test_errors_are_objects_with_status_400(bulk) -> None:
    wrong = await bulk.ask("GET", "/job/1", kind=None, **{"X-SFDC-Session": "00D!nope"})
    assert wrong.status_code == 400
    assert "<exceptionCode>InvalidSessionId</exceptionCode>" in wrong.text
    old = await bulk.api.http.get("/services/async/21.0/job/1")
    assert (old.status_code, fields(old)["exceptionCode"]) == (400, "InvalidVersion")
    for body, code in [
        ('{"operation":"insert","object":"Nope__c","contentType":"CSV"}', "InvalidJob"),
        ('{"operation":"sing","object":"Account"}', "InvalidJob"),
        ('{"operation":"upsert","object":"Account","contentType":"CSV"}', "InvalidJob"),
        ('{"operation":"insert","object":"Account","contentType":"ZIP_CSV"}', "FeatureNotEnabled"),
        ("[1", "InvalidJob"),
    ]:
        answer = await bulk.ask("POST", "/job", body, "application/json")
        assert (answer.status_code, answer.json()["exceptionCode"]) == (400, code)
    assert fields(await bulk.ask("POST", "/job", "<jobInfo>"))["exceptionCode"] == "InvalidXML"
    job = await bulk.job("insert")
    large = await bulk.ask("POST", f"/job/{job}/batch", b"x" * 10_000_001, "text/csv")
    assert fields(large)["exceptionCode"] == "ClientInputError"
    bulk.api.org.accounting.batches.set_used(15_000, bulk.api.org.clock.now())
    full = await bulk.ask("POST", f"/job/{job}/batch", "Name\na\n", "text/csv")
    assert fields(full)["exceptionCode"] == "ExceededQuota"


async def test_batches_fall_off_the_daily_allowance(bulk) -> None:
    job = await bulk.job("insert")
    await bulk.batch(job, "Name\na\n")
    limits = (await bulk.api.http.get("/services/data/v62.0/limits")).json()
    assert limits["DailyBulkApiBatches"] == {"Max": 15_000, "Remaining": 14_999}
    bulk.api.org.clock.advance(timedelta(hours=25))
    await bulk.api.sign_in()
    limits = (await bulk.api.http.get("/services/data/v62.0/limits")).json()
    assert limits["DailyBulkApiBatches"]["Remaining"] == 15_000


async def test_pk_chunks_cover_every_row_once(bulk, writer) -> None:
    account = bulk.api.org.schema.objects["Account"]
    made = [writer.insert(account, {"Name": f"n{i}"}) for i in range(25)]
    writer.delete(made[3])
    headers = {"Sforce-Enable-PKChunking": "true; chunkSize=10"}
    job = await bulk.job("query", **headers)
    original = await bulk.batch(job, "SELECT Name FROM Account WHERE Name != 'n7' OR Name = 'n8'")
    answer = await bulk.ask("GET", f"/job/{job}/batch")
    infos = [{e.tag.removeprefix(NS): e.text for e in info} for info in ElementTree.fromstring(answer.content)]
    assert [i["state"] for i in infos] == ["NotProcessed", "Completed", "Completed", "Completed"]
    assert infos[0]["id"] == original
    names = [line for i in infos[1:] for line in (await bulk.rows(job, i["id"])).splitlines()[1:]]
    assert sorted(names) == sorted(f'"n{i}"' for i in range(25) if i not in (3, 7))
    request = (await bulk.ask("GET", f"/job/{job}/batch/{infos[1]['id']}/request")).text
    assert f"Id >= '{made[0][:15]}' AND Id < '{made[10][:15]}'" in request
    assert bulk.api.org.accounting.batches.used(bulk.api.org.clock.now()) == 4
    job = await bulk.job("query", **{"Sforce-Enable-PKChunking": f"chunkSize=100;startRow={made[20][:15]}"})
    await bulk.batch(job, "SELECT Name FROM Account")
    listed = ElementTree.fromstring((await bulk.ask("GET", f"/job/{job}/batch")).content)
    assert listed[1].findtext(f"{NS}numberRecordsProcessed") == "5"
    for header in ("chunkSize=250001", "chunkSize=0", "startRow=x"):
        refused = await bulk.ask("POST", "/job", '{"operation":"query","object":"Account","contentType":"CSV"}',
                                 "application/json", **{"Sforce-Enable-PKChunking": header})  # fmt: skip
        assert refused.json()["exceptionCode"] == "ClientInputError"
    job = await bulk.job("query", **headers)
    batch = await bulk.batch(job, "SELECT Name FROM Account ORDER BY Name")
    assert (await bulk.state(job, batch))["state"] == "Failed"


async def test_chunks_by_the_ids_of_the_parent(bulk, writer) -> None:
    org = bulk.api.org
    accounts = [writer.insert(org.schema.objects["Account"], {"Name": f"n{i}"}) for i in range(6)]
    for account in accounts:
        writer.insert(org.schema.objects["Contact"], {"LastName": "x", "AccountId": account})
    job = await bulk.job("query", name="Contact", **{"Sforce-Enable-PKChunking": "chunkSize=4; parent=Account"})
    await bulk.batch(job, "SELECT Id FROM Contact")
    listed = ElementTree.fromstring((await bulk.ask("GET", f"/job/{job}/batch")).content)
    assert [i.findtext(f"{NS}numberRecordsProcessed") for i in listed] == ["0", "4", "2"]


async def test_gzip_both_ways(bulk) -> None:
    job = await bulk.job("insert")
    body = gzip.compress(("Name\n" + "a\n" * 3000).encode())
    answer = await bulk.ask("POST", f"/job/{job}/batch", body, "text/csv", **{"Content-Encoding": "gzip"})
    batch = fields(answer)["id"]
    result = await bulk.ask("GET", f"/job/{job}/batch/{batch}/result", **{"Accept-Encoding": "gzip"})
    assert result.headers["content-encoding"] == "gzip"
    assert result.text.count('"true","true",""') == 3000
    spoilt = await bulk.ask("POST", f"/job/{job}/batch", b"nonsense", "text/csv", **{"Content-Encoding": "gzip"})
    assert spoilt.status_code == 400


async def test_upsert_by_an_external_id(bulk) -> None:
    fields_ = [{"name": "Key__c", "externalId": True, "idLookup": True, "unique": True}]
    await bulk.api.http.post("/_org/objects", json={"name": "T__c", "fields": fields_, "rows": [{"Name": "a"}]})
    extra = "<externalIdFieldName>Key__c</externalIdFieldName>"
    job = await bulk.job("upsert", name="T__c", extra=extra)
    assert fields(await bulk.ask("GET", f"/job/{job}"))["externalIdFieldName"] == "Key__c"
    _, first = await bulk.results(job, await bulk.batch(job, "key__C,Name\nk1,one\n"))
    _, second, third = await bulk.results(job, await bulk.batch(job, "Key__c,Name\nk1,two\n,three\n"))
    assert [first[1:3], second[:3]] == [["true", "true"], [first[0], "true", "false"]]
    assert third[3].startswith("MISSING_ARGUMENT:Key__c not specified")


async def test_jobs_that_take_a_while_are_seen_to(bulk) -> None:
    org = bulk.api.org
    org.clock.set(org.clock.now(), frozen=True)
    org.settings.bulk_job_s = 60
    job = await bulk.job("insert")
    batch, late = await bulk.batch(job, "Name\na\n"), await bulk.batch(job, "Name\nb\n")
    assert (await bulk.state(job, batch))["state"] == "Queued"
    early = await bulk.ask("GET", f"/job/{job}/batch/{batch}/result")
    assert (early.status_code, fields(early)["exceptionCode"]) == (400, "InvalidBatch")
    org.clock.advance(timedelta(seconds=20))
    assert (await bulk.state(job, batch))["state"] == "InProgress"
    aborted = await bulk.ask("POST", f"/job/{job}", '{"state":"Aborted"}', "application/json")
    assert aborted.json()["state"] == "Aborted"
    org.clock.advance(timedelta(seconds=60))
    assert {(await bulk.state(job, b))["state"] for b in (batch, late)} == {"NotProcessed"}
    assert len(org.table(org.schema.objects["Account"])) == 0
    job = await bulk.job("insert")
    batch = await bulk.batch(job, "Name\na\n")
    org.clock.advance(timedelta(seconds=61))
    assert (await bulk.state(job, batch))["state"] == "Completed"
    assert len(org.table(org.schema.objects["Account"])) == 1


async def test_open_jobs_end_after_a_day_and_are_forgotten_after_seven(bulk) -> None:
    job = await bulk.job("insert")
    bulk.api.org.clock.advance(timedelta(hours=25))
    await bulk.api.sign_in()
    bulk.token = bulk.api.http.headers["Authorization"].partition(" ")[2]
    assert fields(await bulk.ask("GET", f"/job/{job}"))["state"] == "Aborted"
    bulk.api.org.clock.advance(timedelta(days=6))
    await bulk.api.sign_in()
    bulk.token = bulk.api.http.headers["Authorization"].partition(" ")[2]
    assert fields(await bulk.ask("GET", f"/job/{job}"))["exceptionCode"] == "InvalidJob"


async def test_hard_deletes_need_their_permission(bulk) -> None:
    body = {"operation": "hardDelete", "object": "Account", "contentType": "JSON"}
    allowed = await bulk.ask("POST", "/job", json.dumps(body), "application/json")
    assert allowed.status_code == 201
    denied = {"permissions": {"BulkApiHardDelete": False}}
    assert (await bulk.api.http.post("/_org/users", json=denied)).status_code == 200
    refused = await bulk.ask("POST", "/job", json.dumps(body), "application/json")
    assert (refused.status_code, refused.json()["exceptionCode"]) == (400, "FeatureNotEnabled")
    modern = await bulk.api.http.post("/services/data/v62.0/jobs/ingest", json={**body, "contentType": "CSV"})
    assert (modern.status_code, modern.json()[0]["errorCode"]) == (400, "FEATURENOTENABLED")
