"""Scripted trouble: who meets it, what it does in each API's own words, and what a wrong script is told."""

import csv
import gzip
import io
import json
import zlib
from datetime import timedelta

import pytest

from holdfast.orgsim.faults.scenarios import scenarios

V = "/services/data/v62.0"


async def script(api, given):
    answer = await api.http.post("/_org/faults", json=given)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"effect": {"nope": 1}}, "effect.nope is unknown"),
        ({"effect": {}}, "effect must be an object"),
        ({"paht": "x", "effect": {"reset": True}}, "paht is unknown"),
        ({"path": "(", "effect": {"reset": True}}, "path is no regular expression"),
        ({"effect": {"latency_s": "long"}}, "effect.latency_s must be a number of seconds"),
        ({"effect": {"status": 9}}, "effect.status must be a whole number from 100 to 599"),
        ({"effect": {"drip": {"bytes": 1}}}, "effect.drip.every_s is missing"),
        ({"effect": {"error": "QUERY_TIMEOT"}}, "effect.error knows no sentence for QUERY_TIMEOT"),
        ({"effect": {"job": "fail"}}, "effect.job must be one of Failed, stuck"),
        ({"effect": {"rows": {"code": 1}}}, "effect.rows.code must be text"),
        ({"effect": {"lie": {"count": 0}}}, "effect.lie.count must be a whole number, not 0"),
        ({"effect": {"lie": {"lose": 1}}}, "effect.lie.lose is unknown"),
        ({"effect": {"read_only": True, "status": 500}}, "effect: rows and read_only concern saves"),
        ({"effect": {"describe": {"object": "Nope"}}}, "effect.describe.object: there is no object Nope"),
        ({"until": "2026-01-01", "effect": {"reset": True}}, "until must be a moment with its offset"),
        ({"rate": 2, "effect": {"reset": True}}, "rate must be a share"),
        ({"count": 0, "effect": {"reset": True}}, "count must be a whole number from 1"),
        ([{"effect": {"reset": True}}, {"effect": {"rset": 1}}], "faults[1].effect.rset is unknown"),
        ({"scenario": "none"}, "scenario 'none' is unknown; known are bad-network"),
        ({"faults": {}}, "faults must be a list"),
        (7, "a fault must be an object"),
    ],
)
async def test_a_wrong_script_is_refused_where_it_is_wrong(api, wrong: object, message: str) -> None:
    answer = await api.http.post("/_org/faults", json=wrong)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "BAD_FAULT")
    assert answer.json()[0]["message"].startswith(message)
    assert (await api.http.get("/_org/faults")).json() == []


@pytest.mark.parametrize("name", sorted(scenarios()))
async def test_every_scenario_can_be_set(api, name: str) -> None:
    assert await script(api, {"scenario": name})
    assert (await api.http.get("/_org/faults?scenarios")).json()[name]


async def test_errors_come_in_the_words_of_the_api_that_was_asked(api) -> None:
    await script(api, {"count": None, "effect": {"error": "REQUEST_LIMIT_EXCEEDED"}})
    rest = await api.http.get(f"{V}/limits")
    assert (rest.status_code, rest.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    classic = await api.http.get("/services/async/62.0/job/1", headers={"Content-Type": "application/json"})
    assert (classic.status_code, classic.json()["exceptionCode"]) == (400, "ExceededQuota")
    xml = await api.http.get("/services/async/62.0/job/1")
    assert "<exceptionCode>ExceededQuota</exceptionCode>" in xml.text
    soap = await api.http.post("/services/Soap/u/62.0", content=b"<a/>")
    assert (soap.status_code, "<faultcode>sf:REQUEST_LIMIT_EXCEEDED</faultcode>" in soap.text) == (500, True)
    oauth = await api.http.post("/services/oauth2/token")
    assert oauth.json()["error"] == "request_limit_exceeded"
    await api.http.delete("/_org/faults")
    await script(api, {"effect": {"error": {"code": "WEIRD_CODE", "status": 420, "message": "so"}}})
    weird = await api.http.get(f"{V}/limits")
    assert (weird.status_code, weird.json()) == (420, [{"message": "so", "errorCode": "WEIRD_CODE"}])
    await script(api, {"effect": {"error": "INVALID_SESSION_ID"}})
    gone = await api.http.get(f"{V}/limits")
    assert (gone.status_code, gone.headers["WWW-Authenticate"]) == (401, "Token")


async def test_a_fault_has_its_span_its_client_and_its_rate(api) -> None:
    api.org.clock.set(api.org.clock.now(), frozen=True)
    await script(api, {"after_s": 60, "for_s": 60, "count": None, "effect": {"status": 503}})
    seen = []
    for _ in range(3):
        seen.append((await api.http.get(f"{V}/limits")).status_code)
        api.org.clock.advance(timedelta(seconds=60))
    assert seen == [200, 503, 200]
    await api.http.delete("/_org/faults")
    await script(api, {"client": "^old/", "count": None, "effect": {"status": 503}})
    assert (await api.http.get(f"{V}/limits", headers={"User-Agent": "new/1"})).status_code == 200
    named = {"User-Agent": "x", "Sforce-Call-Options": "client=old/1, defaultNamespace=sf"}
    assert (await api.http.get(f"{V}/limits", headers=named)).status_code == 503
    await api.http.delete("/_org/faults?index=0")
    runs = []
    for _ in range(2):
        await script(api, {"seed": 7, "faults": [{"rate": 0.5, "count": None, "effect": {"status": 503}}]})
        runs.append([(await api.http.get(f"{V}/limits")).status_code for _ in range(12)])
        await api.http.delete("/_org/faults")
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}
    assert (await api.http.delete("/_org/faults?index=3")).status_code == 404


