"""Bad input gets a clear problem, and leaves nothing half-made."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
import structlog

from holdfast.common.errors import HoldfastError, Kind

JSON = {"Content-Type": "application/json"}


def problem(answer, status: int, code: str) -> dict:
    """The answer's problem, having checked that it is one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["type"] == f"/problems/{code}" and found["code"] == code
    assert found["status"] == status and found["detail"] and found["title"]
    return found


async def test_malformed_json(world, api):
    answer = await api.post("/v1/jobs", content=b'{"name": ', headers=JSON)
    problem(answer, 400, "malformed-json")
    answer = await api.post("/v1/jobs", content=b"[" * 200_000, headers=JSON)
    problem(answer, 400, "malformed-json")
    assert world.scheduler.jobs == {}


async def test_body_that_is_not_json_at_all(api):
    answer = await api.post("/v1/jobs", content=b"name=x", headers={"Content-Type": "text/plain"})
    problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "x" * 81}, "name"),
        ({"name": ""}, "name"),
        ({"name": " padded "}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "nul\x00"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": 7}, "name"),
        ({"objects": ["Account", "x" * 101]}, "objects.1"),
        ({"objects": ["A; DROP TABLE"]}, "objects.0"),
        ({"cron": "x" * 101}, "cron"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_invalid_fields_are_named(world, api, change, field):
    body = {"name": "Nightly", "connection": "Production"} | change
    answer = await api.post("/v1/jobs", content=json.dumps(body).encode(), headers=JSON)
    found = problem(answer, 422, "invalid")
    assert found["errors"][0]["field"] == field and found["errors"][0]["location"] == "body"
    assert world.scheduler.jobs == {}


async def test_refused_secret_is_not_echoed(api):
    body = {"name": "P", "login_url": "https://x", "client_id": "c", "secret": ["hunter2"], "flow": "hunter3"}
    answer = await api.post("/v1/connections", json=body)
    problem(answer, 422, "invalid")
    assert "hunter" not in answer.text


async def _connect(api):
    body = {
        "name": "Production",
        "login_url": "https://acme.my.salesforce.com",
        "client_id": "c",
        "secret": "s",
    }
    return await api.post("/v1/connections", json=body)


async def test_empty_selection(world, api):
    await _connect(api)
    answer = await api.post("/v1/jobs", json={"name": "Nightly", "connection": "Production", "objects": []})
    found = problem(answer, 422, "empty-selection")
    assert "mpty selection" in found["detail"]
    assert world.scheduler.jobs == {}


async def test_unknown_objects(world, api):
    await _connect(api)
    body = {"name": "Nightly", "connection": "Production", "objects": ["Account", "Acount"]}
    found = problem(await api.post("/v1/jobs", json=body), 422, "unknown-object")
    assert "'Acount'" in found["detail"] and found["errors"][0]["field"] == "objects.1"
    assert world.scheduler.jobs == {}


async def test_unknown_things(api):
    problem(await api.get(f"/v1/runs/{uuid4()}"), 404, "not-found")
    problem(await api.get("/v1/runs/yesterday"), 404, "run-not-found")
    problem(await api.get("/v1/runs/yesterday/changes"), 404, "run-not-found")
    problem(await api.get("/v1/jobs/Nope"), 404, "not-found")
    problem(await api.post("/v1/jobs/Nope/runs"), 404, "not-found")
    problem(await api.post("/v1/jobs", json={"name": "N", "connection": "Nope"}), 404, "not-found")
    problem(await api.get(f"/v1/verifications/{uuid4()}"), 404, "verification-not-found")
    problem(await api.get("/v1/nothing"), 404, "not-found")
    problem(await api.get("/"), 404, "not-found")


async def test_wrong_method(api):
    answer = await api.delete("/v1/jobs")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"]


async def test_duplicate_job_name(world, api):
    await _connect(api)
    body = {"name": "Nightly", "connection": "Production"}
    assert (await api.post("/v1/jobs", json=body)).status_code == 201
    found = problem(await api.post("/v1/jobs", json=body), 409, "name-taken")
    assert "'Nightly'" in found["detail"]
    assert len(world.scheduler.jobs) == 1


@pytest.mark.parametrize("cursor", ["x", "!!!", "AAAA", "é", "x" * 2049, ""])
async def test_bad_cursor(api, cursor):
    answer = await api.get("/v1/runs", params={"cursor": cursor})
    found = problem(answer, 422, "bad-cursor" if len(cursor) < 2049 else "invalid")
    assert (found["errors"][0]["location"], found["errors"][0]["field"]) == ("query", "cursor")


async def test_cursor_of_another_listing(world, api):
    job, other = await world.job("one"), await world.job("two")
    for _ in range(3):
        await world.run(job)
        await world.run(other)
    cursor = (await api.get("/v1/jobs/one/runs", params={"page_size": 1})).json()["next_cursor"]
    problem(await api.get("/v1/jobs/two/runs", params={"cursor": cursor}), 422, "bad-cursor")


@pytest.mark.parametrize("size", ["0", "201", "-1", "many"])
async def test_page_size_has_limits(api, size):
    found = problem(await api.get("/v1/runs", params={"page_size": size}), 422, "invalid")
    assert found["errors"][0] == found["errors"][0] | {"location": "query", "field": "page_size"}


async def test_bad_record_id_and_object(world, api):
    await world.job()
    problem(await api.get("/v1/jobs/Nightly/records/Contact/short"), 422, "invalid")
    problem(await api.get("/v1/jobs/Nightly/records/No-Object/0035g00000XyZaBAAV"), 422, "invalid")


async def test_repeat_with_the_same_key_happens_once(world, api):
    await world.job()
    key = {"Idempotency-Key": "abc"}
    first = await api.post("/v1/jobs/Nightly/runs", json={"label": "a"}, headers=key)
    second = await api.post("/v1/jobs/Nightly/runs", json={"label": "a"}, headers=key)
    assert first.json()["id"] == second.json()["id"] and len(world.scheduler.runs) == 1
    other_body = await api.post("/v1/jobs/Nightly/runs", json={"label": "b"}, headers=key)
    problem(other_body, 409, "idempotency-key-reused")
    assert len(world.scheduler.runs) == 1


async def test_keys_of_two_tokens_do_not_meet(world, api):
    await world.job()
    key = {"Idempotency-Key": "abc"}
    await api.post("/v1/jobs/Nightly/runs", headers=key)
    async with world.client(world.tokens.issue("other")) as other:
        assert (await other.post("/v1/jobs/Nightly/runs", headers=key)).status_code == 202
    assert len(world.scheduler.runs) == 2


async def test_bad_idempotency_key(world, api):
    await world.job()
    answer = await api.post("/v1/jobs/Nightly/runs", headers={"Idempotency-Key": "x" * 201})
    found = problem(answer, 422, "invalid")
    assert found["errors"][0]["location"] == "header"


async def test_verification_key_of_another_job(world, api):
    await world.job("one")
    await world.job("two")
    key = {"Idempotency-Key": "abc"}
    first = await api.post("/v1/jobs/one/verifications", headers=key)
    assert (await api.post("/v1/jobs/one/verifications", headers=key)).json()["id"] == first.json()["id"]
    problem(await api.post("/v1/jobs/two/verifications", headers=key), 409, "idempotency-key-reused")


@pytest.mark.parametrize(
    "header", [None, b"", b"Bearer", b"Bearer ", b"Basic abc", b"Bearer hf_" + b"A" * 43, b"Bearer \xe9"]
)
async def test_nobody_gets_in_without_a_good_token(world, header):
    async with world.client() as client:
        del client.headers["Authorization"]
        headers = [] if header is None else [(b"Authorization", header)]
        for path in ("/v1/jobs", "/v1/nothing", "/"):
            answer = await client.get(path, headers=headers)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["code"] in ("token-missing", "token-invalid")
            problem(answer, 401, answer.json()["code"])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (HoldfastError(Kind.UNAVAILABLE, "The scheduler cannot be reached."), 503),
        (HoldfastError(Kind.TIMEOUT, "The scheduler takes too long."), 504),
        (HoldfastError(Kind.LIMIT, "The org's API calls are used up."), 429),
        (HoldfastError(Kind.CONFLICT, "A run is active.", code="run-active"), 409),
        (HoldfastError(Kind.UNAUTHENTICATED, "Salesforce refuses the secret.", code="connection-broken"), 422),
    ],
)
async def test_errors_of_services_keep_their_sentence(world, api, error, status):
    async def refuse(_request, **_):
        raise error

    world.scheduler.ListJobs = refuse
    found = problem(await api.get("/v1/jobs"), status, error.code)
    assert found["detail"] == error.message


async def test_refusal_by_salesforce_is_not_taken_for_a_bad_token(world, api):
    async def refuse(_request, **_):
        raise HoldfastError(Kind.FORBIDDEN, "The connected user has no API access.")

    world.connections.ListConnections = refuse
    answer = await api.get("/v1/connections")
    problem(answer, 422, "org-access-refused")
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize(
    "error", [RuntimeError("password=hunter2"), HoldfastError(Kind.INTERNAL, "boom", detail="hunter2")]
)
async def test_the_unexpected_tells_nothing_but_a_reference(world, api, error):
    async def break_down(_request, **_):
        raise error

    world.scheduler.ListJobs = break_down
    with structlog.testing.capture_logs() as logged:
        answer = await api.get("/v1/jobs")
    found = problem(answer, 500, "internal")
    assert found["reference"] in found["detail"]
    assert [(each["reference"], each["exc_info"]) for each in logged] == [(found["reference"], error)]
    assert "hunter2" not in answer.text and "boom" not in answer.text
