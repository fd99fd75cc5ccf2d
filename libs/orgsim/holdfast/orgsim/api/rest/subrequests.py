"""Requests inside a request: references to earlier answers, and how a part is sent to its own endpoint."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from holdfast.orgsim.api.web import JSON_TYPE, Call, Reply, dump, json_reply, parse_json, path_of
from holdfast.orgsim.errors import ApiError

Part = dict[str, Any]
ROLLED_BACK = "The transaction was rolled back since another operation in the same transaction failed."
_REFERENCE = re.compile(r"@\{([^}]+)\}")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_ECHOED = ("Location", "ETag", "Last-Modified")


def parts_of(holder: Any, name: str, needed: tuple[str, ...], most: int) -> list[Part]:
    """The parts in `holder[name]`.

    Raises:
        ApiError: 400 for anything but a list of 1 to `most` objects with the needed texts and unlike references.
    """
    parts = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(parts, list) or not parts:
        raise _invalid(f"{name} must be a list of requests")
    if len(parts) > most:
        raise ApiError(400, "LIMIT_EXCEEDED", f"{name} must hold at most {most} requests")
    for part in parts:
        if not isinstance(part, dict) or not all(isinstance(part.get(key), str) for key in needed):
            raise _invalid(f"each of {name} needs {', '.join(needed)}")
    if "referenceId" in needed:
        _check_references([part["referenceId"] for part in parts])
    return parts


def _check_references(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise _invalid(f"Duplicate ReferenceId provided in the request: {name}")


def filled(part: Part, answers: dict[str, Any]) -> Part:
    """A part with its `@{ref.path}` references replaced by what earlier parts answered.

    Raises:
        ApiError: 400 PROCESSING_HALTED for a reference to nothing.
    """

    def walk(item: Any) -> Any:
        if isinstance(item, str):
            whole = _REFERENCE.fullmatch(item)
            return _referred(whole[1], answers) if whole else _REFERENCE.sub(text, item)
        if isinstance(item, dict):
            return {k: walk(v) for k, v in item.items()}
        return [walk(v) for v in item] if isinstance(item, list) else item

    def text(match: re.Match[str]) -> str:
        found = _referred(match[1], answers)
        return ("true" if found else "false") if isinstance(found, bool) else str(found)

    return {**part, "url": str(walk(part["url"])), "body": walk(part.get("body"))}


def _referred(path: str, answers: dict[str, Any]) -> Any:
    name = path.partition(".")[0].partition("[")[0]
    found: Any = answers.get(name)
    for key, index in _STEP.findall(path[len(name) :]):
        try:
            found = found[int(index)] if index else found[key]
        except (KeyError, IndexError, TypeError):
            found = None
    if found is None or isinstance(found, dict | list):
        message = (
            f"Invalid reference specified. No value for {path} found in {name}. Provided referenceId ('{path}') must "
            "start with a letter or a number, and it can contain only letters, numbers and underscores ('_')."
        )
        raise ApiError(400, "PROCESSING_HALTED", message)
    return found


def named(part: Part) -> set[str]:
    """The references that a part makes."""
    texts = dump([part["url"], part.get("body")]).decode()
    return {path.partition(".")[0].partition("[")[0] for path in _REFERENCE.findall(texts)}


async def send(call: Call, part: Part, body: Any) -> Reply:
    """Have one part answered by its endpoint. It costs no API request of its own."""
    assert call.dispatch is not None
    try:
        url = urlsplit(part["url"])
    except ValueError as error:
        return json_reply(_invalid(f"{part['url']} is no URL: {error}").body(), 400)
    headers = {key: call.headers[key] for key in ("authorization", "sforce-mru") if key in call.headers}
    given = part.get("httpHeaders")
    if isinstance(given, dict):
        headers.update({str(k).lower(): str(v) for k, v in given.items()})
    data = b"" if body is None else dump(body)
    method = part["method"].upper()
    request = Call(call.org, method, path_of(url.path), url.query, headers, data, part=True)
    request.origin, request.instance_url, request.client_ip = call.origin, call.instance_url, call.client_ip
    reply = await call.dispatch(request)
    if reply.body and reply.content_type != JSON_TYPE:
        return json_reply(_invalid("A part of a request cannot answer with binary data").body(), 400)
    return reply


def parsed(reply: Reply) -> Any:
    """The body of a part's answer; null if it has none."""
    return parse_json(bytes(reply.body)) if reply.body else None


def answered(part: Part, reply: Reply, body: Any) -> Part:
    """A part's answer as composite and graph print it."""
    headers = {k: v for k, v in reply.headers.items() if k in _ECHOED}
    return {"body": body, "httpHeaders": headers, "httpStatusCode": reply.status, "referenceId": part["referenceId"]}


def refused(part: Part, error: ApiError) -> Part:
    """A part that was not sent, or whose effect was taken back."""
    return {"body": error.body(), "httpHeaders": {}, "httpStatusCode": 400, "referenceId": part["referenceId"]}


def rolled_back(part: Part) -> Part:
    """A part whose effect was taken back because another one failed."""
    return refused(part, ApiError(400, "PROCESSING_HALTED", ROLLED_BACK))


def _invalid(message: str) -> ApiError:
    return ApiError(400, "INVALID_INPUT", message)
