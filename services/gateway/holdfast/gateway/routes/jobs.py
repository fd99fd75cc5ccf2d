"""/v1/jobs"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.rpc.extractor.v1 import extractor_pb2
from holdfast.common.rpc.scheduler.v1 import scheduler_pb2
from holdfast.gateway.context import CommandKey, Ctx
from holdfast.gateway.inputs import JobRef
from holdfast.gateway.models.connections import OrgObject, OrgObjects
from holdfast.gateway.models.jobs import CreateJob, Job, UpdateJob
from holdfast.gateway.models.plans import JobPlan
from holdfast.gateway.paging import DEFAULT_PAGE_SIZE, Cursor, Page, PageSize, to_cursor, to_page_token

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
Full = Annotated[bool, Query(description="Plan to read every record again, not only what changed.")]


@router.post("", status_code=201, operation_id="createJob")
async def create_job(command: CreateJob, context: Ctx, key: CommandKey, response: Response) -> Job:
    """Create a backup job. Objects named must exist in the org and be visible to the connection's user."""
    if command.objects is not None and not command.objects:
        sentence = "Empty selection: name an object, or leave out 'objects' to back up all recommended ones."
        raise HoldfastError(Kind.INVALID, sentence, code="empty-selection", field="objects")
    request = scheduler_pb2.CreateJobRequest(
        name=command.name,
        connection_id=command.connection,
        objects=command.objects or [],
        cron=command.cron,
        time_zone=command.time_zone,
        idempotency_key=key,
        api_limit_percent=command.api_limit_percent,
    )
    answer = await context.backends.ask(context.backends.scheduler.CreateJob, request, waits_for_org=True)
    response.headers["Location"] = f"/v1/jobs/{answer.job.id}"
    return Job.of(answer.job)


@router.get("", operation_id="listJobs")
async def list_jobs(context: Ctx, page_size: PageSize = DEFAULT_PAGE_SIZE, cursor: Cursor = None) -> Page[Job]:
    """All jobs."""
    request = scheduler_pb2.ListJobsRequest(page_size=page_size, page_token=to_page_token("jobs", cursor))
    answer = await context.backends.ask(context.backends.scheduler.ListJobs, request)
    return Page(items=[Job.of(each) for each in answer.jobs], next_cursor=to_cursor("jobs", answer.next_page_token))


@router.get("/{job}", operation_id="getJob")
async def get_job(job: JobRef, context: Ctx) -> Job:
    """One job, by id or name."""
    return Job.of(await context.backends.job(job))


@router.get("/{job}/objects", operation_id="listJobObjects")
async def list_job_objects(job: JobRef, context: Ctx) -> OrgObjects:
    """Every object of the job's org: count, whether it is recommended, how it is read, whether the job takes it."""
    found = await context.backends.job(job)
    request = extractor_pb2.ListObjectsRequest(connection_id=found.connection_id)
    answer = await context.backends.ask(context.backends.extractor.ListObjects, request, waits_for_org=True)
    named = {name.lower() for name in found.objects}
    items = [OrgObject.of(each, each.name.lower() in named if named else each.recommended) for each in answer.objects]
    return OrgObjects(items=items)


@router.get("/{job}/plan", operation_id="planJob")
async def plan_job(job: JobRef, context: Ctx, full: Full = False) -> JobPlan:
    """How the job's next run would read each object, and what that costs. Asks the org; begins nothing."""
    found = await context.backends.job(job)
    request = extractor_pb2.PlanJobRequest(
        job_id=found.id,
        connection_id=found.connection_id,
        objects=found.objects,
        full=full,
        api_limit_percent=found.api_limit_percent,
    )
    return JobPlan.of(await context.backends.ask(context.backends.extractor.PlanJob, request, waits_for_org=True))


@router.patch("/{job}", operation_id="updateJob")
async def update_job(job: JobRef, command: UpdateJob, context: Ctx) -> Job:
    """Change settings of a job. They hold from its next run on."""
    found = await context.backends.job(job)
    request = scheduler_pb2.UpdateJobRequest(id=found.id, api_limit_percent=command.api_limit_percent)
    return Job.of((await context.backends.ask(context.backends.scheduler.UpdateJob, request)).job)