async def test_answers_are_cut_dripped_mislabelled_and_packed(api) -> None:
    whole = (await api.http.get(f"{V}/limits")).content
    await script(api, {"effect": {"truncate": 10}})
    assert (await api.http.get(f"{V}/limits")).content == whole[:10]
    await script(api, {"effect": {"drip": {"bytes": 100, "every_s": 0}, "content_type": "text/plain"}})
    dripped = await api.http.get(f"{V}/limits")
    assert (len(dripped.content), dripped.headers["content-type"]) == (len(whole), "text/plain")
    await script(api, {"effect": {"gzip": "unasked"}})
    request = api.http.build_request("GET", f"{V}/limits", headers={"Accept-Encoding": "identity"})
    packed = await api.http.send(request, stream=True)
    assert packed.headers["content-encoding"] == "gzip"
    raw = b"".join([piece async for piece in packed.aiter_raw()])
    assert gzip.decompress(raw).startswith(b'{"')
    await script(api, {"effect": {"gzip": "corrupt"}})
    spoilt = await api.http.send(api.http.build_request("GET", f"{V}/limits"), stream=True)
    raw = b"".join([piece async for piece in spoilt.aiter_raw()])
    with pytest.raises((OSError, EOFError, zlib.error)):
        gzip.decompress(raw)


async def test_some_rows_cannot_be_locked(api) -> None:
    fault = {"skip": 1, "count": 2, "effect": {"rows": {"code": "UNABLE_TO_LOCK_ROW", "object": "Account"}}}
    await script(api, fault)
    records = [{"attributes": {"type": "Account"}, "Name": f"n{i}"} for i in range(5)]
    answer = (await api.http.post(f"{V}/composite/sobjects", json={"records": records})).json()
    assert [r["success"] for r in answer] == [True, False, False, True, True]
    assert answer[1]["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"
    assert (await api.http.get("/_org/faults")).json()[0]["applied"] == 2
    await api.http.delete("/_org/faults")
    deleting = {"effect": {"rows": {"code": "UNABLE_TO_LOCK_ROW", "operations": ["delete"]}}}
    await script(api, deleting)
    url = f"{V}/sobjects/Account/{answer[0]['id']}"
    assert (await api.http.patch(url, json={"Fax": "1"})).status_code == 204
    assert (await api.http.delete(url)).json()[0]["errorCode"] == "UNABLE_TO_LOCK_ROW"
    assert (await api.http.delete(url)).status_code == 204


async def test_a_read_only_org_is_read(api) -> None:
    made = (await api.http.post(f"{V}/sobjects/Account", json={"Name": "a"})).json()["id"]
    await script(api, {"effect": {"read_only": True}})
    code = "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"
    for method, path, body in [
        ("POST", "Account", {"Name": "b"}),
        ("PATCH", f"Account/{made}", {"Name": "b"}),
        ("DELETE", f"Account/{made}", None),
    ]:
        answer = await api.http.request(method, f"{V}/sobjects/{path}", json=body)
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)
    assert (await api.query("SELECT Name FROM Account")).json()["records"][0]["Name"] == "a"
    token = api.http.headers["Authorization"].partition(" ")[2]
    await api.http.delete("/_org/faults")
    binned = (await api.http.post(f"{V}/sobjects/Account", json={"Name": "x"})).json()["id"]
    await api.http.delete(f"{V}/sobjects/Account/{binned}")
    await script(api, {"effect": {"read_only": True}})
    envelope = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header><SessionHeader><sessionId>'
        f"{token}</sessionId></SessionHeader><CallOptions><client>old/1</client></CallOptions></s:Header>"
        f"<s:Body><undelete><ids>{binned}</ids></undelete></s:Body></s:Envelope>"
    )
    refused = await api.http.post("/services/Soap/u/60.0", content=envelope)
    assert code in refused.text
    assert binned in api.org.recycle_bin
    assert api.org.accounting.by_client["old/1"].calls == 1
    await api.http.delete("/_org/faults")
    assert (await api.http.patch(f"{V}/sobjects/Account/{made}", json={"Name": "b"})).status_code == 204


