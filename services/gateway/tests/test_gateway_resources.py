"""Every resource of the API, over services that answer from memory."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.rpc.extractor.v1 import extractor_pb2
from holdfast.common.rpc.history.v1 import history_pb2

CONNECTION = {
    "name": "Production",
    "login_url": "https://acme.my.salesforce.com",
    "client_id": "3MVG9",
    "secret": "s3cr3t-value",
}


async def test_connection_is_added_and_its_secret_never_returned(world, api):
    answer = await api.post("/v1/connections", json=CONNECTION)
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/v1/connections/{made['id']}"
    assert made["flow"] == "client-credentials"
    assert world.connections.secrets == ["s3cr3t-value"]
    everything = [await api.get("/v1/connections"), await api.get("/v1/connections/Production"), answer]
    assert all("s3cr3t-value" not in each.text for each in everything)
    tested = await api.post("/v1/connections/Production/tests")
    assert tested.status_code == 200 and tested.json()["status"] == "ok"
    objects = (await api.get(f"/v1/connections/{made['id']}/objects")).json()
    assert [each["name"] for each in objects["items"]] == ["Account", "Contact"]


async def test_job_is_created_by_connection_name_and_found_by_both(api):
    await api.post("/v1/connections", json=CONNECTION)
    body = {"name": "Nightly", "connection": "Production", "objects": ["Account"]}
    answer = await api.post("/v1/jobs", json=body)
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert job["objects"] == ["Account"]
    assert (await api.get("/v1/jobs/Nightly")).json() == (await api.get(f"/v1/jobs/{job['id']}")).json() == job
    assert (await api.get("/v1/jobs")).json() == {"items": [job], "next_cursor": None}


async def test_the_objects_of_a_job_say_which_of_them_it_takes(world, api):
    await api.post("/v1/connections", json=CONNECTION)
    await api.post("/v1/jobs", json={"name": "Nightly", "connection": "Production", "objects": ["Account"]})
    await api.post("/v1/jobs", json={"name": "All", "connection": "Production"})
    some, every = [(await api.get(f"/v1/jobs/{job}/objects")).json()["items"] for job in ("Nightly", "All")]
    assert [(each["name"], each["selected"]) for each in some] == [("Account", True), ("Contact", False)]
    assert all(each["selected"] for each in every)
    (contact,) = [each for each in some if each["name"] == "Contact"]
    assert (contact["rows"], contact["strategy"], contact["managed"], contact["namespace"]) == (7, "query", False, "")


async def test_the_plan_of_a_job_says_what_its_next_run_costs(world, api):
    await api.post("/v1/connections", json=CONNECTION)
    await api.post("/v1/jobs", json={"name": "Nightly", "connection": "Production", "objects": ["Account"]})
    plan = (await api.get("/v1/jobs/Nightly/plan", params={"full": True})).json()
    (asked,) = world.extractor.planned
    assert (list(asked.objects), asked.full, asked.api_limit_percent) == (["Account"], True, 80)
    assert plan["objects"][0]["strategy"] == "REST, asked with others"
    assert plan["unreadable"] == [{"object": "Nope__c", "reason": "The org has no object Nope__c."}]
    assert (plan["api_calls"], plan["plan_calls"], plan["calls_left"]) == (4, 3, None)
    assert (await api.get("/v1/jobs/Nope/plan")).status_code == 404


async def test_run_is_accepted_and_followed_to_its_end(world, api):
    job = await world.job()
    answer = await api.post("/v1/jobs/Nightly/runs", json={"label": "first"})
    assert answer.status_code == 202
    location = answer.headers["location"]
    waiting = (await api.get(location)).json()
    assert waiting["state"] == "requested" and waiting["progress"] is None

    run = world.scheduler.runs[answer.json()["id"]]
    run.state = "running"
    run.objects.add(object="Account", state="planned", mode="baseline", estimated_rows=400)
    run.objects.add(object="Contact", state="diffed", mode="baseline", estimated_rows=100, rows=100)
    world.extractor.progress[run.id] = extractor_pb2.GetProgressResponse(
        state="reading",
        api_calls=9,
        rows=300,
        estimated_rows=500,
        bytes=1234,
        objects=[extractor_pb2.ObjectRead(object="Account", state="reading", rows=200, estimated_rows=400)],
    )
    world.clock.advance(timedelta(seconds=10))
    reading = (await api.get(location)).json()
    assert {each["object"]: each["state"] for each in reading["objects"]} == {
        "Account": "reading",
        "Contact": "done",
    }
    progress = reading["progress"]
    assert (progress["rows"], progress["estimated_rows"], progress["api_calls"]) == (300, 500, 9)
    assert progress["rows_per_second"] == 30.0
    assert progress["seconds_left"] == 6.7
    assert (progress["objects"], progress["objects_done"]) == (2, 1)

    run.state = "completed"
    run.completed_at.FromDatetime(world.clock.now())
    ended = (await api.get(location)).json()
    assert ended["progress"]["seconds_left"] == 0.0
    assert ended["job_id"] == job.id


async def test_proof_of_an_object_names_the_records_that_differ(world, api):
    run = world.scheduler.runs[(await world.run(await world.job())).id]
    run.proof.mismatch = 1
    proof = {"state": "mismatch", "vault_records": 6, "org_records": 7, "missing": 1, "missing_ids": ["001A"]}
    run.objects.add(object="Account", state="diffed", proof=proof)
    run.objects.add(object="Contact", state="extracted")
    answer = await api.get(f"/v1/runs/{run.id}/objects/Account/proof")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["state"], found["missing_ids"], found["backup_records"]) == ("mismatch", ["001A"], 6)
    shown = (await api.get(f"/v1/runs/{run.id}")).json()
    assert [each["proof"] for each in shown["objects"]] == [found, None]
    assert shown["proof"] == {"proven": 0, "not_proven": 0, "mismatch": 1}
    for name in ("Contact", "Nothing__c"):
        assert (await api.get(f"/v1/runs/{run.id}/objects/{name}/proof")).status_code == 404


async def test_run_can_be_looked_at_while_the_extractor_is_down(world, api):
    run = await world.run(await world.job())
    world.extractor.error = HoldfastError(Kind.UNAVAILABLE, "The extractor cannot be reached.")
    answer = await api.get(f"/v1/runs/{run.id}")
    assert answer.status_code == 200 and answer.json()["progress"] is None


async def test_run_is_paused_resumed_and_cancelled_and_then_refuses(world, api):
    run = await world.run(await world.job())
    at = f"/v1/runs/{run.id}"
    for order, state in (("pause", "paused"), ("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        answer = await api.post(f"{at}/{order}")
        assert (answer.status_code, answer.json()["state"]) == (200, state)
    assert (await api.post(f"{at}/cancel")).status_code == 200
    refused = await api.post(f"{at}/pause")
    assert (refused.status_code, refused.json()["detail"]) == (409, "Run 1 has ended: cancelled.")
    assert (await api.post("/v1/runs/nothing/pause")).status_code == 404


async def test_api_limit_of_a_job_is_changed(world, api):
    await world.job()
    changed = await api.patch("/v1/jobs/Nightly", json={"api_limit_percent": 40})
    assert (changed.status_code, changed.json()["api_limit_percent"]) == (200, 40)
    for wrong in (0, 101, "many"):
        assert (await api.patch("/v1/jobs/Nightly", json={"api_limit_percent": wrong})).status_code == 422


async def test_runs_are_paged_newest_first_without_loss(world, api):
    job = await world.job()
    for _ in range(5):
        await world.run(job)
    seen, cursor = [], None
    for _ in range(10):
        page = (
            await api.get("/v1/jobs/Nightly/runs", params={"page_size": 2} | ({"cursor": cursor} if cursor else {}))
        ).json()
        seen += [each["number"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [5, 4, 3, 2, 1]
    assert len((await api.get("/v1/runs")).json()["items"]) == 5


async def test_changes_carry_before_and_after_and_null_for_empty(world, api):
    run = await world.run(await world.job())
    summary = (await api.get(f"/v1/runs/{run.id}/changes")).json()
    assert summary["objects"][0]["object"] == "Contact" and summary["objects"][0]["updated"] == 2
    params = {"operation": ["updated", "deleted"]}
    page = (await api.get(f"/v1/runs/{run.id}/changes/Contact", params=params)).json()
    assert page["items"][0]["fields"] == [
        {"field": "LastName", "before": "Old", "after": "New"},
        {"field": "Phone", "before": "1", "after": None},
    ]
    assert list(world.history.asked[0].operations) == ["updated", "deleted"]
    again = {"cursor": page["next_cursor"], **params}
    await api.get(f"/v1/runs/{run.id}/changes/Contact", params=again)
    assert world.history.asked[1].page_token == "3"


async def test_history_of_a_record(world, api):
    job = await world.job()
    answer = await api.get("/v1/jobs/Nightly/records/Contact/0035g00000XyZaBAAV")
    assert answer.json()["job_id"] == job.id
    assert [each["operation"] for each in answer.json()["versions"]] == ["captured"]
    assert answer.json()["last_proven"] == {"run": 7, "checked": "count", "at": None}


async def test_a_file_comes_byte_for_byte_whole_or_from_a_byte_on(world, api):
    await world.job()
    world.history.file = bytes(range(256))
    at = "/v1/jobs/Nightly/records/Attachment/00P5g00000XyZaBAAV/files/Body"
    answer = await api.get(at)
    assert (answer.status_code, answer.content) == (200, bytes(range(256)))
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    part = await api.get(at, headers={"Range": "bytes=250-"})
    assert (part.status_code, part.content) == (206, bytes(range(250, 256)))
    assert part.headers["content-range"] == "bytes 250-255/256"
    assert (await api.get(at, headers={"Range": "bytes=256-"})).status_code == 422


async def _verify(world, api) -> dict:
    await world.job()
    answer = await api.post("/v1/jobs/Nightly/verifications")
    assert answer.status_code == 202
    for task in list(world.verifications._tasks):
        await task
    return (await api.get(answer.headers["location"])).json()


async def test_verification_that_finds_nothing(world, api):
    world.history.steps = [
        history_pb2.VerifyJobResponse(object="Account", files_done=1, files_total=2, bytes_done=10),
        history_pb2.VerifyJobResponse(object="Account", files_done=2, files_total=2, bytes_done=30),
        history_pb2.VerifyJobResponse(object="Contact", files_done=1, files_total=1, bytes_done=5, done=True, proofs=4),
    ]
    found = await _verify(world, api)
    assert (found["state"], found["objects"]) == ("intact", 2)
    assert (found["files_done"], found["files_total"], found["bytes_done"]) == (3, 3, 35)
    assert found["proofs"] == 4


async def test_verification_names_the_damage(world, api):
    damage = [history_pb2.Damage(path="a.parquet", reason="checksum differs")]
    world.history.steps = [history_pb2.VerifyJobResponse(object="Account", done=True, damage=damage)]
    found = await _verify(world, api)
    assert found["state"] == "damaged"
    assert found["damage"] == [{"path": "a.parquet", "reason": "checksum differs"}]


async def test_verification_cut_short_is_never_a_clean_bill(world, api):
    world.history.steps = [history_pb2.VerifyJobResponse(object="Account", files_done=1, files_total=2)]
    found = await _verify(world, api)
    assert found["state"] == "failed" and found["reason"]


async def test_health_needs_no_token(world):
    async with world.client("hf_wrong") as stranger:
        assert (await stranger.get("/v1/health")).json() == {"status": "ok"}
        assert (await stranger.get("/v1/openapi.json")).status_code == 200
