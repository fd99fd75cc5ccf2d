"""`/_org/blobs/…` and `/_org/files`: what files hold behind the API, and files that only the platform makes."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from holdfast.orgsim.api.web import Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError, not_found
from holdfast.orgsim.saving.system import insert_as_platform

router = Router("/_org")


@router.add("GET", "/blobs/{id}/{field}", authenticated=False, counted=False)
async def blob(call: Call) -> Reply:
    """The bytes of a file field of any record, deleted ones included; MD5 and SHA-256 as headers."""
    found = call.org.find(call.params["id"])
    reference = None if found is None else found[1].get(call.params["field"])
    if reference is None:
        raise not_found()
    content = call.org.blobs.path(reference).read_bytes()
    digests = {"X-MD5": call.org.blobs.md5(reference), "X-SHA256": reference.split(":")[1]}
    return Reply(200, content, "application/octet-stream", digests)


@router.add("POST", "/files", authenticated=False, counted=False)
async def make_file(call: Call) -> Reply:
    """`{"object", "values", "content": {field: base64}}`: a record that no user can make, such as an EventLogFile."""
    body = call.json_object()
    obj = call.org.schema.find(str(body.get("object")))
    if obj is None:
        raise not_found()
    values: dict[str, Any] = dict(body.get("values", {}))
    try:
        for name, text in body.get("content", {}).items():
            values[name] = call.org.blobs.keep(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, "INVALID_BASE64", str(error)) from error
    return json_reply({"id": insert_as_platform(call.org, obj, values)})
