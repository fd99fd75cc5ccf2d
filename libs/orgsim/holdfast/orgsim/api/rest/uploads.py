"""Records with files in a request: JSON alone, or multipart with one JSON part and binary parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from holdfast.orgsim.api.web import Call, parse_json
from holdfast.orgsim.errors import ApiError

_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
_LINE_END = re.compile(rb"(--)?[ \t]*(?:\r?\n|\Z)")
_PARAMETER = re.compile(r'(\w+)="((?:\\.|[^"\\])*)"')
MOST_BYTES = {"ContentVersion": 2 << 30}
MOST_OTHER_BYTES = 500 << 20


@dataclass(frozen=True)
class Part:
    """One part of a multipart body."""

    name: str
    filename: str | None
    content_type: str
    content: memoryview


def record_of(call: Call) -> dict[str, Any]:
    """The values of the one record in a request; a file is the reference of its kept content.

    Raises:
        ApiError: 400 for a body that cannot be read, 413 for a file that is too large.
    """
    if not is_multipart(call):
        return call.json_object()
    values, files = split(call)
    limit = MOST_BYTES.get(call.params.get("object", ""), MOST_OTHER_BYTES)
    for part in files.values():
        _limit(len(part.content), limit)
        values[part.name] = call.org.blobs.keep(part.content)
    return values


def records_body(call: Call) -> dict[str, Any]:
    """The body of a collections request; each record's `binaryPartName` is resolved to the field it names.

    Raises:
        ApiError: 400 for a body that cannot be read, 413 for files that are too large.
    """
    if not is_multipart(call):
        return call.json_object()
    body, files = split(call)
    _limit(sum(len(part.content) for part in files.values()), MOST_OTHER_BYTES)
    for record in body.get("records") or []:
        attributes = record.get("attributes") if isinstance(record, dict) else None
        if isinstance(attributes, dict) and "binaryPartName" in attributes:
            part = files.get(str(attributes["binaryPartName"]))
            if part is None:
                raise ApiError(400, "INVALID_INPUT", f"Binary part not found: {attributes['binaryPartName']}")
            record[str(attributes.get("binaryPartNameAlias", "VersionData"))] = call.org.blobs.keep(part.content)
    return body


def is_multipart(call: Call) -> bool:
    """Whether the body comes in parts."""
    return call.headers.get("content-type", "").lower().startswith("multipart/")


def split(call: Call) -> tuple[dict[str, Any], dict[str, Part]]:
    """The JSON part of a multipart body, whatever its name, and the binary parts by name."""
    values: dict[str, Any] | None = None
    files: dict[str, Part] = {}
    for part in _parts(call):
        if values is None and part.filename is None and not part.content_type.startswith("application/octet"):
            found = parse_json(bytes(part.content))
            if not isinstance(found, dict):
                raise ApiError(400, "JSON_PARSER_ERROR", "The first part of the body must be a JSON object")
            values = found
        else:
            files[part.name] = part
    if values is None:
        raise ApiError(400, "INVALID_MULTIPART_REQUEST", "The body has no part with the fields of the record")
    return values, files


def _parts(call: Call) -> list[Part]:
    match = _BOUNDARY.search(call.headers["content-type"])
    if match is None:
        raise ApiError(400, "INVALID_MULTIPART_REQUEST", "The Content-Type header names no boundary")
    mark = b"--" + match.group(1).strip().encode("latin-1")
    found: list[Part] = []
    start: int | None = None
    for before, last, after in _delimiters(call.body, mark):
        if start is not None:
            found.append(_part(call.body, start, before))
        if last:
            return found
        start = after
    raise ApiError(400, "INVALID_MULTIPART_REQUEST", "The body ends before its last boundary")


def _delimiters(body: bytes, mark: bytes) -> Iterator[tuple[int, bool, int]]:
    """Where each delimiter line begins, its line break before it included; whether it is the last; where it ends."""
    at = body.find(mark)
    while at >= 0:
        rest = _LINE_END.match(body, at + len(mark))
        begins = at == 0 or body[at - 1 : at] == b"\n"
        if rest is not None and begins:
            yield at - (2 if body[max(0, at - 2) : at] == b"\r\n" else min(at, 1)), rest[1] is not None, rest.end()
        at = body.find(mark, at + len(mark))


def _part(body: bytes, start: int, end: int) -> Part:
    headers: dict[str, str] = {}
    while start < end:
        stop = body.find(b"\n", start, end)
        stop = end - 1 if stop < 0 else stop
        line = body[start : stop + 1].strip()
        start = stop + 1
        if not line:
            break
        name, _, value = line.decode("utf-8", "replace").partition(":")
        headers[name.strip().lower()] = value.strip()
    names = {k.lower(): v for k, v in _PARAMETER.findall(headers.get("content-disposition", ""))}
    kind = headers.get("content-type", "").lower()
    return Part(names.get("name", ""), names.get("filename"), kind, memoryview(body)[start:end])


def _limit(size: int, limit: int) -> None:
    if size > limit:
        raise ApiError(413, "REQUEST_ENTITY_TOO_LARGE", f"The file is larger than {limit} bytes")
