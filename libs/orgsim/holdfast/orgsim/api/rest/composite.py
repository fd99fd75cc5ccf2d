"""`/composite` and `/composite/batch`: up to 25 requests in one, each answered by its own endpoint."""

from __future__ import annotations

import re
from typing import Any

from holdfast.orgsim.api.rest.subrequests import (
    Part,
    answered,
    filled,
    parsed,
    parts_of,
    refused,
    rolled_back,
    send,
)
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.saving.transaction import all_or_none

router = Router(DATA + "/composite")
MOST_REQUESTS = 25
MOST_HEAVY = 5
_HEAVY = re.compile(r"/(query|queryAll|composite/sobjects|composite/tree)([/?]|$)")


class _FailedError(Exception):
    """A part failed and all parts stand or fall together."""


@router.add("GET", "")
async def resources(call: Call) -> Reply:
    """Where the composite resources are."""
    base = f"/services/data/v{call.version}/composite"
    return json_reply({name: f"{base}/{name}" for name in ("tree", "batch", "sobjects", "graph")})


@router.add("POST", "")
async def composite(call: Call) -> Reply:
    """Requests that may refer to earlier answers as `@{ref.field}`."""
    body = call.json_object()
    parts = parts_of(body, "compositeRequest", ("method", "url", "referenceId"), MOST_REQUESTS)
    if sum(1 for part in parts if _HEAVY.search(part["url"])) > MOST_HEAVY:
        message = f"At most {MOST_HEAVY} parts of a composite request can be queries or collections"
        raise ApiError(400, "LIMIT_EXCEEDED", message)
    if not body.get("allOrNone"):
        return json_reply({"compositeResponse": await run_parts(call, parts, stop=False)})
    return json_reply({"compositeResponse": (await run_together(call, parts))[1]})


async def run_together(call: Call, parts: list[Part]) -> tuple[bool, list[Part]]:
    """Whether all parts succeeded, and their answers; if one fails, all are taken back."""
    answers: list[Part] = []
    try:
        with all_or_none(call.org):
            answers += await run_parts(call, parts, stop=True)
            if answers[-1]["httpStatusCode"] >= 400:
                raise _FailedError
    except _FailedError:
        failed = len(answers) - 1
        return False, [answers[i] if i == failed else rolled_back(part) for i, part in enumerate(parts)]
    return True, answers


async def run_parts(call: Call, parts: list[Part], *, stop: bool) -> list[Part]:
    """Send the parts in order; with `stop` none is sent after the first that fails."""
    bodies: dict[str, Any] = {}
    answers: list[Part] = []
    for part in parts:
        try:
            ready = filled(part, bodies)
        except ApiError as error:
            answers.append(refused(part, error))
        else:
            reply = await send(call, ready, ready.get("body"))
            body = parsed(reply)
            answers.append(answered(part, reply, body))
            if reply.status < 400:
                bodies[part["referenceId"]] = body
        if stop and answers[-1]["httpStatusCode"] >= 400:
            break
    return answers


@router.add("POST", "/batch")
async def batch(call: Call) -> Reply:
    """Independent requests."""
    body = call.json_object()
    parts = parts_of(body, "batchRequests", ("method", "url"), MOST_REQUESTS)
    results: list[dict[str, Any]] = []
    failed = False
    for part in parts:
        if failed and body.get("haltOnError"):
            error = ApiError(412, "BATCH_PROCESSING_HALTED", "Batch processing halted per request")
            results.append({"statusCode": 412, "result": error.body()})
            continue
        url = "/services/data/" + part["url"].lstrip("/").removeprefix("services/data/")
        reply = await send(call, {**part, "url": url}, part.get("richInput"))
        failed = failed or reply.status >= 400
        results.append({"statusCode": reply.status, "result": parsed(reply)})
    return json_reply({"hasErrors": failed, "results": results})
