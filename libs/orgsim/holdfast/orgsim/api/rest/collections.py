"""sObject Collections: up to 200 records in one request, each with its own result."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

from holdfast.orgsim import ids
from holdfast.orgsim.api.rest.records import field_names, known_object, listed, note_use, printed, saver
from holdfast.orgsim.api.rest.uploads import records_body
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError, rolled_back, unsupported_object
from holdfast.orgsim.saving.listed import Outcome, delete_listed, insert_listed, update_listed, upsert_listed
from holdfast.orgsim.saving.transaction import all_or_none
from holdfast.orgsim.schema.objects import SObject

router = Router(DATA + "/composite/sobjects")
MOST_RECORDS = 200
MOST_RETRIEVED = 2_000
MOST_CHUNKS = 10
Record = dict[str, Any]


@router.add("POST", "")
async def create(call: Call) -> Reply:
    """Insert records."""
    body = records_body(call)
    return _by_type(call, body, lambda obj, records: insert_listed(saver(call), obj, records))


@router.add("PATCH", "")
async def change(call: Call) -> Reply:
    """Update records by id."""
    body = records_body(call)
    return _by_type(call, body, lambda obj, records: update_listed(saver(call), obj, records))


@router.add("DELETE", "")
async def delete(call: Call) -> Reply:
    """Delete records by `?ids=`."""
    wanted = listed(call, "ids")
    if not wanted:
        raise ApiError(400, "MISSING_ARGUMENT", "The ids parameter is required")
    _limit(len(wanted))
    together = call.query.get("allOrNone", "").lower() == "true"
    return json_reply(_results(call, lambda: delete_listed(saver(call), wanted), together=together))


@router.add("PATCH", "/{object}/{field}")
async def upsert(call: Call) -> Reply:
    """Insert or update records by an external id field."""
    body = records_body(call)
    obj, field, writer = known_object(call, call.params["object"]), call.params["field"], saver(call)
    writer.key_field(obj, field)
    records = _records(body)

    def save() -> list[Outcome]:
        return upsert_listed(writer, obj, field, records)

    results = _results(call, save, together=bool(body.get("allOrNone")), tell_created=True)
    return json_reply(results)


@router.add("GET", "/{object}")
async def retrieve(call: Call) -> Reply:
    """Records by `?ids=&fields=`; null for each that is not there."""
    return _retrieve(call, listed(call, "ids"), listed(call, "fields"))


@router.add("POST", "/{object}")
async def retrieve_many(call: Call) -> Reply:
    """Records by `{"ids", "fields"}`; null for each that is not there."""
    body = call.json_object()
    asked, fields = body.get("ids"), body.get("fields")
    if not isinstance(asked, list) or not isinstance(fields, list):
        raise ApiError(400, "JSON_PARSER_ERROR", "ids and fields must be lists")
    return _retrieve(call, [str(i) for i in asked], [str(n) for n in fields])


def _retrieve(call: Call, asked: list[str], names: list[str]) -> Reply:
    obj = known_object(call, call.params["object"])
    if not asked or not names:
        raise ApiError(400, "MISSING_ARGUMENT", "ids and fields are required")
    if len(asked) > MOST_RETRIEVED:
        message = f"record limit reached. cannot submit more than {MOST_RETRIEVED} records into this call"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
    wanted = [ids.normalise(text) for text in asked]
    found = printed(call, obj, [i for i in wanted if i is not None], field_names(call, obj, names))
    return json_reply([found.get(i or "") for i in wanted])


def _records(body: Record) -> list[Record]:
    records = body.get("records")
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise ApiError(400, "JSON_PARSER_ERROR", "records must be a list of objects")
    _limit(len(records))
    return records


def _limit(count: int) -> None:
    if count > MOST_RECORDS:
        message = f"record limit reached. cannot submit more than {MOST_RECORDS} records into this call"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)


def _by_type(call: Call, body: Record, save: Callable[[SObject, list[Record]], list[Outcome]]) -> Reply:
    """Save records of several types, in chunks of neighbours of one type."""
    chunks = [(kind, list(chunk)) for kind, chunk in groupby(_records(body), _kind)]
    if len(chunks) > MOST_CHUNKS:
        message = (
            f"Cannot have more than {MOST_CHUNKS} chunks in a single operation. Please rearrange the data to reduce "
            "chunking."
        )
        raise ApiError(400, "LIMIT_EXCEEDED", message)

    def save_all() -> list[Outcome]:
        outcomes: list[Outcome] = []
        for kind, chunk in chunks:
            try:
                outcomes += save(_object(call, kind), chunk)
            except ApiError as error:
                outcomes += [(None, False, error)] * len(chunk)
        return outcomes

    return json_reply(_results(call, save_all, together=bool(body.get("allOrNone"))))


def _kind(record: Record) -> str | None:
    attributes = record.get("attributes")
    kind = attributes.get("type") if isinstance(attributes, dict) else None
    return None if kind is None else str(kind)


def _object(call: Call, kind: str | None) -> SObject:
    if kind is None:
        raise ApiError(400, "INVALID_INPUT", "Each record needs attributes with a type", [])
    obj = call.org.schema.find(kind)
    if obj is None or not call.user.reads(obj.name):
        raise unsupported_object(kind)
    return obj


class _UndoneError(Exception):
    """One record failed, so none is kept."""


def _results(
    call: Call, save: Callable[[], list[Outcome]], *, together: bool, tell_created: bool = False
) -> list[Record]:
    """Save and print the outcomes; `together` takes everything back if one record fails."""
    if not together:
        return [_result(call, outcome, tell_created=tell_created) for outcome in save()]
    outcomes: list[Outcome] = []
    try:
        with all_or_none(call.org):
            outcomes = save()
            if any(error for _, _, error in outcomes):
                raise _UndoneError
    except _UndoneError:
        outcomes = [(None, False, error or rolled_back()) for _, _, error in outcomes]
    return [_result(call, outcome, tell_created=tell_created) for outcome in outcomes]


def _result(call: Call, outcome: Outcome, *, tell_created: bool) -> Record:
    record_id, created, error = outcome
    if error is not None or record_id is None:
        return {"success": False, "errors": [] if error is None else [row_error(error)]}
    if "sforce-mru" in call.headers:
        obj = call.org.schema.by_prefix(record_id[:3])
        if obj is not None:
            note_use(call, obj, record_id)
    result: Record = {"id": record_id, "success": True, "errors": []}
    return {**result, "created": created} if tell_created else result


def row_error(error: ApiError) -> Record:
    """A failed record's error; its code is called statusCode here."""
    return {"statusCode": error.code, "message": error.message, "fields": error.fields or []}
