"""`/services/async/XX.X/job`: make a job, look at it, close or abort it."""

from __future__ import annotations

import re
from typing import Any

from holdfast.orgsim.api.bulk1.formats import info_reply, job_info, read_job
from holdfast.orgsim.api.bulk1.model import QUERIES, BulkError, Chunking, Job
from holdfast.orgsim.api.bulk1.routing import BulkRouter, find_job, sends_json
from holdfast.orgsim.api.bulk2 import restrictions
from holdfast.orgsim.api.web import Call, Reply
from holdfast.orgsim.ids import normalise
from holdfast.orgsim.schema.objects import SObject

router = BulkRouter()
OPERATIONS = QUERIES | {"insert", "update", "upsert", "delete", "hardDelete"}
CONTENT_TYPES = ("CSV", "XML", "JSON")
ZIPPED = ("ZIP_CSV", "ZIP_XML", "ZIP_JSON")
CONCURRENCY = {"0": "Parallel", "1": "Serial", "Parallel": "Parallel", "Serial": "Serial"}
DEFAULT_CHUNK, LARGEST_CHUNK = 100_000, 250_000


@router.on("POST", "")
async def create(call: Call) -> Reply:
    """Open a job. JSON or XML by the request's Content-Type; answers 201 in the same."""
    as_json = sends_json(call)
    given = read_job(call.body, as_json=as_json)
    operation = str(given.get("operation") or "")
    if operation not in OPERATIONS:
        raise BulkError("InvalidJob", f"Unable to parse Job: unknown operation '{operation}'")
    obj = _object(call, str(given.get("object") or ""))
    restrictions.refuse_object(obj)
    restrictions.refuse_hard_delete(operation, call.user)
    now = call.org.clock.now()
    job = Job(call.org.bulk_jobs.new_id(), operation, obj.name, call.user.id, now, now, call.params["api_version"],
              _content_type(given, as_json=as_json), _concurrency(given), _external_id(given, operation, obj),
              _chunking(call, operation))  # fmt: skip
    call.org.bulk1_jobs.add(job)
    return info_reply("jobInfo", job_info(job), as_json=as_json, status=201)


def _object(call: Call, name: str) -> SObject:
    obj = call.org.schema.find(name)
    if obj is None or not call.user.reads(obj.name):
        raise BulkError("InvalidJob", f"Unable to find object: {name}")
    return obj


def _content_type(given: dict[str, Any], *, as_json: bool) -> str:
    asked = str(given.get("contentType") or ("JSON" if as_json else "XML"))
    if asked in ZIPPED:
        raise BulkError("FeatureNotEnabled", f"Content type {asked} is not supported by this org")
    if asked not in CONTENT_TYPES:
        raise BulkError("InvalidJob", f"Unable to parse Job: unknown contentType '{asked}'")
    return asked


def _concurrency(given: dict[str, Any]) -> str:
    asked = given.get("concurrencyMode")
    mode = "Parallel" if asked in (None, "") else CONCURRENCY.get(str(asked))
    if mode is None:
        raise BulkError("InvalidJob", f"Unable to parse Job: unknown concurrencyMode '{asked}'")
    return mode


def _external_id(given: dict[str, Any], operation: str, obj: SObject) -> str | None:
    name = given.get("externalIdFieldName")
    if operation != "upsert":
        return str(name) if name else None
    if not name:
        raise BulkError("InvalidJob", f"External ID was blank for {obj.name}. An External ID must be specified "
                        "for upsert.")  # fmt: skip
    field = obj.find(str(name))
    if field is None or not (field["externalId"] or field["idLookup"] or field["name"] == "Id"):
        raise BulkError("InvalidJob", f"Field name provided, {name} does not match an External ID, Salesforce Id, "
                        f"or indexed field for {obj.name}")  # fmt: skip
    return str(field["name"])


def _chunking(call: Call, operation: str) -> Chunking | None:
    """`true`, `false`, or `chunkSize=…; parent=…; startRow=…` in any mix, as clients write them."""
    header = call.headers.get("sforce-enable-pkchunking", "").strip()
    if not header or header.lower() == "false" or operation not in QUERIES:
        return None
    pairs = [part.partition("=") for part in re.split(r"\s*;\s*", header) if part]
    given = {key.strip().lower(): value.strip() for key, _, value in pairs}
    size = given.get("chunksize", str(DEFAULT_CHUNK))
    if not size.isdigit() or not 1 <= int(size) <= LARGEST_CHUNK:
        raise BulkError("ClientInputError", f"Invalid chunkSize: {size}. The most is {LARGEST_CHUNK}")
    start = given.get("startrow")
    if start and normalise(start) is None:
        raise BulkError("ClientInputError", f"Invalid startRow: {start}")
    return Chunking(int(size), given.get("parent"), normalise(start) if start else None)


@router.on("GET", "/{job_id}")
async def info(call: Call) -> Reply:
    """How the job stands."""
    job = find_job(call)
    named = bool(call.headers.get("content-type"))
    as_json = sends_json(call) if named else job.content_type == "JSON"
    return info_reply("jobInfo", job_info(job), as_json=as_json)


@router.on("POST", "/{job_id}")
async def change(call: Call) -> Reply:
    """Close the job, so that it takes no more batches, or abort it: queued batches are then not processed."""
    as_json = sends_json(call)
    job, state = find_job(call), str(read_job(call.body, as_json=as_json).get("state") or "")
    if state not in ("Closed", "Aborted"):
        raise BulkError("InvalidJobState", f"Unable to set the state of a job to '{state}'")
    if job.state == "Aborted" or (job.state == "Closed" and state == "Aborted" and not _waiting(job)):
        raise BulkError("InvalidJobState", f"Job is {job.state} and cannot become {state}")
    now = call.org.clock.now()
    job.state, job.changed = state, now
    if state == "Aborted":
        for batch in job.batches.values():
            if batch.state in ("Queued", "InProgress"):
                batch.state, batch.changed = "NotProcessed", now
    return info_reply("jobInfo", job_info(job), as_json=as_json)


def _waiting(job: Job) -> bool:
    return job.count("Queued", "InProgress") > 0
