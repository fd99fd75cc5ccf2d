"""sObject Collections: up to 200 records in one request, each with its own result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.orgsim import ids
from holdfast.orgsim.api.rest.rows import API, known_object, one
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.saving.deleting import Deleter
from holdfast.orgsim.saving.transaction import all_or_none
from holdfast.orgsim.saving.writing import AmbiguousKeyError

router = Router(DATA + "/composite/sobjects")
MOST_RECORDS = 200
MOST_RETRIEVED = 2_000
Result = dict[str, Any]


@router.add("POST", "")
async def create(call: Call) -> Reply:
    """Insert records."""
    writer = Deleter(call.org, call.user, API)

    def save(record: dict[str, Any]) -> Result:
        return _ok(writer.insert(known_object(call, _type(record)), record))

    return _each(call, _records(call), save)


@router.add("PATCH", "")
async def change(call: Call) -> Reply:
    """Update records by id."""
    writer = Deleter(call.org, call.user, API)

    def save(record: dict[str, Any]) -> Result:
        key = next((k for k in record if k.lower() == "id"), None)
        wanted = ids.normalise(str(record[key])) if key else None
        if key is None or wanted is None:
            raise ApiError(400, "MISSING_ARGUMENT", "Id not specified in an update call", [])
        writer.update(wanted, {k: v for k, v in record.items() if k != key}, known_object(call, _type(record)))
        return _ok(wanted)

    return _each(call, _records(call), save)


@router.add("DELETE", "")
async def delete(call: Call) -> Reply:
    """Delete records by `?ids=`."""
    writer = Deleter(call.org, call.user, API)

    def drop(record: dict[str, Any]) -> Result:
        wanted = ids.normalise(record["id"])
        if wanted is None:
            raise ApiError(400, "MALFORMED_ID", f"malformed id {record['id']}", [])
        writer.delete(wanted)
        return _ok(wanted)

    return _each(call, [{"id": i} for i in call.query.get("ids", "").split(",") if i], drop)


@router.add("PATCH", "/{object}/{field}")
async def upsert(call: Call) -> Reply:
    """Insert or update records by an external id field."""
    obj = known_object(call, call.params["object"])
    writer, key_field = Deleter(call.org, call.user, API), call.params["field"]

    def save(record: dict[str, Any]) -> Result:
        key = next((k for k in record if k.lower() == key_field.lower()), key_field)
        values = {k: v for k, v in record.items() if k != key}
        try:
            saved, created = writer.upsert(obj, key_field, str(record.get(key) or ""), values)
        except AmbiguousKeyError as several:
            message = f"{key_field}: more than one record found for external id field: {several.ids}"
            raise ApiError(400, "DUPLICATE_EXTERNAL_ID", message, []) from several
        return {**_ok(saved), "created": created}

    return _each(call, _records(call), save)


@router.add("GET", "/{object}")
async def retrieve(call: Call) -> Reply:
    """Records by `?ids=&fields=`; null for each that is not there."""
    names = [n for n in call.query.get("fields", "").split(",") if n]
    return _retrieve(call, [i for i in call.query.get("ids", "").split(",") if i], names)


@router.add("POST", "/{object}")
async def retrieve_many(call: Call) -> Reply:
    """Records by `{"ids", "fields"}`."""
    body = call.json_object()
    return _retrieve(call, list(body.get("ids", [])), list(body.get("fields", [])))


def _retrieve(call: Call, wanted: list[str], names: list[str]) -> Reply:
    obj = known_object(call, call.params["object"])
    if len(wanted) > MOST_RETRIEVED:
        raise ApiError(
            400,
            "EXCEEDED_ID_LIMIT",
            f"record limit reached. cannot submit more than {MOST_RETRIEVED} records",
        )
    found: list[dict[str, Any] | None] = []
    for text in wanted:
        record_id = ids.normalise(text)
        row = call.org.table(obj).get(record_id) if record_id else None
        living = row is not None and row["IsDeleted"] == "false"
        found.append(one(call, obj, record_id, names) if living and record_id else None)
    return json_reply(found)


def _records(call: Call) -> list[dict[str, Any]]:
    records = call.json_object().get("records")
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise ApiError(400, "JSON_PARSER_ERROR", "records must be a list of objects")
    return records


def _type(record: dict[str, Any]) -> str:
    attributes = record.get("attributes")
    if not isinstance(attributes, dict) or "type" not in attributes:
        raise ApiError(400, "INVALID_INPUT", "Each record needs attributes with a type", [])
    return str(attributes["type"])


def _ok(record_id: str) -> Result:
    return {"id": record_id, "success": True, "errors": []}


def _each(call: Call, records: list[dict[str, Any]], save: Callable[[dict[str, Any]], Result]) -> Reply:
    if len(records) > MOST_RECORDS:
        message = f"record limit reached. cannot submit more than {MOST_RECORDS} records into this call"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
    if not _all_or_none(call):
        return json_reply([_attempt(save, record) for record in records])
    results: list[Result] = []
    try:
        with all_or_none(call.org):
            for record in records:
                results.append(_attempt(save, record))
            if not all(result["success"] for result in results):
                raise _UndoneError
    except _UndoneError:
        results = [_rolled_back() if result["success"] else result for result in results]
    return json_reply(results)


class _UndoneError(Exception):
    """One record failed, so none is kept."""


def _attempt(save: Callable[[dict[str, Any]], Result], record: dict[str, Any]) -> Result:
    try:
        return save(record)
    except ApiError as error:
        return row_error(error)


def _all_or_none(call: Call) -> bool:
    if call.method == "DELETE":
        return call.query.get("allOrNone", "false").lower() == "true"
    return bool(call.json_object().get("allOrNone"))


def _rolled_back() -> Result:
    message = "Record rolled back because not all records were valid and the request was using AllOrNone header"
    return row_error(ApiError(400, "ALL_OR_NONE_OPERATION_ROLLED_BACK", message, []))


def row_error(error: ApiError) -> Result:
    """A failed record's result; its code is called statusCode here."""
    item = {"statusCode": error.code, "message": error.message, "fields": error.fields or []}
    return {"success": False, "errors": [item]}
