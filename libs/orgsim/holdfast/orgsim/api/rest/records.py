"""What the row endpoints share: the object and the id of a path, a record as REST prints it, recently used records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.orgsim import ids
from holdfast.orgsim.api.rest import render
from holdfast.orgsim.api.web import Call
from holdfast.orgsim.auth.sharing import sees
from holdfast.orgsim.errors import ApiError, not_found
from holdfast.orgsim.saving.saver import Saver
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.soql.evaluate import run
from holdfast.orgsim.soql.parse import parse
from holdfast.orgsim.store.table import Row

API = "REST"


def saver(call: Call) -> Saver:
    """Saves on behalf of the caller."""
    return Saver(call.org, call.user, API)


def known_object(call: Call, name: str) -> SObject:
    """The object of a path.

    Raises:
        ApiError: 404 if it does not exist or the user may not read it.
    """
    obj = call.org.schema.find(name)
    if obj is None or not call.user.reads(obj.name):
        raise not_found()
    return obj


def record_id(text: str) -> str:
    """The id of a path in 18 characters.

    Raises:
        ApiError: 404 for anything else.
    """
    found = ids.normalise(text)
    if found is None:
        raise not_found(f"Provided external ID field does not exist or is not accessible: {text}")
    return found


def existing(call: Call, obj: SObject, text: str) -> Row:
    """A living record by the id of a path.

    Raises:
        ApiError: 404 NOT_FOUND or ENTITY_IS_DELETED.
    """
    return _living(call, obj, text, not_found())


def target(call: Call, obj: SObject, text: str) -> Row:
    """A living record that is to be changed, by the id of a path.

    Raises:
        ApiError: 404 NOT_FOUND for what is no id, INVALID_CROSS_REFERENCE_KEY for no record, ENTITY_IS_DELETED.
    """
    return _living(call, obj, text, ApiError(404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", []))


def _living(call: Call, obj: SObject, text: str, missing: ApiError) -> Row:
    wanted = record_id(text)
    row = call.org.table(obj).get(wanted)
    if row is None or not sees(call.org, obj, call.user, wanted):
        raise missing
    if row.get("IsDeleted") == "true":
        raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", [])
    return row


def field_names(call: Call, obj: SObject, names: Sequence[str]) -> list[str]:
    """The fields asked for, in the schema's case; every readable one if none is named.

    Raises:
        ApiError: 400 INVALID_FIELD for one that does not exist or that the user cannot read.
    """
    if not names:
        return [name for name in obj.fields if call.user.reads_field(obj.name, name)]
    found = []
    for name in names:
        field = obj.find(name)
        if "." in name:
            found.append(name)
        elif field is None or not call.user.reads_field(obj.name, field["name"]):
            raise ApiError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {obj.name}")
        else:
            found.append(field["name"])
    return list(dict.fromkeys(found))


def printed(call: Call, obj: SObject, wanted: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Living records as REST prints them, by id; those that are not there are absent. The id comes last if unasked."""
    if not wanted:
        return {}
    quoted = ",".join(f"'{i}'" for i in dict.fromkeys(wanted))
    fields = ",".join(dict.fromkeys((*names, "Id")))
    soql = f"SELECT {fields} FROM {obj.name} WHERE Id IN ({quoted})"  # noqa: S608 - names of the schema, checked ids
    result = run(call.org, parse(soql), call.user)
    records = render.records(call.org, result, call.version, 0, len(wanted))
    return {str(record["Id"]): record for record in records}


def row_url(call: Call, obj: SObject, saved: str) -> str:
    """Where a record is, relative to the instance."""
    return f"/services/data/v{call.version}/sobjects/{obj.name}/{saved}"


def note_use(call: Call, obj: SObject, saved: str) -> None:
    """Put a record first among the user's recent ones, if the request asks for it (`Sforce-Mru: updateMru=true`)."""
    if "updatemru=true" in call.headers.get("sforce-mru", "").replace(" ", "").lower():
        call.org.recent.setdefault(call.user.id, {}).pop(saved, None)
        call.org.recent[call.user.id][saved] = obj.name


def listed(call: Call, parameter: str) -> list[str]:
    """The names or ids of a query parameter such as `?fields=a,b`; none if it is absent."""
    return [each.strip() for each in call.query.get(parameter, "").split(",") if each.strip()]
