"""The wire: status, headers and body shapes, without a socket."""

import base64
import csv
import io
from datetime import timedelta
from importlib import resources

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import RSAKey

from holdfast.orgsim.fields import FIELD_DEFAULTS

V = "/services/data/v62.0"


async def create(api, name: str, **values) -> str:
    answer = await api.http.post(f"{V}/sobjects/{name}", json=values)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_client_credentials_in_the_body_and_as_basic(api) -> None:
    body = {"grant_type": "client_credentials", "client_id": api.org.app.client_id, "client_secret": "secret"}
    answer = (await api.http.post("/services/oauth2/token", data=body)).json()
    assert set(answer) == {"access_token", "scope", "instance_url", "id", "token_type", "signature", "issued_at"}
    assert answer["access_token"].startswith(api.org.id[:15] + "!")
    basic = base64.b64encode(f"{api.org.app.client_id}:secret".encode()).decode()
    form = {"grant_type": "client_credentials"}
    answer = await api.http.post("/services/oauth2/token", data=form, headers={"Authorization": f"Basic {basic}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [({"grant_type": "client_credentials", "client_secret": "secret", "client_id": "x"}, "invalid_client_id"),
     ({"grant_type": "client_credentials", "client_id": "3MVG9holdfast.orgsim.connected.app"}, "invalid_client"),
     ({"grant_type": "telepathy"}, "unsupported_grant_type"), ({}, "unsupported_grant_type"),
     ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "x"}, "invalid_grant")],
)  # fmt: skip
async def test_token_errors_are_objects_with_400(api, form, error: str) -> None:
    answer = await api.http.post("/services/oauth2/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert "error_description" in answer.json()


@pytest.mark.parametrize("exp", ["1700000000", 1795397143908, 0])
async def test_jwt_bearer_is_lenient_about_exp(api, exp: object) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    api.org.app.public_key_pem = public.decode()
    claims = {"iss": api.org.app.client_id, "sub": api.org.admin.username, "aud": "https://login.salesforce.com",
              "exp": exp}  # fmt: skip
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    good = jwt.encode({"alg": "RS256"}, claims, RSAKey.import_key(pem), algorithms=["RS256"])
    answer = await api.http.post("/services/oauth2/token", data={**form, "assertion": good})
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"access_token", "scope", "instance_url", "id", "token_type"}
    head, payload, signature = good.split(".")
    forged = ".".join([head, payload, signature[::-1]])
    answer = await api.http.post("/services/oauth2/token", data={**form, "assertion": forged})
    assert answer.json() == {"error": "invalid_grant", "error_description": "invalid assertion"}


async def test_an_expired_or_missing_session_is_401(api) -> None:
    api.org.clock.advance(timedelta(hours=2, seconds=1))
    answer = await api.http.get(f"{V}/limits")
    assert answer.status_code == 401
    assert answer.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
    assert answer.headers["WWW-Authenticate"] == "Token"
    await api.sign_in()
    assert (await api.http.get(f"{V}/limits")).status_code == 200
    token = api.http.headers["Authorization"].split()[1]
    assert (await api.http.post("/services/oauth2/revoke", data={"token": token})).status_code == 200
    assert (await api.http.get("/services/oauth2/userinfo")).text == "Bad_OAuth_Token"


async def test_versions_need_no_session_and_cost_nothing(api) -> None:
    used = api.org.accounting.total
    answer = await api.http.get("/services/data/", headers={"Authorization": ""})
    assert answer.json()[-1] == {"label": "Winter '27", "url": "/services/data/v68.0", "version": "68.0"}
    assert "sforce-limit-info" not in answer.headers
    assert api.org.accounting.total == used


async def test_limit_info_counts_and_the_limit_refuses(api) -> None:
    api.org.accounting.limit = 2
    answer = await api.http.get(V)
    assert answer.headers["Sforce-Limit-Info"] == "api-usage=1/2"
    assert (await api.http.get(f"{V}/limits")).json()["DailyApiRequests"] == {"Max": 2, "Remaining": 0}
    answer = await api.http.get(V)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    api.org.clock.advance(timedelta(hours=24, minutes=1))
    await api.sign_in()
    assert (await api.http.get(V)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/services/data/v62.0/nope", 404, "NOT_FOUND"),
     ("PUT", "/services/data/v62.0/limits", 405, "METHOD_NOT_ALLOWED"),
     ("GET", "/services/data/v99.0/limits", 404, "NOT_FOUND"),
     ("GET", "/services/data/v24.0/limits", 410, "UNSUPPORTED_API_VERSION"),
     ("GET", "/services/data/v62.0/sobjects/Nope/describe", 404, "NOT_FOUND"),
     ("GET", "/services/data/v62.0/query", 400, "MALFORMED_QUERY"),
     ("GET", "/services/data/v62.0/query/0r8Hs0000000001IAA-2000", 400, "INVALID_QUERY_LOCATOR"),
     ("GET", "/services/data/v62.0/sobjects/Account/001Hs0000099999AAA", 404, "NOT_FOUND"),
     ("POST", "/services/data/v62.0/sobjects/Account", 400, "JSON_PARSER_ERROR")],
)  # fmt: skip
async def test_errors_are_arrays(api, method: str, path: str, status: int, code: str) -> None:
    answer = await api.http.request(method, path)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (status, code)
    assert answer.headers["content-type"] == "application/json;charset=UTF-8"


@pytest.mark.parametrize("path", ["/services/data/v62.0//query/", "http://org//services/data/v37.0/query//"])
async def test_doubled_and_trailing_slashes(api, path: str) -> None:
    answer = await api.http.get(path, params={"q": "SELECT COUNT() FROM Account"})
    assert answer.json() == {"totalSize": 0, "done": True, "records": []}


