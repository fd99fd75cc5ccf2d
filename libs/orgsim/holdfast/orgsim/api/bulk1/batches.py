"""`/job/{id}/batch`: add a batch, look at one or all, read back what was sent."""

from __future__ import annotations

from datetime import timedelta

from holdfast.orgsim.api.bulk1 import chunking, running
from holdfast.orgsim.api.bulk1.formats import JSON, XML, batch_info, info_reply, list_reply
from holdfast.orgsim.api.bulk1.model import Batch, BulkError, Job
from holdfast.orgsim.api.bulk1.routing import BulkRouter, find_batch, find_job
from holdfast.orgsim.api.web import Call, Reply

router = BulkRouter()
MOST_BYTES = 10_000_000
BODY_TYPES = {"CSV": "text/csv", "JSON": JSON, "XML": XML}


@router.on("POST", "/{job_id}/batch")
async def create(call: Call) -> Reply:
    """Add rows in the job's format, or one SOQL statement as plain text. Answers 201 with a queued batch."""
    job = find_job(call)
    if job.state != "Open":
        raise BulkError("InvalidJobState", f"Job is {job.state}: no batch can be added")
    _fitting_type(call, job)
    if len(call.body) > MOST_BYTES:
        raise BulkError("ClientInputError", f"Failed to read request. Exceeded max size limit of {MOST_BYTES} with "
                        f"response size {len(call.body)}")  # fmt: skip
    now = call.org.clock.now()
    call.org.accounting.charge_batches(1, now)
    batch = call.org.bulk1_jobs.new_batch(job, call.body, now)
    answer = info_reply("batchInfo", batch_info(batch), as_json=job.content_type == "JSON", status=201)
    _start(call, job, batch)
    return answer


def _fitting_type(call: Call, job: Job) -> None:
    sent = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    fitting = {BODY_TYPES[job.content_type]} | ({"text/plain"} if job.is_query else set())
    if job.content_type == "XML":
        fitting.add("text/xml")
    if sent and sent not in fitting:
        raise BulkError("InvalidBatch", f"Content type {sent} does not match the content type of the job, "
                        f"{job.content_type}")  # fmt: skip


def _start(call: Call, job: Job, batch: Batch) -> None:
    """Process now, or later if the org is told that jobs take a while. A chunked query becomes further batches."""
    todo = [batch]
    if job.chunking is not None:
        todo = chunking.split(call.org, call.user, job, batch)
    takes = timedelta(seconds=call.org.settings.bulk_job_s)
    for each in todo:
        if takes:
            running.schedule(call.org, call.user, job, each, takes)
        else:
            running.process(call.org, call.user, job, each)


@router.on("GET", "/{job_id}/batch")
async def listing(call: Call) -> Reply:
    """Every batch of the job."""
    job = find_job(call)
    infos = [batch_info(batch) for batch in job.batches.values()]
    return list_reply(infos, as_json=job.content_type == "JSON")


@router.on("GET", "/{job_id}/batch/{batch_id}")
async def info(call: Call) -> Reply:
    """How one batch stands."""
    job, batch = find_batch(call)
    return info_reply("batchInfo", batch_info(batch), as_json=job.content_type == "JSON")


@router.on("GET", "/{job_id}/batch/{batch_id}/request")
async def request(call: Call) -> Reply:
    """The batch as it was sent."""
    job, batch = find_batch(call)
    return Reply(200, batch.request, BODY_TYPES[job.content_type])
