"""Bulk 2.0 ingest jobs. A job is processed when its upload is declared complete."""

from __future__ import annotations

import csv
from typing import Any

from holdfast.orgsim.api.bulk2 import processing
from holdfast.orgsim.api.bulk2.jobs import CSV_TYPE, DELIMITERS, FINAL_STATES, LINE_ENDINGS, Job, choice
from holdfast.orgsim.api.bulk2.listing import list_jobs
from holdfast.orgsim.api.bulk2.restrictions import refuse_hard_delete, refuse_object
from holdfast.orgsim.api.bulk2.results import head_line
from holdfast.orgsim.api.rest.uploads import is_multipart, split
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError

router = Router(DATA + "/jobs/ingest")
OPERATIONS = frozenset({"insert", "update", "upsert", "delete", "hardDelete"})
MOST_BYTES = 150_000_000
MOST_INLINE = 100_000  # characters of a multipart job


@router.add("POST", "")
async def create(call: Call) -> Reply:
    """Open a job. Its rows may come along in a multipart body; it then begins at once."""
    body, content = _definition(call)
    operation = body.get("operation")
    if operation not in OPERATIONS:
        raise ApiError(400, "INVALIDJOB", f"InvalidJob : Unsupported operation {operation}")
    obj = call.org.readable(str(body.get("object", "")), call.user)
    refuse_object(obj)
    refuse_hard_delete(operation, call.user)
    key = body.get("externalIdFieldName")
    if operation == "upsert" and (not key or obj.find(key) is None):
        raise ApiError(400, "INVALIDJOB", "InvalidJob : External ID was blank for " + obj.name)
    job = Job(call.org.bulk_jobs.new_id(), "V2Ingest", operation, obj.name, call.user.username, call.user.id,
              call.org.clock.now(), call.version, "Open", external_id_field=key,
              delimiter=choice(body, "columnDelimiter", DELIMITERS, "COMMA"),
              line_ending=choice(body, "lineEnding", LINE_ENDINGS, "LF"))  # fmt: skip
    call.org.bulk_jobs.add(job)
    if content is None:
        return json_reply(job.info())
    job.input = content
    return _submit(call, job)


def _definition(call: Call) -> tuple[dict[str, Any], bytes | None]:
    """The part `job` and the part `content` of a multipart body, or a plain job."""
    if not is_multipart(call):
        return call.json_object(), None
    body, files = split(call)
    if "content" not in files:
        raise ApiError(400, "INVALIDJOB", "InvalidJob : The multipart request has no part named content")
    content = bytes(files["content"].content)
    if len(content.decode("utf-8", "replace")) > MOST_INLINE:
        raise ApiError(400, "INVALIDBATCH", f"InvalidBatch : The content part exceeds {MOST_INLINE} characters")
    return body, content


def _submit(call: Call, job: Job) -> Reply:
    """Declare the upload complete: the job is processed now, or later if the org is told that jobs take a while."""
    org, now = call.org, call.org.clock.now()
    job.state = "UploadComplete"
    org.bulk_jobs.submit(job, now)
    answer = json_reply(job.info())

    def work() -> None:
        job.look(org.clock.now())
        if job.state not in FINAL_STATES and not job.stuck:
            processing.start(org, call.user, job)

    if job.takes:
        org.schedule.at(now + job.takes, work)
    else:
        work()
    return answer


def _job(call: Call) -> Job:
    return call.org.bulk_jobs.get(call.params["id"], "V2Ingest", call.user.username, call.org.clock.now())


@router.add("PUT", "/{id}/batches")
async def upload(call: Call) -> Reply:
    """The job's rows; exactly one upload per job."""
    job = _job(call)
    if job.state != "Open" or job.input is not None:
        raise ApiError(400, "INVALIDJOBSTATE", f"Data cannot be uploaded in state {job.state} or a second time")
    if len(call.body) > MOST_BYTES:
        raise ApiError(400, "INVALIDBATCH", "Request size exceeded the maximum of 150 MB")
    job.input = call.body
    return Reply(201)


@router.add("PATCH", "/{id}")
async def close(call: Call) -> Reply:
    """Declare the upload complete, or abort."""
    job, state = _job(call), call.json_object().get("state")
    if state not in ("UploadComplete", "Aborted") or job.state in FINAL_STATES:
        raise ApiError(400, "INVALIDJOBSTATE", f"Job in state {job.state} cannot become {state}")
    if state == "UploadComplete":
        if job.state != "Open":
            raise ApiError(400, "INVALIDJOBSTATE", f"Job in state {job.state} cannot become {state}")
        return _submit(call, job)
    job.state = state
    return json_reply(job.info())


@router.add("GET", "/{id}")
async def info(call: Call) -> Reply:
    """How the job stands."""
    return json_reply(_job(call).full_info())


@router.add("DELETE", "/{id}")
async def delete(call: Call) -> Reply:
    """Forget a job that has ended."""
    job = _job(call)
    if job.state not in FINAL_STATES:
        raise ApiError(400, "INVALIDJOBSTATE", f"Deleting job in state {job.state} not allowed")
    call.org.bulk_jobs.remove(job.id)
    return Reply(204)


@router.add("GET", "")
async def listing(call: Call) -> Reply:
    """The user's ingest jobs."""
    return list_jobs(call, "V2Ingest", "ingest")


@router.add("GET", "/{id}/successfulResults")
async def successful(call: Call) -> Reply:
    """Rows that were saved."""
    return _result(call, "successful")


@router.add("GET", "/{id}/failedResults")
async def failed(call: Call) -> Reply:
    """Rows that were refused, and why."""
    return _result(call, "failed")


@router.add("GET", "/{id}/unprocessedrecords")
@router.add("GET", "/{id}/unprocessedRecords")
async def unprocessed(call: Call) -> Reply:
    """Rows that were never looked at."""
    return _result(call, "unprocessed")


def _result(call: Call, name: str) -> Reply:
    job = _job(call)
    if job.state not in FINAL_STATES:
        raise ApiError(400, "INVALIDJOBSTATE", f"Results are not available in state {job.state}")
    body = job.results.get(name) if job.results else _untouched(job, name)
    return Reply(200, body or b"", CSV_TYPE)


def _untouched(job: Job, name: str) -> bytes:
    """A result file of a job that was aborted, or failed before its first row: every row is unprocessed."""
    rows = job.input or b""
    if name == "unprocessed" or not rows:
        return rows
    line = rows.partition(b"\n")[0].decode("utf-8-sig", "replace").rstrip("\r")
    header = next(csv.reader([line], delimiter=job.separator))
    return head_line(name, header, job.separator, job.newline)
