"""Processing a batch: its query, or its rows one after the other."""

from __future__ import annotations

import logging
from datetime import timedelta

import polars as pl

from holdfast.orgsim.api.bulk1 import rows
from holdfast.orgsim.api.bulk1.model import Batch, Job, RowResult
from holdfast.orgsim.api.bulk2 import restrictions
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.org import Org
from holdfast.orgsim.saving.outcomes import Outcomes
from holdfast.orgsim.saving.saver import Saver
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
    if batch.state not in ("Queued", "InProgress"):
        return
    if job.stuck:
        batch.state = "InProgress"
        return
    if job.spoilt is not None:
        batch.fail(job.spoilt, org.clock.now())
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
    outcomes = _outcomes(job, obj, Saver(org, user, "Bulk1"), rows.read(job, batch.request, obj))
    batch.rows = [RowResult(saved if error is None else None, created, error) for saved, created, error in outcomes]
    batch.processed, batch.failed = len(outcomes), outcomes.failed


def _outcomes(job: Job, obj: SObject, writer: Saver, given: list[rows.Row]) -> Outcomes:
    """Do the job's operation to its rows."""
    key = {"insert": None, "upsert": job.external_id_field}.get(job.operation, "Id") or "Id"
    keys = pl.Series([_value(row, key) for row in given], dtype=pl.String)
    if job.operation == "delete":
        return writer.delete_many(keys, obj)
    if job.operation == "hardDelete":
        return writer.hard_delete_many(keys, obj)
    own = ("id", key.lower())
    values = writer.given(obj, [{k: v for k, v in row.items() if k.lower() not in own} for row in given])
    if job.operation == "insert":
        return writer.insert_many(obj, values)
    if job.operation == "update":
        return writer.update_many(obj, keys, values)
    return writer.upsert_many(obj, key, keys, values)


def _value(row: rows.Row, name: str) -> str | None:
    """The value of a column, whatever the case in which the client wrote its name."""
    value = next((v for k, v in row.items() if k.lower() == name.lower()), None)
    return None if value is None else str(value)