async def test_the_daily_limit_is_used_up_until_a_chosen_time(api) -> None:
    api.org.clock.set(api.org.clock.now(), frozen=True)
    until = (api.org.clock.now() + timedelta(hours=1)).isoformat()
    await script(api, {"path": "/limits$", "effect": {"daily_limit": {"until": until}}})
    answer = await api.http.get(f"{V}/limits")
    assert (answer.status_code, answer.json()[0]["message"]) == (403, "TotalRequests Limit exceeded.")
    assert answer.headers["Sforce-Limit-Info"] == "api-usage=100000/100000"
    api.org.clock.advance(timedelta(minutes=59))
    assert (await api.query("SELECT Id FROM Account")).status_code == 403
    api.org.clock.advance(timedelta(minutes=1))
    limits = (await api.http.get(f"{V}/limits")).json()
    assert limits["DailyApiRequests"]["Remaining"] > 99_000


async def test_too_many_long_requests_at_once(api) -> None:
    await script(api, {"effect": {"concurrent_requests": {"limit": 2, "longer_than_s": 20}}})
    crowd, now = api.app.faults.crowd, api.org.clock.now()
    with crowd.running(now), crowd.running(now):
        assert (await api.http.get(f"{V}/limits")).status_code == 200
        api.org.clock.advance(timedelta(seconds=21))
        answer = await api.http.get(f"{V}/limits")
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
        assert answer.json()[0]["message"].startswith("ConcurrentRequests (Concurrent API Requests)")
    assert (await api.http.get(f"{V}/limits")).status_code == 200


async def test_fields_come_go_and_change_between_two_looks(api) -> None:
    def change(skip: int, **what) -> dict:
        return {"path": "/Account/describe", "skip": skip, "effect": {"describe": {"object": "Account", **what}}}

    await script(
        api,
        [
            change(1, add={"name": "Sudden__c", "type": "double"}),
            change(2, remove="Fax"),
            change(3, retype={"name": "Sudden__c", "type": "string"}),
        ],
    )
    seen = []
    for _ in range(5):
        fields = (await api.http.get(f"{V}/sobjects/Account/describe")).json()["fields"]
        kinds = {f["name"]: f["type"] for f in fields}
        seen.append((kinds.get("Sudden__c"), "Fax" in kinds))
    assert seen == [(None, True), ("double", True), ("double", False), ("string", False), ("string", False)]
    assert (await api.query("SELECT Fax FROM Account")).json()[0]["errorCode"] == "INVALID_FIELD"


async def test_ingest_jobs_fail_half_way_or_hang(api) -> None:
    async def run(rows: str) -> str:
        body = {"operation": "insert", "object": "Account"}
        job = (await api.http.post(f"{V}/jobs/ingest", json=body)).json()["id"]
        await api.http.put(f"{V}/jobs/ingest/{job}/batches", content=rows)
        await api.http.patch(f"{V}/jobs/ingest/{job}", json={"state": "UploadComplete"})
        return f"{V}/jobs/ingest/{job}"

    effect = {"job": {"state": "Failed", "after_rows": 2, "message": "InternalServerError : so"}}
    await script(api, {"method": "POST", "path": "/jobs/ingest$", "effect": effect})
    job = await run("Name\na\nb\nc\n")
    info = (await api.http.get(job)).json()
    assert (info["state"], info["errorMessage"]) == ("Failed", "InternalServerError : so")
    assert (await api.http.get(f"{job}/successfulResults")).text.count("true") == 2
    assert (await api.http.get(f"{job}/unprocessedrecords")).text == '"Name"\n"c"\n'
    assert (await api.query("SELECT COUNT() FROM Account")).json()["totalSize"] == 2
    await script(api, {"method": "PATCH", "path": "/jobs/ingest/750", "effect": {"job": "stuck"}})
    job = await run("Name\nd\n")
    assert [(await api.http.get(job)).json()["state"] for _ in range(2)] == ["InProgress"] * 2
    assert (await api.http.patch(job, json={"state": "Aborted"})).json()["state"] == "Aborted"
    assert (await api.query("SELECT COUNT() FROM Account")).json()["totalSize"] == 2


