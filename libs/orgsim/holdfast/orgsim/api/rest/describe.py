"""describeGlobal and sObject describe, with ETag and Last-Modified."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from holdfast.orgsim.api.rest.navigation import recent_items
from holdfast.orgsim.api.rest.preconditions import unchanged, validators
from holdfast.orgsim.api.rest.records import known_object
from holdfast.orgsim.api.web import DATA, JSON_TYPE, Call, Reply, Router, json_reply
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.fields import global_entry, object_urls
from holdfast.orgsim.schema.objects import SObject

router = Router(DATA + "/sobjects")
MOST_RECENT_OF_OBJECT = 5


@router.add("GET", "")
async def describe_global(call: Call) -> Reply:
    """Every object the user may read."""
    entries = []
    for name in call.org.schema.names():
        if call.user.reads(name):
            recorded = call.org.schema.global_only.get(name)
            obj = call.org.schema.objects.get(name) if recorded is not None else call.org.schema.find(name)
            if recorded is not None:
                may = _may(obj, call.user) if obj is not None else {}
                entries.append({**recorded, **may, "urls": _reversioned(recorded["urls"], call.version)})
            elif obj is not None:
                entries.append({**global_entry(obj.describe, call.version), **_may(obj, call.user)})
    return cached(call, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": entries})


@router.add("GET", "/{object}/describe")
async def describe_object(call: Call) -> Reply:
    """One object with its fields, without those the user cannot read."""
    return cached(call, described(call.org, known_object(call, call.params["object"]), call.user, call.version))


@router.add("GET", "/{object}")
async def object_basics(call: Call) -> Reply:
    """The object's line of describeGlobal and recent items."""
    obj = known_object(call, call.params["object"])
    recorded = call.org.schema.global_only.get(obj.name)
    entry = dict(recorded or global_entry(obj.describe, call.version), urls=object_urls(obj.name, call.version))
    items = recent_items(call, MOST_RECENT_OF_OBJECT, obj.name)
    return json_reply({"objectDescribe": entry, "recentItems": items})


def described(org: Org, obj: SObject, user: User, version: str) -> dict[str, Any]:
    """The describe of an object as `user` sees it."""
    describe = {**obj.describe, **_may(obj, user)}
    describe["fields"] = [_as_seen(obj, f, user) for n, f in obj.fields.items() if user.reads_field(obj.name, n)]
    describe["childRelationships"] = [c for c in obj.child_relationships if user.reads(c["childSObject"])]
    if describe["urls"] is None:
        links = (
            ("uiDetailTemplate", "/{ID}"),
            ("uiEditTemplate", "/{ID}/e"),
            ("uiNewRecord", f"/{obj.key_prefix}/e"),
        )
        describe["urls"] = {**object_urls(obj.name, version), **{k: org.instance_url + v for k, v in links}}
    return {key: describe[key] for key in sorted(describe)}


def _may(obj: SObject, user: User) -> dict[str, bool]:
    """What of the object's nature the user's permissions leave."""
    name, nature = obj.name, obj.describe
    return {
        "createable": nature["createable"] and user.creates(name),
        "updateable": nature["updateable"] and user.updates(name),
        "deletable": nature["deletable"] and user.deletes(name),
    }


def _as_seen(obj: SObject, field: dict[str, Any], user: User) -> dict[str, Any]:
    writeable = field["createable"] or field["updateable"]
    if not writeable or user.edits_field(obj.name, field["name"]):
        return field
    return {**field, "createable": False, "updateable": False}


def _reversioned(urls: dict[str, str], version: str) -> dict[str, str]:
    return {key: f"/services/data/v{version}/" + url.split("/", 4)[4] for key, url in urls.items()}


def cached(call: Call, value: object) -> Reply:
    """An answer with ETag and Last-Modified, or 304 if the caller has it."""
    body = orjson.dumps(value)
    etag = hashlib.md5(body, usedforsecurity=False).hexdigest()[:8]
    modified = call.org.describe_changed(call.path + "|" + call.user.username, etag)
    return unchanged(call, modified, etag) or Reply(200, body, JSON_TYPE, validators(modified, etag))
