"""The life of Bulk 2.0 jobs: states, lists, refusals, what is left of jobs that end badly."""

from datetime import timedelta

import pytest

from holdfast.orgsim.api.bulk2 import processing

V = "/services/data/v62.0"


async def make_ingest(api, rows: str | None, **body) -> str:
    job = (await api.http.post(f"{V}/jobs/ingest", json={"object": "Account", "operation": "insert", **body})).json()
    if rows is not None:
        await api.http.put(f"{V}/jobs/ingest/{job['id']}/batches", content=rows, headers={"Content-Type": "text/csv"})
    return job["id"]


async def info(api, job: str, kind: str = "ingest") -> dict:
    return (await api.http.get(f"{V}/jobs/{kind}/{job}")).json()


async def files(api, job: str) -> list[str]:
    names = ("successfulResults", "failedResults", "unprocessedrecords")
    return [(await api.http.get(f"{V}/jobs/ingest/{job}/{name}")).text for name in names]


@pytest.fixture
def slow(api):
    """Jobs take a minute of the org's clock, which stands still."""
    api.org.clock.set(api.org.clock.now(), frozen=True)
    api.org.settings.bulk_job_s = 60
    return lambda seconds: api.org.clock.advance(timedelta(seconds=seconds))


async def test_a_query_job_is_seen_in_all_its_states(api, slow) -> None:
    body = {"operation": "query", "query": "SELECT Id FROM Account"}
    job = (await api.http.post(f"{V}/jobs/query", json=body)).json()["id"]
    seen = []
    for seconds in (0, 20, 39, 1):
        slow(seconds)
        seen.append((await info(api, job, "query"))["state"])
        results = await api.http.get(f"{V}/jobs/query/{job}/results")
        assert results.status_code == (200 if seen[-1] == "JobComplete" else 400)
    assert seen == ["UploadComplete", "InProgress", "InProgress", "JobComplete"]
    done = await info(api, job, "query")
    assert (done["totalProcessingTime"], done["retries"], done["jobType"]) == (60_000, 0, "V2Query")
    job = (await api.http.post(f"{V}/jobs/query", json=body)).json()["id"]
    assert (await api.http.delete(f"{V}/jobs/query/{job}")).status_code == 400
    assert (await api.http.patch(f"{V}/jobs/query/{job}", json={"state": "Aborted"})).json()["state"] == "Aborted"
    slow(61)
    assert (await info(api, job, "query"))["state"] == "Aborted"


async def test_an_ingest_job_saves_when_its_time_has_come(api, slow) -> None:
    job = await make_ingest(api, "Name\na\n")
    assert (await info(api, job))["state"] == "Open"
    await api.http.patch(f"{V}/jobs/ingest/{job}", json={"state": "UploadComplete"})
    again = await api.http.patch(f"{V}/jobs/ingest/{job}", json={"state": "UploadComplete"})
    assert again.json()[0]["errorCode"] == "INVALIDJOBSTATE"
    slow(59)
    assert (await info(api, job))["state"] == "InProgress"
    assert (await api.http.get(f"{V}/jobs/ingest/{job}/successfulResults")).status_code == 400
    assert (await api.query("SELECT COUNT() FROM Account")).json()["totalSize"] == 0
    slow(1)
    assert (await api.query("SELECT COUNT() FROM Account")).json()["totalSize"] == 1
    assert (await info(api, job))["state"] == "JobComplete"


async def test_an_aborted_job_leaves_every_row_unprocessed(api, slow) -> None:
    job = await make_ingest(api, "Name,Fax\na,1\n")
    await api.http.patch(f"{V}/jobs/ingest/{job}", json={"state": "UploadComplete"})
    slow(30)
    await api.http.patch(f"{V}/jobs/ingest/{job}", json={"state": "Aborted"})
    slow(60)
    assert (await info(api, job))["state"] == "Aborted"
    assert (await api.query("SELECT COUNT() FROM Account")).json()["totalSize"] == 0
    header = '"sf__Id","sf__{}","Name","Fax"\n'
    assert await files(api, job) == [header.format("Created"), header.format("Error"), "Name,Fax\na,1\n"]
    assert (await api.http.delete(f"{V}/jobs/ingest/{job}")).status_code == 204


async def test_rows_can_come_with_the_job(api) -> None:
    mark, job = "BOUNDARY", '{"object":"Account","operation":"insert","contentType":"CSV"}'

    async def send(rows: str):
        body = (
            f'--{mark}\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name="job"\r\n\r\n{job}\r\n'
            f'--{mark}\r\nContent-Type: text/csv\r\nContent-Disposition: form-data; name="content"; filename="content"'
            f"\r\n\r\n{rows}\r\n--{mark}--\r\n"
        )
        headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        return await api.http.post(f"{V}/jobs/ingest", content=body, headers=headers)

    made = await send("Name\na\nb\n")
    assert (made.status_code, made.json()["state"]) == (200, "UploadComplete")
    assert (await info(api, made.json()["id"]))["numberRecordsProcessed"] == 2
    large = await send("Name\n" + "a" * 100_001)
    assert (large.status_code, large.json()[0]["errorCode"]) == (400, "INVALIDBATCH")


