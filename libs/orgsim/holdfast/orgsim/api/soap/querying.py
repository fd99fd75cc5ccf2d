"""query, queryAll, queryMore, retrieve, search: the same answers as REST gives, in XML."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from holdfast.orgsim import ids
from holdfast.orgsim.api.rest import query as rest
from holdfast.orgsim.api.rest import search as rest_search
from holdfast.orgsim.api.soap.envelope import NIL, SoapCall
from holdfast.orgsim.api.soap.sobjects import Writer
from holdfast.orgsim.api.web import Call, Reply
from holdfast.orgsim.errors import ApiError

DEFAULT_BATCH = 500
MOST_RETRIEVED = 2_000


async def query(soap: SoapCall) -> str:
    """The first batch of a query over living rows."""
    return _result(soap, await _ask(soap, rest.query, {"q": soap.argument("queryString")}))


async def query_all(soap: SoapCall) -> str:
    """The first batch of a query over living and deleted rows."""
    return _result(soap, await _ask(soap, rest.query_all, {"q": soap.argument("queryString")}))


async def query_more(soap: SoapCall) -> str:
    """The next batch of an open query."""
    return _result(soap, await _ask(soap, rest.query_more, {}, locator=soap.argument("queryLocator")))


async def retrieve(soap: SoapCall) -> str:
    """Records by id in the order asked for; nil where there is none."""
    asked = [ids.normalise(i) or i for i in soap.arguments("ids")]
    if len(asked) > MOST_RETRIEVED:
        raise ApiError(500, "EXCEEDED_ID_LIMIT", f"too many ids in call to retrieve, the most is {MOST_RETRIEVED}")
    listed = ", ".join(f"'{i}'" for i in asked if i.isalnum())
    found: dict[str, Any] = {}
    if listed:
        fields, name = soap.argument("fieldList"), soap.argument("sObjectType")
        soql = f"SELECT {fields} FROM {name} WHERE Id IN ({listed})"  # noqa: S608 - SOQL, parsed and bound by the org
        page = await _ask(soap, rest.query, {"q": soql}, batch=MOST_RETRIEVED)
        found = {_record_id(record): record for record in page["records"]}
    writer = Writer(soap.org, soap.family)
    return "".join(writer.record("result", found[i]) if i in found else f"<result{NIL}/>" for i in asked)


async def search(soap: SoapCall) -> str:
    """Records that a SOSL statement finds."""
    page = await _ask(soap, rest_search.search, {"q": soap.argument("searchString")})
    writer = Writer(soap.org, soap.family)
    found = "".join(
        f"<searchRecords>{writer.record('record', record)}</searchRecords>" for record in page["searchRecords"]
    )
    return f"<result>{found}</result>"


def _record_id(record: dict[str, Any]) -> str:
    return str(record["attributes"]["url"]).rpartition("/")[2]


async def _ask(
    soap: SoapCall,
    handler: Callable[[Call], Awaitable[Reply]],
    parameters: dict[str, str],
    *,
    locator: str = "",
    batch: int | None = None,
) -> dict[str, Any]:
    """What REST answers to the same question; numbers stay text, so that no digit is lost."""
    size = batch or soap.option("QueryOptions", "batchSize") or DEFAULT_BATCH
    call = Call(soap.org, "GET", f"/services/data/v{soap.version}/query", urlencode(parameters),
                {"sforce-query-options": f"batchSize={size}"}, b"",
                {"version": soap.version, "locator": locator}, soap.call.session, part=True)  # fmt: skip
    reply = await handler(call)
    page: dict[str, Any] = json.loads(reply.body, parse_float=str, parse_int=str)
    return page


def _result(soap: SoapCall, page: dict[str, Any]) -> str:
    return f'<result xsi:type="QueryResult">{Writer(soap.org, soap.family).result(page)}</result>'
