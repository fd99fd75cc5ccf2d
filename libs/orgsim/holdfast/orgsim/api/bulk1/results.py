"""`/job/{id}/batch/{id}/result`: what became of rows, and the result files of queries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from holdfast.orgsim.api import csvtext
from holdfast.orgsim.api.bulk1.formats import DECLARATION, JSON, NAMESPACE, XML, result_list_reply
from holdfast.orgsim.api.bulk1.model import Batch, BulkError, Job, RowResult
from holdfast.orgsim.api.bulk1.routing import BulkRouter, find_batch
from holdfast.orgsim.api.rest import render
from holdfast.orgsim.api.web import Call, Reply, dump
from holdfast.orgsim.api.xmltext import XSI, text
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.soql.result import Result

router = BulkRouter()
CSV = "text/csv"
NOTHING_FOUND = b"Records not found for this query\n"
RENDERED_ROWS = 2_000


@router.on("GET", "/{job_id}/batch/{batch_id}/result")
async def result(call: Call) -> Reply:
    """For a query the ids of its result files, otherwise one result per row in the order of the request."""
    job, batch = find_batch(call)
    _completed(batch)
    if job.is_query:
        return result_list_reply([batch.result_id or ""], as_json=job.content_type == "JSON")
    if job.content_type == "CSV":
        return Reply(200, _rows_csv(batch.rows), CSV)
    if job.content_type == "JSON":
        return Reply(200, dump([_row_json(row) for row in batch.rows]), JSON)
    return Reply(200, _rows_xml(batch.rows), XML)


@router.on("GET", "/{job_id}/batch/{batch_id}/result/{result_id}")
async def result_file(call: Call) -> Reply:
    """One result file of a query, in the job's format."""
    job, batch = find_batch(call)
    _completed(batch)
    if batch.result is None or batch.result_id != call.params["result_id"]:
        raise BulkError("InvalidBatch", f"Invalid result id: {call.params['result_id']}")
    call.org.accounting.bulk_pages[(job.id, batch.id, "")] += 1
    if job.content_type == "CSV":
        return Reply(200, await asyncio.to_thread(_query_csv, batch.result), CSV)
    records = _records(call, job, batch.result)
    if job.content_type == "JSON":
        return Reply(200, b"[" + b",".join(dump(record) for record in records) + b"]", JSON)
    return Reply(200, _query_xml(records), XML)


def _completed(batch: Batch) -> None:
    if batch.state in ("Failed", "NotProcessed"):
        raise BulkError("InvalidBatch", "Records not processed")
    if batch.state != "Completed":
        raise BulkError("InvalidBatch", f"Batch not completed: {batch.state}")


def _rows_csv(rows: list[RowResult]) -> bytes:
    return csvtext.lines([["Id", "Success", "Created", "Error"], *map(_row_csv, rows)])


def _row_csv(row: RowResult) -> list[str]:
    flags = ["true" if row.error is None else "false", "true" if row.created else "false"]
    return [row.id or "", *flags, "" if row.error is None else _error_text(row.error)]


def _error_text(error: ApiError) -> str:
    """A row's error as both Bulk APIs print it: `CODE:message:Field1,Field2 --`."""
    return f"{error.code}:{error.message}:{','.join(error.fields or [])} --"


def _row_json(row: RowResult) -> dict[str, Any]:
    error = row.error
    errors = [] if error is None else [
        {"message": error.message, "fields": error.fields or [], "statusCode": error.code, "extendedErrorDetails": None}
    ]  # fmt: skip
    return {"success": error is None, "created": row.created, "id": row.id, "errors": errors}


def _rows_xml(rows: list[RowResult]) -> bytes:
    return f'{DECLARATION}<results xmlns="{NAMESPACE}">{"".join(map(_row_xml, rows))}</results>'.encode()


def _row_xml(row: RowResult) -> str:
    if row.error is None:
        return f"<result><id>{row.id}</id><success>true</success><created>{str(row.created).lower()}</created></result>"
    fields = "".join(f"<fields>{text(name)}</fields>" for name in row.error.fields or [])
    message = f"<message>{text(row.error.message)}</message><statusCode>{row.error.code}</statusCode>"
    return f"<result><errors>{fields}{message}</errors><success>false</success><created>false</created></result>"


def _query_csv(found: Result) -> bytes:
    if not found.frame.height:
        return NOTHING_FOUND
    columns = found.frame.select([output.column.name for output in found.outputs])
    return csvtext.lines([[output.written for output in found.outputs]]) + csvtext.rows(columns)


def _records(call: Call, job: Job, found: Result) -> Iterator[render.Record]:
    """The rows as REST prints them, but for datetimes, which are milliseconds since 1970 in JSON."""
    moments = [o.path for o in found.outputs if o.column.kind == "datetime"]
    convert = _epoch_ms if job.content_type == "JSON" else _zulu
    for start in range(0, found.frame.height, RENDERED_ROWS):
        for record in render.records(call.org, found, job.version, start, RENDERED_ROWS):
            for path in moments:
                _replace(record, path, convert)
            yield record


def _replace(record: render.Record, path: tuple[str, ...], convert: Any) -> None:
    for name in path[:-1]:
        record = record.get(name)  # type: ignore[assignment]
        if record is None:
            return
    if record.get(path[-1]) is not None:
        record[path[-1]] = convert(record[path[-1]])


def _epoch_ms(value: str) -> int:
    at = datetime.fromisoformat(value)
    return round(at.timestamp() * 1000)


def _zulu(value: str) -> str:
    return value.replace("+0000", "Z")


def _query_xml(records: Iterator[render.Record]) -> bytes:
    rows = "".join(f'<records xsi:type="sObject">{_record_xml(record)}</records>' for record in records)
    return f'{DECLARATION}<queryResult xmlns="{NAMESPACE}" xmlns:xsi="{XSI}">{rows}</queryResult>'.encode()


def _record_xml(record: render.Record) -> str:
    attributes = record.get("attributes", {})
    parts = [f"<type>{attributes.get('type', '')}</type>"]
    for name, value in record.items():
        if name == "attributes":
            continue
        if value is None:
            parts.append(f'<{name} xsi:nil="true"/>')
        elif isinstance(value, dict):
            parts.append(f'<{name} xsi:type="sObject">{_record_xml(value)}</{name}>')
        else:
            parts.append(f"<{name}>{text(_plain(value))}</{name}>")
    return "".join(parts)


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value if isinstance(value, str) else orjson.dumps(value).decode()