async def test_jobs_are_listed_by_the_thousand(api) -> None:
    for _ in range(1001):
        await make_ingest(api, None)
    page = (await api.http.get(f"{V}/jobs/ingest")).json()
    assert (len(page["records"]), page["done"]) == (1000, False)
    rest = (await api.http.get(page["nextRecordsUrl"])).json()
    assert (len(rest["records"]), rest["done"], rest["nextRecordsUrl"]) == (1, True, None)
    assert (await api.http.get(f"{V}/jobs/query")).json()["records"] == []
    assert (await api.http.get(f"{V}/jobs/ingest?queryLocator=%C3%A4")).status_code == 400


async def test_classic_jobs_are_listed_too(api) -> None:
    token = api.http.headers["Authorization"].partition(" ")[2]
    headers = {"X-SFDC-Session": token, "Sforce-Enable-PKChunking": "true"}
    body = {"operation": "query", "object": "Account", "contentType": "CSV", "concurrencyMode": "Serial"}
    classic = (await api.http.post("/services/async/62.0/job", json=body, headers=headers)).json()["id"]
    query = {"operation": "query", "query": "SELECT Id FROM Account"}
    modern = (await api.http.post(f"{V}/jobs/query", json=query)).json()["id"]

    async def listed(**params: str) -> list[str]:
        found = (await api.http.get(f"{V}/jobs/query", params=params)).json()["records"]
        return [(job["id"]) for job in found]

    assert await listed() == [classic, modern]
    assert await listed(jobType="Classic") == await listed(isPkChunkingEnabled="true") == [classic]
    assert await listed(jobType="V2Query") == await listed(concurrencyMode="Parallel") == [modern]


async def test_other_users_jobs_and_old_ones_are_not_found(api) -> None:
    job = await make_ingest(api, None)
    assert (await api.http.get(f"{V}/jobs/ingest/{job}")).status_code == 200
    await api.http.post("/_org/users", json={"username": "other@holdfast.test"})
    other = api.org.sessions.open(api.org.users["other@holdfast.test"], api.org.clock.now()).token
    answer = await api.http.get(f"{V}/jobs/ingest/{job}", headers={"Authorization": f"Bearer {other}"})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (404, "NOT_FOUND")
    assert (await api.http.get(f"{V}/jobs/query/{job}")).status_code == 404
    api.org.clock.advance(timedelta(days=7))
    await api.sign_in()
    assert (await api.http.get(f"{V}/jobs/ingest/{job}")).status_code == 404


async def test_ingest_jobs_fail_as_a_whole(api) -> None:
    for rows, message in [
        ("Name,Nope__c\na,b\n", "InvalidBatch : Field name not found : Nope__c"),
        ("Name\r\na\r\n", "LineEnding is invalid on user data"),
    ]:
        job = await make_ingest(api, rows)
        await api.http.patch(f"{V}/jobs/ingest/{job}", json={"state": "UploadComplete"})
        failed = await info(api, job)
        assert failed["state"] == "Failed"
        assert message in failed["errorMessage"]
        assert (await files(api, job))[2] == rows
    api.org.accounting.batches.set_used(15_000, api.org.clock.now())
    job = await make_ingest(api, "Name\na\n")
    await api.http.patch(f"{V}/jobs/ingest/{job}", json={"state": "UploadComplete"})
    assert (await info(api, job))["errorMessage"] == "ExceededQuota : ApiBatchItems Limit exceeded."


async def test_every_ten_thousand_rows_are_a_batch(api, monkeypatch) -> None:
    monkeypatch.setattr(processing, "SLICE_ROWS", 10)
    job = await make_ingest(api, "Id\n" + "001000000000000AAA\n" * 11, operation="delete")
    await api.http.patch(f"{V}/jobs/ingest/{job}", json={"state": "UploadComplete"})
    assert (await info(api, job))["numberRecordsFailed"] == 11
    assert api.org.accounting.batches.used(api.org.clock.now()) == 2


async def test_objects_that_only_rest_can_read(api) -> None:
    await api.http.post("/_org/objects", json={"name": "TaskStatus"})
    body = {"operation": "query", "query": "SELECT Id FROM TaskStatus"}
    answer = await api.http.post(f"{V}/jobs/query", json=body)
    assert answer.json()[0]["message"] == "Entity 'TaskStatus' is not supported by the Bulk API."
    answer = await api.http.post(f"{V}/jobs/ingest", json={"operation": "insert", "object": "TaskStatus"})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALIDENTITY")
