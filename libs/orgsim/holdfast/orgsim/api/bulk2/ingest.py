"""Bulk 2.0 ingest jobs. A job is processed when its upload is declared complete."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping
from typing import Any

from holdfast.orgsim import ids
from holdfast.orgsim.api.bulk1.rows import check_names
from holdfast.orgsim.api.bulk2.jobs import DELIMITERS, FINAL_STATES, LINE_ENDINGS, Job
from holdfast.orgsim.api.bulk2.listing import list_jobs
from holdfast.orgsim.api.bulk2.query_jobs import choice
from holdfast.orgsim.api.bulk2.restrictions import refuse_object
from holdfast.orgsim.api.rest.uploads import is_multipart, split
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.saving.deleting import Deleter
from holdfast.orgsim.saving.writing import AmbiguousKeyError
from holdfast.orgsim.schema.objects import SObject

router = Router(DATA + "/jobs/ingest")
OPERATIONS = frozenset({"insert", "update", "upsert", "delete", "hardDelete"})
CSV_TYPE = "text/csv;charset=UTF-8"
NULL = "#N/A"
MOST_BYTES = 150_000_000
MOST_INLINE = 100_000  # characters of a multipart job
ROWS_PER_BATCH = 10_000
csv.field_size_limit(MOST_BYTES)


@router.add("POST", "")
async def create(call: Call) -> Reply:
    """Open a job. Its rows may come along in a multipart body; it then begins at once."""
    body, content = _definition(call)
    operation = body.get("operation")
    if operation not in OPERATIONS:
        raise ApiError(400, "INVALIDJOB", f"InvalidJob : Unsupported operation {operation}")
    obj = call.org.readable(str(body.get("object", "")), call.user)
    refuse_object(obj)
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
            _process(call, job)

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
    rows = (job.input or b"").removeprefix(codecs.BOM_UTF8)
    if name == "unprocessed" or not rows:
        return rows
    header = rows.partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r")
    results = _Results(job, next(csv.reader([header], delimiter=DELIMITERS[job.delimiter])))
    return results.text(name)


class _Results:
    """The three result files of a job; input columns are echoed as they came."""

    def __init__(self, job: Job, columns: list[str]) -> None:
        self._options: dict[str, Any] = {"delimiter": DELIMITERS[job.delimiter], "quoting": csv.QUOTE_ALL,
                                         "lineterminator": LINE_ENDINGS[job.line_ending]}  # fmt: skip
        self._files = {name: io.StringIO(newline="") for name in ("successful", "failed", "unprocessed")}
        self._writers = {name: csv.writer(file, **self._options) for name, file in self._files.items()}
        self._writers["successful"].writerow(["sf__Id", "sf__Created", *columns])
        self._writers["failed"].writerow(["sf__Id", "sf__Error", *columns])
        self._writers["unprocessed"].writerow(columns)

    def add(self, name: str, row: list[str]) -> None:
        """Append a row to one file."""
        self._writers[name].writerow(row)

    def text(self, name: str) -> bytes:
        """One file as it stands."""
        return self._files[name].getvalue().encode()

    def store(self, job: Job) -> None:
        """Hand the finished files to the job."""
        job.results = {name: self.text(name) for name in self._files}


def _process(call: Call, job: Job) -> None:
    text = (job.input or b"").decode("utf-8-sig", "replace")
    header_line = text.split("\n", 1)[0]
    if text and header_line.endswith("\r") != (job.line_ending == "CRLF"):
        job.state = "Failed"
        job.error = (
            f"ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {job.line_ending}"
        )
        return
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=DELIMITERS[job.delimiter], strict=True))
    except csv.Error as error:
        job.state, job.error = "Failed", f"ClientInputError : {error}"
        return
    columns = rows[0] if rows else []
    obj = call.org.readable(job.object, call.user)
    try:
        check_names(job.operation, job.external_id_field, obj, columns)
        call.org.accounting.charge_batches(max(1, -(-(len(rows) - 1) // ROWS_PER_BATCH)), call.org.clock.now())
    except ApiError as error:
        code = "ExceededQuota" if error.code == "EXCEEDEDQUOTA" else error.code
        job.state, job.error = "Failed", f"{code} : {error.message}"
        return
    results = _Results(job, columns)
    save = _Saver(job, obj, Deleter(call.org, call.user, "Bulk2"))
    for number, row in enumerate(rows[1:]):
        if job.fail_after is not None and number >= job.fail_after:
            results.add("unprocessed", row)
            continue
        job.processed += 1
        try:
            if len(row) != len(columns):
                raise ApiError(400, "INVALID_CSV_LINE", "The number of columns in the row differs from the header")
            saved, created = save(dict(zip(columns, row, strict=True)))
            results.add("successful", [saved, "true" if created else "false", *row])
        except ApiError as error:
            job.failed += 1
            sent = next((v for c, v in zip(columns, row, strict=False) if c.lower() == "id"), "")
            results.add("failed", [sent, _error_text(error), *row])
    job.state = "JobComplete"
    if job.fail_after is not None and len(rows) - 1 > job.fail_after:
        job.state, job.error = "Failed", "InternalServerError : Retried more than fifteen times"
    job.input = None
    results.store(job)


def _error_text(error: ApiError) -> str:
    return f"{error.code}:{error.message}:{','.join(error.fields or [])} --"


class _Saver:
    """Does the job's operation to one row: (id, whether it was created)."""

    def __init__(self, job: Job, obj: SObject, writer: Deleter) -> None:
        self._job = job
        self._obj = obj
        self._writer = writer

    def __call__(self, row: Mapping[str, str]) -> tuple[str, bool]:
        operation = self._job.operation
        values = {k: None if v == NULL else v for k, v in row.items() if v != "" and k.lower() != "id"}
        if operation == "insert":
            return self._writer.insert(self._obj, values), True
        if operation == "upsert":
            return self._upsert(row, values)
        given = next((v for k, v in row.items() if k.lower() == "id"), "")
        record_id = ids.normalise(given)
        if record_id is None:
            code = "MALFORMED_ID" if given else "MISSING_ARGUMENT"
            raise ApiError(400, code, f"{code.replace('_', ' ').lower()} {given}", ["Id"])
        if operation == "update":
            self._writer.update(record_id, values, self._obj)
        elif operation == "delete":
            self._writer.delete(record_id, self._obj)
        else:
            self._writer.hard_delete(record_id, self._obj)
        return record_id, False

    def _upsert(self, row: Mapping[str, str], values: dict[str, str | None]) -> tuple[str, bool]:
        key_field = self._job.external_id_field or "Id"
        key = next((v for k, v in row.items() if k.lower() == key_field.lower()), "")
        plain = {k: v for k, v in values.items() if k.lower() != key_field.lower()}
        if not key and key_field.lower() != "id":
            raise ApiError(400, "MISSING_ARGUMENT", f"{key_field} not specified", [])
        try:
            return self._writer.upsert(self._obj, key_field, key, plain)
        except AmbiguousKeyError as several:
            message = f"{key_field}: more than one record found for external id field: {several.ids}"
            raise ApiError(400, "DUPLICATE_EXTERNAL_ID", message, []) from several
