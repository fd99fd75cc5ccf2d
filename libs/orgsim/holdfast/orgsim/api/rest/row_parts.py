"""Paths below a record: file contents, external ids and relationships share one form and are told apart here."""

from __future__ import annotations

from holdfast.orgsim import ids
from holdfast.orgsim.api.rest import blobs, external_ids, relationships
from holdfast.orgsim.api.rest.records import known_object
from holdfast.orgsim.api.web import DATA, Call, Reply, Router
from holdfast.orgsim.errors import not_found

router = Router(DATA + "/sobjects")


@router.add("GET", "/{object}/{field}/{value}")
async def read(call: Call) -> Reply:
    """A file's bytes, a record by external id, or what a relationship leads to."""
    obj = known_object(call, call.params["object"])
    if not _names_record(call):
        return await external_ids.read(call)
    field = obj.find(call.params["value"])
    if field is not None and field["type"] == "base64":
        return await blobs.download(call, obj, call.params["field"], field)
    return await _follow(call, call.params["value"])


@router.add("PATCH", "/{object}/{field}/{value}")
async def change(call: Call) -> Reply:
    """Upsert by external id, or change the record that a relationship leads to."""
    return await (_follow(call, call.params["value"]) if _names_record(call) else external_ids.upsert(call))


@router.add("DELETE", "/{object}/{field}/{value}")
async def delete(call: Call) -> Reply:
    """Delete by external id, or what a relationship leads to."""
    return await (_follow(call, call.params["value"]) if _names_record(call) else external_ids.delete(call))


@router.add("POST", "/{object}/{field}")
async def insert(call: Call) -> Reply:
    """`POST /{O}/Id` inserts."""
    return await external_ids.insert(call)


@router.add("GET", "/{object}/{field}/{value}/{more*}")
async def read_further(call: Call) -> Reply:
    """What several relationships in a row lead to."""
    return await _further(call)


@router.add("PATCH", "/{object}/{field}/{value}/{more*}")
async def change_further(call: Call) -> Reply:
    """Change what several relationships in a row lead to."""
    return await _further(call)


@router.add("DELETE", "/{object}/{field}/{value}/{more*}")
async def delete_further(call: Call) -> Reply:
    """Delete what several relationships in a row lead to."""
    return await _further(call)


def _names_record(call: Call) -> bool:
    """Whether the second part of the path is an id rather than the name of a field."""
    name = call.params["field"]
    return known_object(call, call.params["object"]).find(name) is None and ids.normalise(name) is not None


async def _further(call: Call) -> Reply:
    if not _names_record(call):
        raise not_found()
    return await _follow(call, f"{call.params['value']}/{call.params['more']}")


async def _follow(call: Call, names: str) -> Reply:
    obj = known_object(call, call.params["object"])
    return await relationships.follow(call, obj, call.params["field"], names.split("/"))
