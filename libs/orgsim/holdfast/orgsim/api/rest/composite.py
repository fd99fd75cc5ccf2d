"""`/composite` and `/composite/batch`: several requests in one, each answered by its own endpoint."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import orjson

from holdfast.orgsim.api.web import DATA, Call, Reply, Router, dump, json_reply
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.saving.transaction import all_or_none

router = Router(DATA + "/composite")
MOST_REQUESTS = 25


class _FailedError(Exception):
    """A part failed and all parts stand or fall together."""


@router.add("POST", "")
async def composite(call: Call) -> Reply:
    """Up to 25 requests that may refer to earlier answers as `@{ref.field}`."""
    body = call.json_object()
    parts = _parts(body, "compositeRequest", ("method", "url", "referenceId"))
    answers: list[dict[str, Any]] = []
    if not body.get("allOrNone"):
        await _run(call, parts, answers, stop=False)
        return json_reply({"compositeResponse": answers})
    try:
        with all_or_none(call.org):
            await _run(call, parts, answers, stop=True)
    except _FailedError:
        failed = len(answers) - 1
        answers = [answers[i] if i == failed else _halted(part) for i, part in enumerate(parts)]
    return json_reply({"compositeResponse": answers})


def _parts(body: dict[str, Any], name: str, needed: tuple[str, ...]) -> list[dict[str, Any]]:
    parts = body.get(name)
    if not isinstance(parts, list) or len(parts) > MOST_REQUESTS:
        raise ApiError(400, "INVALID_INPUT", f"{name} must hold at most {MOST_REQUESTS} requests")
    for part in parts:
        if not isinstance(part, dict) or not all(isinstance(part.get(key), str) for key in needed):
            raise ApiError(400, "INVALID_INPUT", f"each of {name} needs {', '.join(needed)}")
    return parts


async def _run(call: Call, parts: list[dict[str, Any]], answers: list[dict[str, Any]], *, stop: bool) -> None:
    bodies: dict[str, Any] = {}
    for part in parts:
        filled = _fill(part, bodies)
        reply = await _sub_request(call, filled["method"], filled["url"], filled.get("body"), filled.get("httpHeaders"))
        parsed = orjson.loads(reply.body) if reply.body else None
        bodies[part["referenceId"]] = parsed
        answers.append(_answer(part, reply, parsed))
        if stop and reply.status >= 400:
            raise _FailedError


def _answer(part: dict[str, Any], reply: Reply, body: Any) -> dict[str, Any]:
    headers = {k: v for k, v in reply.headers.items() if k in ("Location", "ETag", "Last-Modified")}
    return {
        "body": body,
        "httpHeaders": headers,
        "httpStatusCode": reply.status,
        "referenceId": part["referenceId"],
    }


def _halted(part: dict[str, Any]) -> dict[str, Any]:
    message = "The transaction was rolled back since another operation in the same transaction failed."
    error = ApiError(400, "PROCESSING_HALTED", message)
    return {
        "body": error.body(),
        "httpHeaders": {},
        "httpStatusCode": 400,
        "referenceId": part["referenceId"],
    }


def _fill(part: dict[str, Any], bodies: dict[str, Any]) -> dict[str, Any]:
    def value(match: re.Match[str]) -> str:
        reference, _, path = match.group(1).partition(".")
        found: Any = bodies.get(reference)
        for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
            try:
                found = found[int(index) if index else name]
            except (KeyError, IndexError, TypeError) as error:
                message = f"Invalid reference specified. No value for {match.group(1)} found in {reference}."
                raise ApiError(400, "PROCESSING_HALTED", message) from error
        return str(found)

    def walk(item: Any) -> Any:
        if isinstance(item, str):
            return re.sub(r"@\{([^}]+)\}", value, item)
        if isinstance(item, dict):
            return {k: walk(v) for k, v in item.items()}
        return [walk(v) for v in item] if isinstance(item, list) else item

    filled: dict[str, Any] = walk(part)
    return filled


async def _sub_request(call: Call, method: str, url: str, body: Any, headers: dict[str, str] | None = None) -> Reply:
    assert call.dispatch is not None
    parts = urlsplit(url)
    given = {"authorization": call.headers.get("authorization", "")}
    given.update({k.lower(): v for k, v in (headers or {}).items()})
    data = b"" if body is None else dump(body)
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    part = Call(call.org, method.upper(), path, parts.query, given, data, part=True, instance_url=call.instance_url)
    return await call.dispatch(part)


@router.add("POST", "/batch")
async def batch(call: Call) -> Reply:
    """Up to 25 independent requests."""
    body = call.json_object()
    parts = _parts(body, "batchRequests", ("method", "url"))
    results: list[dict[str, Any]] = []
    failed = False
    for part in parts:
        if failed and body.get("haltOnError"):
            error = ApiError(412, "BATCH_PROCESSING_HALTED", "Batch processing halted per request")
            results.append({"statusCode": 412, "result": error.body()})
            continue
        url = "/services/data/" + str(part["url"]).lstrip("/").removeprefix("services/data/")
        reply = await _sub_request(call, part["method"], url, part.get("richInput"))
        failed = failed or reply.status >= 400
        results.append({"statusCode": reply.status, "result": orjson.loads(reply.body) if reply.body else None})
    return json_reply({"hasErrors": failed, "results": results})
