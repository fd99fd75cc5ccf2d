"""`/sobjects/{O}/{id}/{relationship}[/…]`: the record, or the records, that a relationship leads to."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from holdfast.orgsim.api.rest import rows
from holdfast.orgsim.api.rest.records import existing, field_names, known_object, listed
from holdfast.orgsim.api.web import Call, Reply
from holdfast.orgsim.errors import ApiError, not_found
from holdfast.orgsim.schema.objects import SObject

MOST_LEVELS = 5


async def follow(call: Call, obj: SObject, record_id: str, names: list[str]) -> Reply:
    """Read, change or delete what the relationships `names` lead to, one after the other.

    Raises:
        ApiError: 404 for an unknown relationship or an empty lookup.
    """
    row = existing(call, obj, record_id)
    lookup = next((f for f in obj.references() if (f["relationshipName"] or "").lower() == names[0].lower()), None)
    if lookup is None:
        return await _children(call, obj, str(row["Id"]), names)
    found = row.get(lookup["name"])
    parent = None if found is None else call.org.schema.by_prefix(found[:3])
    if found is None or parent is None or len(names) > MOST_LEVELS:
        raise not_found()
    known_object(call, parent.name)
    if len(names) > 1:
        return await follow(call, parent, found, names[1:])
    handler = {"PATCH": rows.change, "DELETE": rows.delete}.get(call.method, rows.read)
    return await handler(replace(call, params={**call.params, "object": parent.name, "id": found}))


async def _children(call: Call, obj: SObject, record_id: str, names: list[str]) -> Reply:
    wanted = names[0].lower()
    entry = next((c for c in obj.child_relationships if (c["relationshipName"] or "").lower() == wanted), None)
    if entry is None or len(names) > 1:
        raise not_found()
    if call.method not in ("GET", "HEAD"):
        raise ApiError(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{call.method}' not allowed. Allowed are HEAD,GET")
    child = known_object(call, entry["childSObject"])
    fields = ",".join(field_names(call, child, listed(call, "fields")))
    soql = f"SELECT {fields} FROM {child.name} WHERE {entry['field']} = '{record_id}'"  # noqa: S608 - names of the schema, an id
    assert call.dispatch is not None
    path = f"/services/data/v{call.version}/query"
    return await call.dispatch(replace(call, path=path, query_string="q=" + quote(soql), part=True))