@pytest.mark.parametrize(
    "name", ["Account", "Case", "Contact", "Event", "Lead", "Opportunity", "OpportunityContactRole"]
)
async def test_a_pristine_describe_equals_the_recording(api, name: str) -> None:
    recorded = orjson.loads((resources.files("holdfast.orgsim") / "recorded" / f"{name}.json").read_bytes())
    assert (await api.http.get(f"{V}/sobjects/{name}/describe")).json() == recorded
    assert {key for f in recorded["fields"] for key in f} == set(FIELD_DEFAULTS)


async def test_describe_answers_304_until_it_changes(api) -> None:
    answer = await api.http.get(f"{V}/sobjects/Account/describe")
    for headers in ({"If-None-Match": answer.headers["ETag"]}, {"If-Modified-Since": answer.headers["Last-Modified"]}):
        again = await api.http.get(f"{V}/sobjects/Account/describe", headers=headers)
        assert (again.status_code, again.content) == (304, b"")
    api.org.admin.hidden_fields = frozenset({("Account", "Fax")})
    fresh = await api.http.get(f"{V}/sobjects/Account/describe", headers={"If-None-Match": answer.headers["ETag"]})
    assert fresh.status_code == 200
    assert "Fax" not in {f["name"] for f in fresh.json()["fields"]}


async def test_every_object_of_describe_global_can_be_described(api) -> None:
    listed = (await api.http.get(f"{V}/sobjects")).json()["sobjects"]
    api.org.schema.define("Thing__c")
    for entry in listed:
        if entry["queryable"]:
            answer = await api.http.get(f"{V}/sobjects/{entry['name']}/describe")
            assert answer.status_code == 200, entry["name"]
    names = {e["name"] for e in (await api.http.get(f"{V}/sobjects")).json()["sobjects"]}
    assert {"Thing__c", "Account", "Event"} <= names


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


async def test_gzip_only_for_those_who_ask(api) -> None:
    plain = await api.http.get(f"{V}/sobjects/Account/describe", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    packed = await api.http.get(f"{V}/sobjects/Account/describe", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()


async def test_faults_strike_by_method_route_and_count(api) -> None:
    fault = {"method": "GET", "path": "/limits$", "skip": 1, "count": 2, "effect": {"status": 503, "body": "down"}}
    assert (await api.http.post("/_org/faults", json=fault)).status_code == 200
    seen = [(await api.http.get(f"{V}/limits")).status_code for _ in range(4)]
    assert seen == [200, 503, 503, 200]
    await api.http.delete("/_org/faults")
    await api.http.post("/_org/faults", json={"effect": {"html": True}})
    answer = await api.http.get(V)
    assert (answer.status_code, answer.headers["content-type"][:9]) == (503, "text/html")
    await api.http.post("/_org/faults", json={"effect": {"expire_sessions": True}})
    assert (await api.http.get(V)).status_code == 401
    assert (await api.http.post("/_org/faults", json={"effect": {"nope": 1}})).status_code == 400


async def test_bulk_jobs_can_fail_and_hang(api) -> None:
    body = {"operation": "query", "query": "SELECT Id FROM Account"}
    for how, state in (("Failed", "Failed"), ("stuck", "InProgress")):
        job = (await api.http.post(f"{V}/jobs/query", json=body)).json()["id"]
        await api.http.post("/_org/faults", json={"path": "/jobs/query/", "effect": {"job": how}})
        assert (await api.http.get(f"{V}/jobs/query/{job}")).json()["state"] == state
        assert (await api.http.get(f"{V}/jobs/query/{job}")).json()["state"] == state


async def test_admin_defines_objects_and_loads_strange_rows(api) -> None:
    rows = [{"Name": "NA", "T__c": "null", "D__c": "123456789012345678", "B__c": True, "L__c": "a\r\nb\x00" * 9},
            {"Name": "00123", "T__c": "1e3", "When__c": "1700-01-01T00:00:00Z"}]  # fmt: skip
    fields = [{"name": "T__c"}, {"name": "D__c", "type": "double"}, {"name": "B__c", "type": "boolean"},
              {"name": "L__c", "type": "textarea"}, {"name": "When__c", "type": "datetime"}]  # fmt: skip
    answer = await api.http.post("/_org/objects", json={"name": "S__c", "fields": fields, "rows": rows})
    ids = answer.json()["ids"]
    state = [orjson.loads(line) for line in (await api.http.get("/_org/state?object=S__c")).content.splitlines()]
    assert [r["Id"] for r in state] == ids
    assert [r["Name"] for r in state] == ["NA", "00123"]
    assert (state[0]["D__c"], state[0]["L__c"], state[0]["B__c"]) == ("123456789012345678.0", "a\r\nb\x00" * 9, "true")
    assert (state[1]["B__c"], state[1]["When__c"]) == ("false", "1700-01-01T00:00:00.000Z")
    ledger = [orjson.loads(line) for line in (await api.http.get("/_org/ledger?object=S__c")).content.splitlines()]
    assert [(e["op"], e["rows"]) for e in ledger] == [("loaded", 2)]
    await api.http.patch(f"{V}/sobjects/S__c/{ids[0]}", json={"T__c": ""})
    since = ledger[-1]["seq"]
    entry = orjson.loads((await api.http.get(f"/_org/ledger?since={since}")).content)
    assert (entry["op"], entry["before"]["T__c"], entry["values"]["T__c"]) == ("update", "null", None)
