"""How Bulk 1.0 writes infos, errors and lists in XML and JSON, and reads what clients send."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from holdfast.orgsim.api.bulk1.model import Batch, BulkError, Job
from holdfast.orgsim.api.web import Reply, dump
from holdfast.orgsim.api.xmltext import local_name, text
from holdfast.orgsim.errors import ApiError

NAMESPACE = "http://www.force.com/2009/06/asyncapi/dataload"
XML, JSON = "application/xml", "application/json"  # exactly so: clients compare the whole header
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'

Info = dict[str, str | int | float | None]


def job_info(job: Job) -> Info:
    """The fields of a job in the order in which a real org writes them; None only shows in JSON."""
    rows = list(job.batches.values())
    return {
        "id": job.id, "operation": job.operation, "object": job.object, "createdById": job.user_id,
        "createdDate": _stamp(job.created), "systemModstamp": _stamp(job.changed), "state": job.state,
        "externalIdFieldName": job.external_id_field, "assignmentRuleId": None, "concurrencyMode": job.concurrency,
        "contentType": job.content_type, "numberBatchesQueued": job.count("Queued"),
        "numberBatchesInProgress": job.count("InProgress"), "numberBatchesCompleted": job.count("Completed"),
        "numberBatchesFailed": job.count("Failed"), "numberBatchesTotal": len(rows),
        "numberRecordsProcessed": sum(batch.processed for batch in rows), "numberRetries": 0,
        "apiVersion": float(job.version), "numberRecordsFailed": sum(batch.failed for batch in rows),
        "totalProcessingTime": job.count("Completed"), "apiActiveProcessingTime": job.count("Completed"),
        "apexProcessingTime": 0,
    }  # fmt: skip


def batch_info(batch: Batch) -> Info:
    """The fields of a batch, in the platform's order."""
    took = 0 if batch.state in ("Queued", "NotProcessed") else 1
    return {
        "id": batch.id, "jobId": batch.job_id, "state": batch.state, "stateMessage": batch.message,
        "createdDate": _stamp(batch.created), "systemModstamp": _stamp(batch.changed),
        "numberRecordsProcessed": batch.processed, "numberRecordsFailed": batch.failed, "totalProcessingTime": took,
        "apiActiveProcessingTime": took, "apexProcessingTime": 0,
    }  # fmt: skip


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def info_reply(name: str, info: Info, *, as_json: bool, status: int = 200) -> Reply:
    """A jobInfo or batchInfo."""
    if as_json:
        return Reply(status, dump(_json_dates(info)), JSON)
    return Reply(status, _document(name, _elements(info)), XML)


def list_reply(infos: list[Info], *, as_json: bool) -> Reply:
    """A batchInfoList."""
    if as_json:
        return Reply(200, dump({"batchInfo": [_json_dates(info) for info in infos]}), JSON)
    return Reply(200, _document("batchInfoList", "".join(f"<batchInfo>{_elements(i)}</batchInfo>" for i in infos)), XML)


def result_list_reply(result_ids: list[str], *, as_json: bool) -> Reply:
    """Which result files a query batch has."""
    if as_json:
        return Reply(200, dump(result_ids), JSON)
    return Reply(200, _document("result-list", "".join(f"<result>{i}</result>" for i in result_ids)), XML)


def error_reply(error: ApiError, *, as_json: bool) -> Reply:
    """An error answer: an object, not the array of REST."""
    if as_json:
        return Reply(error.status, dump({"exceptionCode": error.code, "exceptionMessage": error.message}), JSON)
    inner = _elements({"exceptionCode": error.code, "exceptionMessage": error.message})
    return Reply(error.status, _document("error", inner), XML)


def _document(name: str, inner: str) -> bytes:
    return f'{DECLARATION}<{name}\n   xmlns="{NAMESPACE}">{inner}</{name}>'.encode()


def _elements(info: Info) -> str:
    return "".join(f"\n <{k}>{text(v)}</{k}>" for k, v in info.items() if v is not None) + "\n"


def _json_dates(info: Info) -> Info:
    dates = ("createdDate", "systemModstamp")
    return {k: v.replace("Z", "+0000") if k in dates and isinstance(v, str) else v for k, v in info.items()}


def wants_json(content_type: str) -> bool:
    """Whether a Content-Type names JSON."""
    return content_type.partition(";")[0].strip().lower() == JSON


def read_job(body: bytes, *, as_json: bool) -> dict[str, Any]:
    """A jobInfo as clients send it.

    Raises:
        BulkError: InvalidJob, the text is not well-formed or no object.
    """
    if not as_json:
        return {local_name(e): (e.text or "").strip() for e in read_xml(body)}
    try:
        value = json.loads(body)
    except ValueError as error:
        raise BulkError("InvalidJob", f"Unable to parse Job: {error}") from error
    if not isinstance(value, dict):
        raise BulkError("InvalidJob", "Unable to parse Job: not an object")
    return value


def read_xml(body: bytes) -> Element:
    """The root element of a document.

    Raises:
        BulkError: InvalidXML.
    """
    try:
        root: Element = fromstring(body.strip())
    except (ParseError, ValueError, DefusedXmlException) as error:
        raise BulkError("InvalidXML", f"Unable to parse XML: {error}") from error
    return root
