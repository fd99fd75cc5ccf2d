"""The scheduler from outside: gRPC calls in, events of the other services in, its own events out."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import pytest

from holdfast.common.contracts.base import PublicEvent
from holdfast.common.contracts.differ import ChangeCounts, ObjectDiffed, ObjectGivenUp, Proof
from holdfast.common.contracts.extractor import (
    ExtractionPlanned,
    FilesQueued,
    FilesSettled,
    ObjectExtracted,
    ObjectFailed,
    PlannedObject,
)
from holdfast.common.contracts.scheduler import JobCreated, RunCompleted, RunFailed, RunPartial, RunRequested
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.rpc.scheduler.v1 import scheduler_pb2 as pb

pytestmark = pytest.mark.integration


def new_job(**changed: Any) -> pb.CreateJobRequest:
    given = {"name": "Nightly", "connection_id": "prod", "objects": ["Account", "Contact"]}
    return pb.CreateJobRequest(**(given | changed))


def planned(run: RunRequested, *names: str) -> ExtractionPlanned:
    objects = [
        PlannedObject(object=name, mode="baseline", strategy="bulk2", estimated_rows=9, estimated_calls=3)
        for name in names
    ]
    return ExtractionPlanned(run_id=run.run_id, job_id=run.job_id, run=run.run, objects=objects)


def extracted(run: RunRequested, name: str) -> ObjectExtracted:
    return ObjectExtracted(
        run_id=run.run_id,
        job_id=run.job_id,
        run=run.run,
        object=name,
        mode="baseline",
        pages=1,
        rows=7,
        manifest="m",
        api_calls=4,
        watermark=None,
    )


def diffed(run: RunRequested, name: str, *gaps: str, **counts: int) -> ObjectDiffed:
    return ObjectDiffed(
        run_id=run.run_id,
        job_id=run.job_id,
        run=run.run,
        object=name,
        table="t",
        version=1,
        chain_head="h",
        rows_read=7,
        bytes_written=70,
        counts=ChangeCounts(**counts),
        gaps=list(gaps),
    )


def failed(run: RunRequested, name: str, reason: str) -> ObjectFailed:
    return ObjectFailed(run_id=run.run_id, job_id=run.job_id, run=run.run, object=name, reason=reason, code="x")


async def request_run(scheduler: Any, job: str = "Nightly", **options: Any) -> RunRequested:
    answer = await scheduler.ask("RequestRun", pb.RequestRunRequest(job_id=job, **options))
    assert answer.run.state == "requested"
    event = await scheduler.others.hears(
        lambda event: isinstance(event, RunRequested) and str(event.run_id) == answer.run.id
    )
    assert isinstance(event, RunRequested)
    return event


def ends(run: RunRequested) -> Any:
    return lambda event: isinstance(event, RunCompleted | RunPartial | RunFailed) and event.run_id == run.run_id


async def refused(scheduler: Any, method: str, request: Any) -> HoldfastError:
    with pytest.raises(HoldfastError) as raised:
        await scheduler.ask(method, request)
    return raised.value


async def test_run_from_request_to_completed(scheduler: Any) -> None:
    created = (await scheduler.ask("CreateJob", new_job(objects=["account", "Contact"]))).job
    assert (created.status, list(created.objects)) == ("pending first run", ["Account", "Contact"])
    announced = await scheduler.others.hears(lambda event: isinstance(event, JobCreated))
    assert isinstance(announced, JobCreated)
    assert (str(announced.job_id), announced.objects, announced.cron) == (created.id, ["Account", "Contact"], None)

    run = await request_run(scheduler, label="first", full=True)
    assert (run.run, run.objects, run.label, run.full) == (1, ["Account", "Contact"], "first", True)
    active = await refused(scheduler, "RequestRun", pb.RequestRunRequest(job_id=created.id))
    assert (active.kind, active.code) == (Kind.CONFLICT, "run-active")
    assert str(run.run_id) in active.message

    # The outcome of Contact overtakes the plan.
    await scheduler.others.send(diffed(run, "Contact", captured=5), extracted(run, "Account"))
    await scheduler.others.send(planned(run, "Account", "Contact"), diffed(run, "Account", captured=7))
    ended = await scheduler.others.hears(ends(run))
    assert isinstance(ended, RunCompleted)
    assert (ended.objects, ended.outcome.captured) == (2, 12)

    shown = (await scheduler.ask("GetRun", pb.GetRunRequest(id=str(run.run_id)))).run
    assert (shown.state, shown.number, shown.counts.captured) == ("completed", 1, 12)
    account = next(one for one in shown.objects if one.object == "Account")
    assert (account.state, account.mode, account.strategy, account.rows) == ("diffed", "baseline", "bulk2", 7)
    job = (await scheduler.ask("GetJob", pb.GetJobRequest(id="Nightly"))).job
    assert (job.status, job.last_run.id) == ("completed", str(run.run_id))


async def test_notes_of_a_run_and_of_its_objects_are_kept_and_make_nothing_missing(scheduler: Any) -> None:
    await scheduler.ask("CreateJob", new_job())
    run = await request_run(scheduler)
    renamed, gone = "A of Account was renamed B.", "The org no longer has the object Old__c."
    read = extracted(run, "Account").model_copy(update={"notes": [renamed]})
    held = diffed(run, "Account", captured=7).model_copy(update={"notes": [renamed, "One more."]})
    await scheduler.others.send(planned(run, "Account").model_copy(update={"notes": [gone]}), read, held)
    assert isinstance(await scheduler.others.hears(ends(run)), RunCompleted)
    shown = (await scheduler.ask("GetRun", pb.GetRunRequest(id=str(run.run_id)))).run
    assert list(shown.notes) == [gone]
    assert list(shown.objects[0].notes) == [renamed, "One more."]


async def test_files_come_after_the_run_s_end_and_the_job_says_so(scheduler: Any) -> None:
    await scheduler.ask("CreateJob", new_job())
    run = await request_run(scheduler)
    whose = {"run_id": run.run_id, "job_id": run.job_id, "run": run.run}
    await scheduler.others.send(FilesQueued(**whose, files=3), planned(run, "Account"), diffed(run, "Account"))
    assert isinstance(await scheduler.others.hears(ends(run)), RunCompleted)

    async def files_stored(number: int) -> Any:
        async with asyncio.timeout(20):
            while True:
                shown = (await scheduler.ask("GetRun", pb.GetRunRequest(id=str(run.run_id)))).run
                if (shown.files.queued, shown.files.stored) == (3, number):
                    return shown
                await asyncio.sleep(0.05)

    shown = await files_stored(0)
    job = (await scheduler.ask("GetJob", pb.GetJobRequest(id="Nightly"))).job
    assert (shown.state, job.status) == ("completed", "record data complete")
    figures = {"files": 3, "stored": 2, "failed": 1, "bytes": 70}
    await scheduler.others.send(FilesSettled(**whose, **figures, missing=["Attachment 00P (Body): no"]))
    shown = await files_stored(2)
    assert (shown.files.failed, list(shown.files.missing)) == (1, ["Attachment 00P (Body): no"])
    job = (await scheduler.ask("GetJob", pb.GetJobRequest(id="Nightly"))).job
    assert job.status == "completed"


async def test_a_job_says_what_its_user_cannot_see_and_is_made_all_the_same(scheduler: Any) -> None:
    warned = (await scheduler.ask("CreateJob", new_job(objects=["Account", "Contact"]))).job
    assert list(warned.warnings) == ["The user cannot see 1 field of Contact."]
    shown = (await scheduler.ask("GetJob", pb.GetJobRequest(id=warned.id))).job
    assert list(shown.warnings) == list(warned.warnings)
    scheduler.extractor.blind = True
    unchecked = (await scheduler.ask("CreateJob", new_job(name="Other"))).job
    assert list(unchecked.warnings) == ["What the user cannot see could not be checked: The org is slow."]


async def test_missing_objects_and_gaps_make_the_run_partial(scheduler: Any) -> None:
    await scheduler.ask("CreateJob", new_job())
    run = await request_run(scheduler)
    await scheduler.others.send(
        planned(run, "Account", "Contact"),
        failed(run, "Contact", "The user lost access."),
        diffed(run, "Account", "Rows 3 to 4 were not delivered.", captured=7),
    )
    ended = await scheduler.others.hears(ends(run))
    assert isinstance(ended, RunPartial)
    missing = [(gap.object, gap.reason) for gap in ended.missing]
    assert missing == [("Account", "Rows 3 to 4 were not delivered."), ("Contact", "The user lost access.")]
    shown = (await scheduler.ask("GetRun", pb.GetRunRequest(id=str(run.run_id)))).run
    assert [(gap.object, gap.reason) for gap in shown.missing] == missing


def proof(state: Literal["proven", "not proven", "mismatch"], **said: Any) -> Proof:
    return Proof(state=state, checked="count", vault_records=7, passes=1, at=datetime(2026, 1, 1, tzinfo=UTC), **said)


async def test_a_run_says_what_was_proven_of_each_object(scheduler: Any) -> None:
    await scheduler.ask("CreateJob", new_job())
    run = await request_run(scheduler)
    differing = proof("mismatch", org_records=8, missing=1, missing_ids=["003000000000001AAA"], reason="1 is missing.")
    await scheduler.others.send(
        planned(run, "Account", "Contact", "Lead"),
        diffed(run, "Account").model_copy(update={"proof": proof("proven", org_records=7)}),
        diffed(run, "Contact", "1 record is missing.").model_copy(update={"proof": differing}),
        diffed(run, "Lead").model_copy(update={"proof": proof("not proven", reason="It kept moving.")}),
    )
    await scheduler.others.hears(ends(run))
    shown = (await scheduler.ask("GetRun", pb.GetRunRequest(id=str(run.run_id)))).run
    assert (shown.state, shown.proof.proven, shown.proof.not_proven, shown.proof.mismatch) == ("partial", 1, 1, 1)
    account, contact, lead = (one.proof for one in shown.objects)
    assert (account.state, account.checked, account.org_records) == ("proven", "count", 7)
    assert (contact.missing, list(contact.missing_ids), contact.reason) == (1, ["003000000000001AAA"], "1 is missing.")
    assert (lead.state, lead.HasField("org_records")) == ("not proven", False)


async def test_an_open_proof_alone_does_not_make_a_run_partial(scheduler: Any) -> None:
    await scheduler.ask("CreateJob", new_job(objects=["Account"]))
    run = await request_run(scheduler)
    open_proof = diffed(run, "Account").model_copy(update={"proof": proof("not proven", reason="It kept moving.")})
    await scheduler.others.send(planned(run, "Account"), open_proof)
    assert isinstance(await scheduler.others.hears(ends(run)), RunCompleted)


def given_up(run: RunRequested, name: str, reason: str) -> ObjectGivenUp:
    return ObjectGivenUp(run_id=run.run_id, job_id=run.job_id, run=run.run, object=name, reason=reason, code="damaged")


async def test_a_plan_in_pages_is_waited_for_whole(scheduler: Any) -> None:
    await scheduler.ask("CreateJob", new_job())
    run = await request_run(scheduler)

    async def look() -> pb.Run:
        return (await scheduler.ask("GetRun", pb.GetRunRequest(id=str(run.run_id)))).run

    one, other = (
        planned(run, name).model_copy(update={"page": page, "pages": 2, "notes": [f"Note {page}."]})
        for page, name in ((1, "Account"), (2, "Contact"))
    )
    await scheduler.others.send(one, one, diffed(run, "Account", captured=1), diffed(run, "Contact", captured=2))
    await scheduler.others.send(failed(run, "Lead", "Locked."))  # a stranger to the plan ends nothing
    async with asyncio.timeout(30):
        while len((shown := await look()).objects) < 3:
            await asyncio.sleep(0.05)
    assert shown.state == "running"
    await scheduler.others.send(other)
    ended = await scheduler.others.hears(ends(run))
    assert isinstance(ended, RunCompleted)
    assert ended.objects == 2
    assert list((await look()).notes) == ["Note 1.", "Note 2."]


@pytest.mark.parametrize("first", ["planned", "given up"])
async def test_an_object_that_the_differ_gave_up_ends_the_run_and_frees_the_job(scheduler: Any, first: str) -> None:
    await scheduler.ask("CreateJob", new_job())
    run = await request_run(scheduler)
    reports = [planned(run, "Account", "Contact"), extracted(run, "Contact"), diffed(run, "Account", captured=7)]
    loss = [given_up(run, "Contact", "Page 3 of Contact is damaged."), given_up(run, "Contact", "Said again.")]
    await scheduler.others.send(*([*reports, *loss] if first == "planned" else [*loss, *reports]))
    ended = await scheduler.others.hears(ends(run))
    assert isinstance(ended, RunPartial)
    assert [(gap.object, gap.reason) for gap in ended.missing] == [("Contact", "Page 3 of Contact is damaged.")]
    shown = (await scheduler.ask("GetRun", pb.GetRunRequest(id=str(run.run_id)))).run
    assert [(one.object, one.state) for one in shown.objects] == [("Account", "diffed"), ("Contact", "failed")]
    assert (await request_run(scheduler)).run == 2


async def test_run_that_lost_every_object_is_failed_and_frees_the_job(scheduler: Any) -> None:
    await scheduler.ask("CreateJob", new_job(objects=[]))
    run = await request_run(scheduler)
    await scheduler.others.send(failed(run, "Account", "Locked."), planned(run, "Account"))
    ended = await scheduler.others.hears(ends(run))
    assert isinstance(ended, RunFailed)
    assert ended.reason == "The only object could not be read. Account: Locked."
    assert (await request_run(scheduler)).run == 2


async def test_repeated_command_has_one_effect(scheduler: Any) -> None:
    request = new_job(idempotency_key="k1")
    first, second = [(await scheduler.ask("CreateJob", request)).job for _ in range(2)]
    assert first == second
    ask = pb.RequestRunRequest(job_id=first.id, idempotency_key="k2")
    runs = [(await scheduler.ask("RequestRun", ask)).run.id for _ in range(2)]
    assert runs[0] == runs[1]
    reused = await refused(scheduler, "RequestRun", pb.RequestRunRequest(job_id=first.id, idempotency_key="k1"))
    assert reused.code == "idempotency-key-reused"


async def test_runs_are_listed_newest_first_page_by_page(scheduler: Any) -> None:
    job = (await scheduler.ask("CreateJob", new_job())).job
    for _ in range(3):
        run = await request_run(scheduler)
        await scheduler.others.send(planned(run))  # nothing to read: fails, and frees the job
        await scheduler.others.hears(ends(run))
    numbers, token = [], ""
    while True:
        page = await scheduler.ask("ListRuns", pb.ListRunsRequest(job_id=job.id, page_size=2, page_token=token))
        numbers.append([run.number for run in page.runs])
        token = page.next_page_token
        if not token:
            break
        other = await refused(scheduler, "ListRuns", pb.ListRunsRequest(page_token=token))
        assert other.code == "bad-cursor"
    assert numbers == [[3, 2], [1]]
    await scheduler.ask("CreateJob", new_job(name="Another"))
    first = await scheduler.ask("ListJobs", pb.ListJobsRequest(page_size=1))
    rest = await scheduler.ask("ListJobs", pb.ListJobsRequest(page_size=1, page_token=first.next_page_token))
    assert [job.name for job in (*first.jobs, *rest.jobs)] == ["Another", "Nightly"]
    assert rest.next_page_token == ""


async def test_bad_cursor_is_refused(scheduler: Any) -> None:
    for cursor in ("!!!", "AAAA", "bnVsbA", "é", "WyJydW5zIG9mIGFsbCIsIngiLCJ5Il0"):
        for method, request in (
            ("ListRuns", pb.ListRunsRequest(page_token=cursor)),
            ("ListJobs", pb.ListJobsRequest(page_token=cursor)),
        ):
            error = await refused(scheduler, method, request)
            assert (error.kind, error.code, error.field) == (Kind.INVALID, "bad-cursor", "page_token")


async def test_unknown_things_are_named(scheduler: Any) -> None:
    for method, request, sentence in (
        ("GetRun", pb.GetRunRequest(id="nope"), "There is no run 'nope'."),
        ("GetRun", pb.GetRunRequest(id=str(UUID(int=5))), f"There is no run '{UUID(int=5)}'."),
        ("GetJob", pb.GetJobRequest(id="nope"), "There is no job 'nope'."),
        ("GetJob", pb.GetJobRequest(id="a\0b"), "There is no job 'a\\x00b'."),
        ("RequestRun", pb.RequestRunRequest(job_id="nope"), "There is no job 'nope'."),
        ("ListRuns", pb.ListRunsRequest(job_id="nope"), "There is no job 'nope'."),
        ("CreateJob", new_job(connection_id="nope"), "There is no connection 'nope'."),
    ):
        error = await refused(scheduler, method, request)
        assert (error.kind, error.message) == (Kind.NOT_FOUND, sentence)


async def test_bad_input_leaves_no_job(scheduler: Any) -> None:
    for request, field, part in (
        (new_job(name=""), "name", "A job needs a name."),
        (new_job(name="x" * 121), "name", "at most 120"),
        (new_job(objects=["Account", "Nope__c"]), "objects[1]", "no object 'Nope__c'"),
        (new_job(objects=["Secret__c"]), "objects[0]", "Secret__c cannot be backed up: The user may not read it."),
        (new_job(cron="0 2 * *"), "cron", "five fields"),
        (new_job(cron="0 2 * * *", time_zone="Mars/Base"), "time_zone", "'Mars/Base' is not a time zone"),
    ):
        error = await refused(scheduler, "CreateJob", request)
        assert (error.kind, error.field) == (Kind.INVALID, field)
        assert part in error.message
    scheduler.extractor.offered = []
    error = await refused(scheduler, "CreateJob", new_job(objects=[]))
    assert error.code == "empty-selection"
    scheduler.extractor.unreachable = True
    error = await refused(scheduler, "CreateJob", new_job())
    assert (error.kind, error.message) == (Kind.UNAVAILABLE, "The org cannot be reached.")
    assert not (await scheduler.ask("ListJobs", pb.ListJobsRequest())).jobs


async def test_second_job_of_the_name_is_refused(scheduler: Any) -> None:
    await scheduler.ask("CreateJob", new_job())
    error = await refused(scheduler, "CreateJob", new_job())
    assert (error.kind, error.code, error.field) == (Kind.CONFLICT, "job-name-taken", "name")
    assert "'Nightly'" in error.message


async def test_bad_page_size_and_label_are_refused(scheduler: Any) -> None:
    job = (await scheduler.ask("CreateJob", new_job())).job
    for method, request, field in (
        ("ListRuns", pb.ListRunsRequest(page_size=1001), "page_size"),
        ("ListRuns", pb.ListRunsRequest(page_size=-1), "page_size"),
        ("RequestRun", pb.RequestRunRequest(job_id=job.id, label="x" * 201), "label"),
        ("RequestRun", pb.RequestRunRequest(job_id=job.id, label="a\0"), "label"),
    ):
        error = await refused(scheduler, method, request)
        assert (error.kind, error.field) == (Kind.INVALID, field)


async def test_due_slot_starts_a_run_by_itself(scheduler: Any) -> None:
    job = (await scheduler.ask("CreateJob", new_job(cron="0 2 * * *", time_zone="Europe/Berlin"))).job
    assert job.next_run_at.seconds > job.created_at.seconds
    scheduler.clock.ahead = timedelta(days=1)
    event = await scheduler.others.hears(lambda event: isinstance(event, RunRequested))
    assert isinstance(event, RunRequested)
    assert (str(event.job_id), event.run, event.trigger) == (job.id, 1, "slot")
    after = (await scheduler.ask("GetJob", pb.GetJobRequest(id=job.id))).job
    assert (after.status, after.last_run.trigger) == ("running", "slot")
    assert after.next_run_at.seconds > job.next_run_at.seconds


async def test_events_of_an_unknown_run_are_parked_and_the_rest_goes_on(scheduler: Any) -> None:
    await scheduler.ask("CreateJob", new_job())
    run = await request_run(scheduler)
    stranger = run.model_copy(update={"run_id": UUID(int=9)})
    await scheduler.others.send(diffed(stranger, "Account"), planned(run, "Account"), diffed(run, "Account"))
    ended: PublicEvent = await asyncio.wait_for(scheduler.others.hears(ends(run)), 30)
    assert isinstance(ended, RunCompleted)
