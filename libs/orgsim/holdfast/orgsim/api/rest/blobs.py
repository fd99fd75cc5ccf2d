"""`/sobjects/{O}/{id}/{field}`: the bytes of a file, as they were uploaded."""

from __future__ import annotations

import re
from typing import Any

from holdfast.orgsim.api.region import Region
from holdfast.orgsim.api.rest.records import existing
from holdfast.orgsim.api.web import Call, Reply
from holdfast.orgsim.errors import not_found
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.store.blobs import Content, size_of

UNKNOWN_TYPE = "application/octet-stream"
TYPE_FIELDS = ("ContentType", "LogFileContentType")


async def download(call: Call, obj: SObject, record_id: str, field: dict[str, Any]) -> Reply:
    """The content of a file field in the type that the record gives."""
    row = existing(call, obj, record_id)
    if not call.user.reads_field(obj.name, field["name"]):
        raise not_found()
    reference = row.get(field["name"])
    kind = next((str(row[name]) for name in TYPE_FIELDS if row.get(name)), UNKNOWN_TYPE)
    if reference is None:
        return Reply(200, b"", kind)
    return part_of(call, reference, kind)


def part_of(call: Call, reference: str, kind: str) -> Reply:
    """A kept content, or what comes from a byte on if the request asks for that (`Range: bytes=<from>-`)."""
    content, size = Content(call.org.blobs.path(reference)), size_of(reference)
    asked = re.fullmatch(r"bytes=(\d+)-", call.headers.get("range", ""))
    if asked is None:
        return Reply(200, b"", kind, file=Region(content, 0, size))
    start = int(asked.group(1))
    if start >= size:
        return Reply(416, b"", kind, headers={"Content-Range": f"bytes */{size}"})
    span = f"bytes {start}-{size - 1}/{size}"
    return Reply(206, b"", kind, headers={"Content-Range": span}, file=Region(content, start, size - start))
