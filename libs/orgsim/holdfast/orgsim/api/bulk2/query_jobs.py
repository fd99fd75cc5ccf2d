"""Bulk 2.0 query jobs. A job runs when it is made; unless it is large, it is complete at the first look."""

from __future__ import annotations

from typing import Any

from holdfast.orgsim.api.bulk2 import execution
from holdfast.orgsim.api.bulk2.jobs import (
    CSV_TYPE,
    DAILY_QUERY_JOBS,
    DELIMITERS,
    FINAL_STATES,
    LINE_ENDINGS,
    Job,
    choice,
)
from holdfast.orgsim.api.bulk2.listing import list_jobs
from holdfast.orgsim.api.bulk2.pages import Pages
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.soql.parse import parse

router = Router(DATA + "/jobs/query")
PARALLEL_PAGES = 5


@router.add("POST", "")
async def create(call: Call) -> Reply:
    """Make a job and run its query."""
    body = call.json_object()
    if body.get("operation") not in ("query", "queryAll"):
        raise ApiError(400, "INVALIDJOB", f"InvalidJob : Unsupported operation {body.get('operation')}")
    now = call.org.clock.now()
    if call.org.bulk_jobs.queries_today(now) >= DAILY_QUERY_JOBS:
        raise ApiError(400, "EXCEEDEDQUOTA", f"Max bulk v2 query jobs ({DAILY_QUERY_JOBS}) per 24 hrs has been reached")
    text = body.get("query")
    if not isinstance(text, str):
        raise ApiError(400, "INVALIDJOB", "InvalidJob : query is required")
    query = parse(text)
    job = Job(call.org.bulk_jobs.new_id(), "V2Query", body["operation"], query.object, call.user.username,
              call.user.id, now, call.version, "UploadComplete", query=text,
              delimiter=choice(body, "columnDelimiter", DELIMITERS, "COMMA"),
              line_ending=choice(body, "lineEnding", LINE_ENDINGS, "LF"))  # fmt: skip
    await execution.begin(call.org, job, query, call.user)
    call.org.bulk_jobs.add(job)
    return json_reply(job.info())


async def _job(call: Call) -> Job:
    job = call.org.bulk_jobs.get(call.params["id"], "V2Query", call.user.username, call.org.clock.now())
    await execution.advance(job)
    return job


@router.add("GET", "/{id}")
async def info(call: Call) -> Reply:
    """How the job stands."""
    return json_reply((await _job(call)).full_info())


@router.add("GET", "/{id}/results")
async def results(call: Call) -> Reply:
    """One page of the result."""
    job, pages = await _complete(call)
    locator, size = call.query.get("locator", ""), call.query.get("maxRecords", "")
    if size and (not size.isdigit() or not int(size)):
        raise ApiError(400, "INVALIDREQUEST", f"Invalid maxRecords: {size}")
    start = pages.start_of(locator) if locator and locator != "null" else 0
    count = min(int(size), pages.page_rows) if size else pages.page_rows
    call.org.accounting.bulk_pages[(job.id, locator, size)] += 1
    end = min(start + count, pages.rows)
    headers = {
        "Sforce-NumberOfRecords": str(end - start),
        "Sforce-Locator": pages.locator(end) if end < pages.rows else "null",
    }
    packed = call.org.settings.compress and "gzip" in call.headers.get("accept-encoding", "")
    page = await (pages.compressed(start, count) if packed else pages.page(start, count))
    if call.org.accounting.bulk_pages[(job.id, locator, size)] == 1:
        call.org.accounting.result_bytes.take(page.length, call.org.clock.now())
    if packed:
        return Reply(200, b"", CSV_TYPE, {**headers, "Content-Encoding": "gzip"}, page)
    return Reply(200, pages.header, CSV_TYPE, headers, page)


@router.add("GET", "/{id}/resultPages")
async def result_pages(call: Call) -> Reply:
    """Up to five pages that can be fetched in parallel."""
    job, pages = await _complete(call)
    start = pages.start_of(call.query["locator"]) if "locator" in call.query else 0
    base = f"/services/data/v{call.version}/jobs/query/{job.id}"
    starts = list(range(start, max(1, pages.rows), pages.part_rows))
    # A page of its own may be far longer than a part: each link says how much of it is its.
    each = f"&maxRecords={pages.part_rows}"
    links = [{"resultUrl": f"{base}/results?locator={pages.locator(s)}{each}"} for s in starts[:PARALLEL_PAGES]]
    answer: dict[str, Any] = {"resultPages": links, "done": len(starts) <= PARALLEL_PAGES}
    if not answer["done"]:
        answer["nextRecordsUrl"] = f"{base}/resultPages?locator={pages.locator(starts[PARALLEL_PAGES])}"
    return json_reply(answer)


async def _complete(call: Call) -> tuple[Job, Pages]:
    job = await _job(call)
    if job.version != call.version:
        raise ApiError(409, "API_ERROR", f"The job was created with API version {job.version}")
    if job.state != "JobComplete" or job.pages is None:
        raise ApiError(400, "INVALIDJOBSTATE", f"Invalid job state: {job.state}. Results are available in JobComplete.")
    return job, job.pages


@router.add("PATCH", "/{id}")
async def abort(call: Call) -> Reply:
    """Abort a job that has not ended."""
    job = call.org.bulk_jobs.get(call.params["id"], "V2Query", call.user.username, call.org.clock.now())
    if call.json_object().get("state") != "Aborted":
        raise ApiError(400, "INVALIDJOBSTATE", "Only the state Aborted can be set")
    if job.state in FINAL_STATES:
        raise ApiError(400, "INVALIDJOBSTATE", f"Aborting already {job.state} Job not allowed")
    job.state, job.pages, job.work = "Aborted", None, None
    return json_reply(job.info())


@router.add("DELETE", "/{id}")
async def delete(call: Call) -> Reply:
    """Forget a job that has ended."""
    job = await _job(call)
    if job.state not in FINAL_STATES:
        raise ApiError(400, "INVALIDJOBSTATE", f"Deleting job in state {job.state} not allowed")
    call.org.bulk_jobs.remove(job.id)
    return Reply(204)


@router.add("GET", "")
async def listing(call: Call) -> Reply:
    """The user's query jobs."""
    return list_jobs(call, "V2Query", "query")
