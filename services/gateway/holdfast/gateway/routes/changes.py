"""/v1/runs/{run}/changes and the history of a record"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from holdfast.common.rpc.history.v1 import history_pb2
from holdfast.gateway.context import Ctx
from holdfast.gateway.inputs import JobRef, ObjectRef, RecordRef, RunRef, run_id
from holdfast.gateway.models.changes import LastProven, Operation, RecordHistory, RecordVersion, RunChanges
from holdfast.gateway.paging import DEFAULT_PAGE_SIZE, Cursor, Page, PageSize, to_cursor, to_page_token

router = APIRouter(prefix="/v1", tags=["changes"])
Operations = Annotated[
    list[Operation],
    Query(alias="operation", max_length=7, description="Only these; absent: all but `touched`."),
]


@router.get("/runs/{run}/changes", operation_id="summarizeChanges")
async def summarize_changes(run: RunRef, context: Ctx) -> RunChanges:
    """How many records a run saw change, per object."""
    request = history_pb2.SummarizeChangesRequest(run_id=run_id(run))
    return RunChanges.of(await context.backends.ask(context.backends.history.SummarizeChanges, request))


@router.get("/runs/{run}/changes/{object_name}", operation_id="listChanges")
async def list_changes(
    run: RunRef,
    object_name: ObjectRef,
    context: Ctx,
    *,
    operations: Operations = [],  # noqa: B006 - FastAPI copies defaults
    page_size: PageSize = DEFAULT_PAGE_SIZE,
    cursor: Cursor = None,
) -> Page[RecordVersion]:
    """Records of one object that a run saw change, with values before and after."""
    wanted = run_id(run)
    listing = "/".join(["changes", wanted, object_name, *sorted(operations)])
    request = history_pb2.ListChangesRequest(
        run_id=wanted,
        object=object_name,
        operations=operations,
        page_size=page_size,
        page_token=to_page_token(listing, cursor),
    )
    answer = await context.backends.ask(context.backends.history.ListChanges, request)
    items = [RecordVersion.of(each) for each in answer.records]
    return Page(items=items, next_cursor=to_cursor(listing, answer.next_page_token))


@router.get("/jobs/{job}/records/{object_name}/{record_id}", operation_id="getRecordHistory")
async def get_record_history(job: JobRef, object_name: ObjectRef, record_id: RecordRef, context: Ctx) -> RecordHistory:
    """Every version of one record that a job holds, oldest first."""
    found = await context.backends.job(job)
    request = history_pb2.GetRecordHistoryRequest(job_id=found.id, object=object_name, record_id=record_id)
    answer = await context.backends.ask(context.backends.history.GetRecordHistory, request)
    versions = [RecordVersion.of(each) for each in answer.versions]
    proven = LastProven.of(answer.last_proven) if answer.HasField("last_proven") else None
    return RecordHistory(
        job_id=found.id, object=object_name, record_id=record_id, versions=versions, last_proven=proven
    )
