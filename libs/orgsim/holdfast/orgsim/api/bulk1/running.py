"""Processing a batch: its query, or its rows one after the other."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from holdfast.orgsim import ids
from holdfast.orgsim.api.bulk1 import rows
from holdfast.orgsim.api.bulk1.model import Batch, Job, RowResult
from holdfast.orgsim.api.bulk2 import restrictions
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.org import Org
from holdfast.orgsim.saving.deleting import Deleter
from holdfast.orgsim.saving.writing import AmbiguousKeyError
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.soql.evaluate import run
from holdfast.orgsim.soql.parse import parse

LONGEST_QUERY = 20_000
logger = logging.getLogger(__name__)


def schedule(org: Org, user: User, job: Job, batch: Batch, takes: timedelta) -> None:
    """Have the batch seen as queued, then in progress, and processed after `takes` on the org's clock."""
    now = org.clock.now()

    def begin() -> None:
        if batch.state == "Queued":
            batch.state, batch.changed = "InProgress", org.clock.now()

    org.schedule.at(now + takes / 4, begin)
    org.schedule.at(now + takes, lambda: process(org, user, job, batch))


def process(org: Org, user: User, job: Job, batch: Batch) -> None:
    """Process a batch unless it was aborted or is stuck; it ends Completed or Failed."""
    if batch.state not in ("Queued", "InProgress") or batch.stuck:
        return
    try:
        if job.is_query:
            _query(org, user, job, batch)
        else:
            _save(org, user, job, batch)
    except ApiError as error:
        batch.fail(_sentence(job, error), org.clock.now())
    except Exception:
        logger.exception("batch %s", batch.id)
        batch.fail("InternalServerError : An unexpected error occurred.", org.clock.now())
    else:
        batch.state, batch.changed = "Completed", org.clock.now()


def _sentence(job: Job, error: ApiError) -> str:
    """`InvalidBatch : …`; a query's own error stands behind the sentence that the platform puts before it."""
    if error.code == "FEATURENOTENABLED":
        return f"FeatureNotEnabled : {error.message}"
    if error.code == "INVALIDENTITY":
        return f"InvalidEntity : {error.message}"
    if job.is_query:
        return f"InvalidBatch : Failed to process query: {error.code}: {error.message}"
    return f"{error.code if error.code[1:].lower() != error.code[1:] else 'InvalidBatch'} : {error.message}"


def _query(org: Org, user: User, job: Job, batch: Batch) -> None:
    text = batch.request.decode("utf-8", "replace").strip()
    if len(text) > LONGEST_QUERY:
        raise ApiError(400, "MALFORMED_QUERY", f"Failed to read query. Exceeded max size limit of {LONGEST_QUERY}")
    query = parse(text)
    obj = org.readable(query.object, user)
    if obj.name != job.object:
        message = (f"The root entity of the requested query ({obj.name}) does not match the entity of the requested "
                   f"Bulk API Job ({job.object}).")  # fmt: skip
        raise ApiError(400, "INVALID_TYPE_FOR_OPERATION", message)
    restrictions.refuse_object(obj)
    restrictions.refuse_query(query)
    result = run(org, query, user, include_deleted=job.operation == "queryAll")
    restrictions.refuse_columns(result)
    batch.result, batch.result_id = result, org.bulk1_jobs.new_result_id()
    batch.processed = result.frame.height


def _save(org: Org, user: User, job: Job, batch: Batch) -> None:
    obj = org.readable(job.object, user)
    save = _Saver(job, obj, Deleter(org, user, "Bulk1"))
    for row in rows.read(job, batch.request, obj):
        batch.rows.append(save.row(row))
    batch.processed = len(batch.rows)
    batch.failed = sum(1 for result in batch.rows if result.error is not None)


class _Saver:
    """Does the job's operation to one row after the other."""

    def __init__(self, job: Job, obj: SObject, writer: Deleter) -> None:
        self._job = job
        self._obj = obj
        self._writer = writer

    def row(self, row: dict[str, Any]) -> RowResult:
        """What becomes of a row; an error is its result, not the batch's."""
        given = next((v for k, v in row.items() if k.lower() == "id"), None)
        values = {k: v for k, v in row.items() if k.lower() != "id"}
        try:
            if self._job.operation == "insert":
                return RowResult(self._writer.insert(self._obj, values), created=True)
            if self._job.operation == "upsert":
                return self._upsert(row, values)
            return RowResult(self._change(str(given or ""), values))
        except ApiError as error:
            return RowResult(None, error=error)

    def _change(self, given: str, values: dict[str, Any]) -> str:
        record_id = ids.normalise(given)
        if record_id is None:
            code = "MALFORMED_ID" if given else "MISSING_ARGUMENT"
            message = f"Id: id value of incorrect type: {given}" if given else "Id not specified"
            raise ApiError(400, code, message, ["Id"] if given else [])
        if self._job.operation == "update":
            self._writer.update(record_id, values, self._obj)
        elif self._job.operation == "delete":
            self._writer.delete(record_id, self._obj)
        else:
            self._writer.hard_delete(record_id, self._obj)
        return record_id

    def _upsert(self, row: dict[str, Any], values: dict[str, Any]) -> RowResult:
        field = self._job.external_id_field or "Id"
        key = str(next((v for k, v in row.items() if k.lower() == field.lower()), None) or "")
        plain = {k: v for k, v in values.items() if k.lower() != field.lower()}
        if not key and field != "Id":
            raise ApiError(400, "MISSING_ARGUMENT", f"{field} not specified", [])
        try:
            return RowResult(*self._writer.upsert(self._obj, field, key, plain))
        except AmbiguousKeyError as several:
            message = f"{field}: more than one record found for external id field: {several.ids}"
            raise ApiError(400, "DUPLICATE_EXTERNAL_ID", message, []) from several