async def test_classic_batches_fail_or_hang(api) -> None:
    headers = {"X-SFDC-Session": api.http.headers["Authorization"].partition(" ")[2]}
    base = "/services/async/62.0/job"

    async def run() -> list[dict]:
        body = {"operation": "insert", "object": "Account", "contentType": "JSON"}
        job = (await api.http.post(base, json=body, headers=headers)).json()["id"]
        await api.http.post(f"{base}/{job}/batch", json=[{"Name": "a"}], headers=headers)
        answer = await api.http.get(f"{base}/{job}/batch", headers=headers)
        return answer.json()["batchInfo"]

    await script(api, {"path": "/async/62.0/job$", "effect": {"job": "Failed"}})
    (batch,) = await run()
    assert (batch["state"], "Retried more" in batch["stateMessage"]) == ("Failed", True)
    await script(api, {"path": "/async/62.0/job$", "effect": {"job": "stuck"}})
    (batch,) = await run()
    assert batch["state"] == "InProgress"
    assert (await api.query("SELECT COUNT() FROM Account")).json()["totalSize"] == 0
    (batch,) = await run()
    assert batch["state"] == "Completed"


async def test_a_save_commits_late(api) -> None:
    await script(api, {"method": "POST", "path": "/sobjects/Account$", "effect": {"commit_late_s": 300}})
    made = await api.http.post(f"{V}/sobjects/Account", json={"Name": "late"})
    assert made.status_code == 201
    assert (await api.query("SELECT Name FROM Account")).json()["records"] == []
    await api.http.post(f"{V}/sobjects/Account", json={"Name": "prompt"})
    api.org.clock.advance(timedelta(seconds=301))
    found = (await api.query("SELECT Name, SystemModstamp FROM Account")).json()["records"]
    stamps = {r["Name"]: r["SystemModstamp"] for r in found}
    assert stamps["late"] <= stamps["prompt"]
    ledger = (await api.http.get("/_org/ledger?object=Account")).text.splitlines()
    assert [json.loads(line)["values"]["Name"] for line in ledger] == ["prompt", "late"]
    wrong = await api.http.post("/_org/faults", json={"effect": {"commit_late_s": 601}})
    assert wrong.json()[0]["message"] == "effect.commit_late_s must be 600 seconds at most"


async def bulk_names(api, lie) -> tuple[list[str], dict]:
    body = {"operation": "query", "query": "SELECT Name FROM Account"}
    job = (await api.http.post(f"{V}/jobs/query", json=body)).json()["id"]
    await api.http.get(f"{V}/jobs/query/{job}")
    await script(api, {"path": "/results", "effect": {"lie": lie}})
    answer = await api.http.get(f"{V}/jobs/query/{job}/results", params={"maxRecords": "2"})
    return list(csv.reader(io.StringIO(answer.text))), answer.headers


@pytest.mark.parametrize(
    ("lie", "names"),
    [
        ({"drop": 1}, ["a\nb"]),
        ({"repeat": 1}, ["a\nb", "c", "c"]),
        ({"reorder": True}, ["c", "a\nb"]),
        ({"header_twice": True}, ["Name", "a\nb", "c"]),
        ({"last_page": True}, ["a\nb", "c"]),
    ],
)
async def test_a_page_of_a_bulk_result_lies_and_its_headers_fit(api, lie: dict, names: list[str]) -> None:
    for name in ("a\nb", "c", "d"):
        await api.http.post(f"{V}/sobjects/Account", json={"Name": name})
    rows, headers = await bulk_names(api, lie)
    assert rows == [["Name"], *([name] for name in names)]
    assert int(headers["sforce-numberofrecords"]) == len(names) - ("header_twice" in lie)
    assert (headers["sforce-locator"] == "null") is ("last_page" in lie)


async def test_a_query_and_its_count_lie_alone_and_in_a_composite_request(api) -> None:
    for name in ("a", "b"):
        await api.http.post(f"{V}/sobjects/Account", json={"Name": name})
    count, names = "SELECT COUNT() FROM Account", "SELECT Name FROM Account"
    await script(
        api, [{"path": "/query", "effect": {"lie": {"count": 1}}}, {"path": "/query", "effect": {"lie": {"drop": 1}}}]
    )
    assert (await api.http.get(f"{V}/query", params={"q": count})).json()["totalSize"] == 3
    found = (await api.http.get(f"{V}/query", params={"q": names})).json()
    assert (found["totalSize"], [row["Name"] for row in found["records"]]) == (1, ["a"])
    parts = [
        {"method": "GET", "url": f"{V}/query?q={soql}", "referenceId": f"r{n}"} for n, soql in enumerate((count, names))
    ]
    await script(api, {"path": "/composite$", "effect": {"lie": {"count": -1, "last_page": True}}})
    answers = (await api.http.post(f"{V}/composite", json={"compositeRequest": parts})).json()["compositeResponse"]
    assert [each["body"]["totalSize"] for each in answers] == [1, 2]
