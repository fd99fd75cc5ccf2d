"""/v1/runs and /v1/jobs/{job}/runs"""

from __future__ import annotations

from fastapi import APIRouter, Response

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.rpc.extractor.v1 import extractor_pb2
from holdfast.common.rpc.scheduler.v1 import scheduler_pb2
from holdfast.gateway.context import CommandKey, Context, Ctx
from holdfast.gateway.inputs import JobRef, ObjectRef, RunRef, run_id
from holdfast.gateway.models.runs import Proof, RequestRun, Run, RunDetail
from holdfast.gateway.paging import DEFAULT_PAGE_SIZE, Cursor, Page, PageSize, to_cursor, to_page_token

router = APIRouter(prefix="/v1", tags=["runs"])

# The scheduler knows a run before the extractor does, and a run can be looked at while the extractor is down.
_NO_PROGRESS = frozenset({Kind.NOT_FOUND, Kind.UNAVAILABLE, Kind.TIMEOUT})


@router.post("/jobs/{job}/runs", status_code=202, operation_id="requestRun")
async def request_run(
    job: JobRef, context: Ctx, key: CommandKey, response: Response, command: RequestRun | None = None
) -> Run:
    """Ask for a run now. `Location` says where to follow it. Refused while a run of the job is active."""
    wanted = command or RequestRun()
    found = await context.backends.job(job)
    request = scheduler_pb2.RequestRunRequest(
        job_id=found.id, label=wanted.label, full=wanted.full, idempotency_key=key
    )
    answer = await context.backends.ask(context.backends.scheduler.RequestRun, request)
    response.headers["Location"] = f"/v1/runs/{answer.run.id}"
    return Run.of(answer.run)


@router.get("/jobs/{job}/runs", operation_id="listRunsOfJob")
async def list_runs_of_job(
    job: JobRef, context: Ctx, page_size: PageSize = DEFAULT_PAGE_SIZE, cursor: Cursor = None
) -> Page[Run]:
    """Runs of a job, newest first."""
    found = await context.backends.job(job)
    return await _runs(context, found.id, page_size, cursor)


@router.get("/runs", operation_id="listRuns")
async def list_runs(context: Ctx, page_size: PageSize = DEFAULT_PAGE_SIZE, cursor: Cursor = None) -> Page[Run]:
    """Runs of all jobs, newest first."""
    return await _runs(context, "", page_size, cursor)


@router.get("/runs/{run}", operation_id="getRun")
async def get_run(run: RunRef, context: Ctx) -> RunDetail:
    """One run with its objects and how far it is; cheap enough to ask several times a second."""
    wanted = run_id(run)
    answer = await context.backends.ask(context.backends.scheduler.GetRun, scheduler_pb2.GetRunRequest(id=wanted))
    return RunDetail.at(answer.run, await _progress(context, wanted), context.clock.now())


@router.post("/runs/{run}/pause", operation_id="pauseRun")
async def pause_run(run: RunRef, context: Ctx) -> Run:
    """Stop working on a run until it is resumed or cancelled, within seconds; what is durable of it stays."""
    request = scheduler_pb2.PauseRunRequest(id=run_id(run))
    return Run.of((await context.backends.ask(context.backends.scheduler.PauseRun, request)).run)


@router.post("/runs/{run}/resume", operation_id="resumeRun")
async def resume_run(run: RunRef, context: Ctx) -> Run:
    """Let a paused run go on where it was."""
    request = scheduler_pb2.ResumeRunRequest(id=run_id(run))
    return Run.of((await context.backends.ask(context.backends.scheduler.ResumeRun, request)).run)


@router.post("/runs/{run}/cancel", operation_id="cancelRun")
async def cancel_run(run: RunRef, context: Ctx) -> Run:
    """End a run. What it brought into the vault stays; what it did not read, the next run of the job reads."""
    request = scheduler_pb2.CancelRunRequest(id=run_id(run))
    return Run.of((await context.backends.ask(context.backends.scheduler.CancelRun, request)).run)


@router.get("/runs/{run}/objects/{object_name}/proof", operation_id="getProof")
async def get_proof(run: RunRef, object_name: ObjectRef, context: Ctx) -> Proof:
    """What was proven of an object in a run, with the ids of records that differ."""
    answer = await context.backends.ask(context.backends.scheduler.GetRun, scheduler_pb2.GetRunRequest(id=run_id(run)))
    for each in answer.run.objects:
        if each.object == object_name and each.HasField("proof"):
            return Proof.of(each.proof)
    message = f"Nothing was proven of {object_name} in this run, or not yet."
    raise HoldfastError(Kind.NOT_FOUND, message, code="no-proof")


async def _runs(context: Context, job_id: str, page_size: int, cursor: str | None) -> Page[Run]:
    listing = f"runs/{job_id}"
    request = scheduler_pb2.ListRunsRequest(
        job_id=job_id, page_size=page_size, page_token=to_page_token(listing, cursor)
    )
    answer = await context.backends.ask(context.backends.scheduler.ListRuns, request)
    items = [Run.of(each) for each in answer.runs]
    return Page(items=items, next_cursor=to_cursor(listing, answer.next_page_token))


async def _progress(context: Context, wanted: str) -> extractor_pb2.GetProgressResponse | None:
    request = extractor_pb2.GetProgressRequest(run_id=wanted)
    try:
        read: extractor_pb2.GetProgressResponse = await context.backends.ask(
            context.backends.extractor.GetProgress, request
        )
    except HoldfastError as error:
        if error.kind in _NO_PROGRESS:
            return None
        raise
    return read
