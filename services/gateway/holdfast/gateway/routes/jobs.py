"""/v1/jobs"""

from __future__ import annotations

from fastapi import APIRouter, Response

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.rpc.extractor.v1 import extractor_pb2
from holdfast.common.rpc.scheduler.v1 import scheduler_pb2
from holdfast.gateway.context import CommandKey, Context, Ctx
from holdfast.gateway.inputs import JobRef
from holdfast.gateway.models.jobs import CreateJob, Job
from holdfast.gateway.paging import DEFAULT_PAGE_SIZE, Cursor, Page, PageSize, to_cursor, to_page_token

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.post("", status_code=201, operation_id="createJob")
async def create_job(command: CreateJob, context: Ctx, key: CommandKey, response: Response) -> Job:
    """Create a backup job. Objects named must exist in the org and be visible to the connection's user."""
    if command.objects is not None and not command.objects:
        sentence = "Empty selection: name an object, or leave out 'objects' to back up all recommended ones."
        raise HoldfastError(Kind.INVALID, sentence, code="empty-selection", field="objects")
    connection = await context.backends.connection(command.connection)
    if command.objects:
        await _refuse_unknown(context, connection.id, command.objects)
    request = scheduler_pb2.CreateJobRequest(
        name=command.name,
        connection_id=connection.id,
        objects=command.objects or [],
        cron=command.cron,
        time_zone=command.time_zone,
        idempotency_key=key,
    )
    answer = await context.backends.ask(context.backends.scheduler.CreateJob, request)
    response.headers["Location"] = f"/v1/jobs/{answer.job.id}"
    return Job.of(answer.job)


async def _refuse_unknown(context: Context, connection_id: str, objects: list[str]) -> None:
    request = extractor_pb2.ListObjectsRequest(connection_id=connection_id)
    answer = await context.backends.ask(context.backends.extractor.ListObjects, request, waits_for_org=True)
    known = {each.name for each in answer.objects}
    for place, name in enumerate(objects):
        if name not in known:
            sentence = f"The org has no object '{name}' that the connection's user can see."
            raise HoldfastError(Kind.INVALID, sentence, code="unknown-object", field=f"objects.{place}")
        if name in objects[:place]:
            sentence = f"The object '{name}' is named twice."
            raise HoldfastError(Kind.INVALID, sentence, code="repeated-object", field=f"objects.{place}")


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
