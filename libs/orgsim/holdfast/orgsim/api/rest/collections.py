"""sObject Collections: up to 200 records in one request, each with its own result."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

from holdfast.orgsim import ids
from holdfast.orgsim.api.rest.records import field_names, known_object, note_use, printed, saver
from holdfast.orgsim.api.rest.uploads import records_body
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError, unsupported_object
from holdfast.orgsim.saving.transaction import all_or_none
from holdfast.orgsim.saving.writing import AmbiguousKeyError
from holdfast.orgsim.schema.objects import SObject

router = Router(DATA + "/composite/sobjects")
MOST_RECORDS = 200
MOST_RETRIEVED = 2_000
MOST_CHUNKS = 10
MOST_REPEATS = 12
Record = dict[str, Any]


@router.add("POST", "")
async def create(call: Call) -> Reply:
    """Insert records."""
    body, writer = records_body(call), saver(call)

    def save(record: Record) -> Record:
        if _key(record, "Id") is not None:
            raise ApiError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", ["Id"])
        obj = _object(call, record)
        return _saved(call, obj, writer.insert(obj, record))

    return _each(call, _records(body), save, together=bool(body.get("allOrNone")))


@router.add("PATCH", "")
async def change(call: Call) -> Reply:
    """Update records by id."""
    body, writer = records_body(call), saver(call)
    seen: dict[str, int] = {}

    def save(record: Record) -> Record:
        obj, key = _object(call, record), _key(record, "Id")
        if key is None:
            raise ApiError(400, "MISSING_ARGUMENT", "Id not specified in an update call", [])
        wanted = _row_id(str(record[key]))
        seen[wanted] = seen.get(wanted, 0) + 1
        if seen[wanted] > MOST_REPEATS:
            message = (
                f"Maximum number of duplicate updates in one batch ({MOST_REPEATS} allowed). Attempt to update Id more "
                f"than once in this Api call: {wanted}"
            )
            raise ApiError(400, "DUPLICATE_VALUE", message, [])
        _must_exist(call, obj, wanted)
        writer.update(wanted, {k: v for k, v in record.items() if k != key}, obj)
        return _saved(call, obj, wanted)

    return _each(call, _records(body), save, together=bool(body.get("allOrNone")))


@router.add("DELETE", "")
async def delete(call: Call) -> Reply:
    """Delete records by `?ids=`."""
    writer = saver(call)

    def drop(record: Record) -> Record:
        wanted = _row_id(record["id"])
        obj = call.org.schema.by_prefix(wanted[:3])
        if obj is None:
            raise ApiError(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])
        _must_exist(call, obj, wanted)
        writer.delete(wanted, obj)
        return {"id": wanted, "success": True, "errors": []}

    wanted = [{"id": i.strip()} for i in call.query.get("ids", "").split(",") if i.strip()]
    if not wanted:
        raise ApiError(400, "MISSING_ARGUMENT", "The ids parameter is required")
    return _each(call, wanted, drop, together=call.query.get("allOrNone", "").lower() == "true")


@router.add("PATCH", "/{object}/{field}")
async def upsert(call: Call) -> Reply:
    """Insert or update records by an external id field."""
    body, writer = records_body(call), saver(call)
    obj, key_field = known_object(call, call.params["object"]), call.params["field"]
    seen: set[str] = set()

    def save(record: Record) -> Record:
        key = _key(record, key_field) or key_field
        value = "" if record.get(key) is None else str(record[key])
        if value and value.lower() in seen:
            raise ApiError(400, "DUPLICATE_VALUE", f"Duplicate external id specified: {value}", [key_field])
        seen.add(value.lower())
        values = {k: v for k, v in record.items() if k != key}
        try:
            saved, created = writer.upsert(obj, key_field, value, values)
        except AmbiguousKeyError as several:
            message = f"{key_field}: more than one record found for external id field: {several.ids}"
            raise ApiError(400, "DUPLICATE_EXTERNAL_ID", message, []) from several
        return {**_saved(call, obj, saved), "created": created}

    return _each(call, _records(body), save, together=bool(body.get("allOrNone")))


@router.add("GET", "/{object}")
async def retrieve(call: Call) -> Reply:
    """Records by `?ids=&fields=`; null for each that is not there."""
    names = [n.strip() for n in call.query.get("fields", "").split(",") if n.strip()]
    return _retrieve(call, [i.strip() for i in call.query.get("ids", "").split(",") if i.strip()], names)


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
    return records


def _kind(record: Record) -> str | None:
    attributes = record.get("attributes")
    kind = attributes.get("type") if isinstance(attributes, dict) else None
    return None if kind is None else str(kind)


def _object(call: Call, record: Record) -> SObject:
    kind = _kind(record)
    if kind is None:
        raise ApiError(400, "INVALID_INPUT", "Each record needs attributes with a type", [])
    obj = call.org.schema.find(kind)
    if obj is None or not call.user.reads(obj.name):
        raise unsupported_object(kind)
    return obj


def _key(record: Record, name: str) -> str | None:
    """How the record spells the name of its key; None if it has none."""
    return next((k for k in record if k.lower() == name.lower()), None)


def _row_id(text: str) -> str:
    wanted = ids.normalise(text)
    if wanted is None:
        raise ApiError(400, "MALFORMED_ID", f"malformed id {text}", [])
    return wanted


def _must_exist(call: Call, obj: SObject, wanted: str) -> None:
    if call.org.table(obj).get(wanted) is None:
        raise ApiError(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])


def _saved(call: Call, obj: SObject, record_id: str) -> Record:
    note_use(call, obj, record_id)
    return {"id": record_id, "success": True, "errors": []}


def _each(call: Call, records: list[Record], save: Callable[[Record], Record], *, together: bool) -> Reply:
    if len(records) > MOST_RECORDS:
        message = f"record limit reached. cannot submit more than {MOST_RECORDS} records into this call"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
    if sum(1 for _ in groupby(records, _kind)) > MOST_CHUNKS:
        message = (
            f"Cannot have more than {MOST_CHUNKS} chunks in a single operation. Please rearrange the data to reduce "
            "chunking."
        )
        raise ApiError(400, "LIMIT_EXCEEDED", message)
    if not together:
        return json_reply([_attempt(save, record) for record in records])
    results: list[Record] = []
    try:
        with all_or_none(call.org):
            results += [_attempt(save, record) for record in records]
            if not all(result["success"] for result in results):
                raise _UndoneError
    except _UndoneError:
        results = [_rolled_back() if result["success"] else result for result in results]
    return json_reply(results)


class _UndoneError(Exception):
    """One record failed, so none is kept."""


def _attempt(save: Callable[[Record], Record], record: Record) -> Record:
    try:
        return save(record)
    except ApiError as error:
        return {"success": False, "errors": [row_error(error)]}


def _rolled_back() -> Record:
    message = "Record rolled back because not all records were valid and the request was using AllOrNone header"
    return {"success": False, "errors": [row_error(ApiError(400, "ALL_OR_NONE_OPERATION_ROLLED_BACK", message))]}


def row_error(error: ApiError) -> Record:
    """A failed record's error; its code is called statusCode here."""
    return {"statusCode": error.code, "message": error.message, "fields": error.fields or []}
