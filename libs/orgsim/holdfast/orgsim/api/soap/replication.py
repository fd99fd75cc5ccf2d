"""getDeleted, getUpdated, getServerTimestamp."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from holdfast.orgsim.api.rest import replication as rest
from holdfast.orgsim.api.soap.envelope import SoapCall, elements
from holdfast.orgsim.api.web import Call, Reply
from holdfast.orgsim.clock import stamp


async def get_deleted(soap: SoapCall) -> str:
    """Records deleted in a span of time."""
    answer = await _span(soap, rest.deleted)
    for record in answer["deletedRecords"]:
        record["deletedDate"] = _zulu(record["deletedDate"])
    return f"<result>{elements({key: _zulu(value) for key, value in answer.items()})}</result>"


async def get_updated(soap: SoapCall) -> str:
    """Ids of records changed in a span of time."""
    answer = await _span(soap, rest.updated)
    return f"<result>{elements({key: _zulu(value) for key, value in answer.items()})}</result>"


async def get_server_timestamp(soap: SoapCall) -> str:
    """The org's time."""
    return f"<result><timestamp>{stamp(soap.org.clock.now())}</timestamp></result>"


async def _span(soap: SoapCall, handler: Callable[[Call], Awaitable[Reply]]) -> dict[str, Any]:
    span = {"start": soap.argument("startDate"), "end": soap.argument("endDate")}
    params = {"version": soap.version, "object": soap.argument("sObjectType")}
    call = Call(soap.org, "GET", "/soap", urlencode(span), {}, b"", params, soap.call.session)
    answer: dict[str, Any] = json.loads((await handler(call)).body)
    return answer


def _zulu(value: Any) -> Any:
    return value.replace("+0000", "Z") if isinstance(value, str) else value
