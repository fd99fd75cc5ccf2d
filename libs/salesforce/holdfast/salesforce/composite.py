"""Several reading requests in one call: `POST /composite`.

Salesforce charges such a call as one, whatever it holds ("The entire series of requests counts as a single call
toward your API limits", REST API Developer Guide, "Send Multiple Requests Using Composite"). It takes at most 25
requests, at most five of them queries.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from holdfast.common.errors import Kind
from holdfast.salesforce.errors import Retry, SalesforceError, refusal
from holdfast.salesforce.models import Body, Describe, NotModified, RestPage
from holdfast.salesforce.rows import parse_exactly, rest_page

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MOST_PARTS = 25
MOST_QUERIES = 5


@dataclass(frozen=True)
class PartAnswer:
    """What one part was answered.

    Attributes:
        headers: Names in lower case. Of the answer's headers Salesforce passes on a few: `etag`, `last-modified`.
        body: The JSON value, numbers as text; None without a body.
    """

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Part(Generic[T_co]):
    """One request within a composite call. It only reads.

    Attributes:
        path: From the version on: `/query?q=…`; or a whole path that Salesforce named.
        read: Makes the result of an answer that says yes.
        query: It counts among the five.
        unchanged: Also accept 304.
    """

    path: str
    read: Callable[[PartAnswer], T_co]
    headers: tuple[tuple[str, str], ...] = ()
    query: bool = False
    unchanged: bool = False


def describe_part(object_name: str, etag: str | None = None) -> Part[Describe | NotModified]:
    """As `SalesforceClient.describe`."""
    path = f"/sobjects/{quote(object_name, safe='')}/describe"
    if etag is None:
        return Part(path, lambda answer: _described(answer, None))
    headers = (("If-None-Match", etag),)
    return Part(path, lambda answer: _described(answer, etag), headers, unchanged=True)


def query_part(
    soql: str, *, all_rows: bool, batch_size: int = 2000, fields: Sequence[str] | None = None
) -> Part[RestPage]:
    """As `SalesforceClient.query`, and without its limit of length: the query is not in the URL of the call."""
    route = "queryAll" if all_rows else "query"
    headers = (("Sforce-Query-Options", f"batchSize={batch_size}"),)
    return Part(
        f"/{route}?q={quote(soql, safe='')}", lambda answer: rest_page(answer.body, fields), headers, query=True
    )


def count_part(soql: str) -> Part[int]:
    """As `SalesforceClient.count`."""
    return Part(f"/query?q={quote(soql, safe='')}", _counted, query=True)


def batches(parts: Sequence[Part[T]]) -> list[list[Part[T]]]:
    """Parts in order, in as few calls as the two limits allow."""
    calls: list[list[Part[T]]] = []
    for part in parts:
        full = not calls or len(calls[-1]) == MOST_PARTS
        if full or (part.query and sum(other.query for other in calls[-1]) == MOST_QUERIES):
            calls.append([])
        calls[-1].append(part)
    return calls


def request_body(parts: Sequence[Part[Any]], data: str) -> bytes:
    """The body of the call that holds `parts`; `data` is the path of the API version."""
    requests = [
        {
            "method": "GET",
            "url": part.path if part.path.startswith("/services/data/") else data + part.path,
            "referenceId": f"part{number}",
            "httpHeaders": dict(part.headers),
        }
        for number, part in enumerate(parts)
    ]
    return json.dumps({"allOrNone": False, "compositeRequest": requests}).encode()


def read_answers(body: Body, parts: Sequence[Part[T]]) -> list[T | SalesforceError]:
    """What each part came to: its result, or the error that the same request would have raised alone.

    Raises:
        SalesforceError: UNAVAILABLE if the body does not answer each part once.
    """
    try:
        found = {item["referenceId"]: _answer(item) for item in parse_exactly(body)["compositeResponse"]}
        answers = [found[f"part{number}"] for number in range(len(parts))]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable() from error
    outcomes: list[T | SalesforceError] = []
    for part, answer in zip(parts, answers, strict=True):
        outcome: T | SalesforceError = _outcome(part, answer)
        outcomes.append(outcome)
    return outcomes


def _answer(item: Any) -> PartAnswer:
    headers = {str(name).lower(): str(value) for name, value in (item.get("httpHeaders") or {}).items()}
    return PartAnswer(int(item["httpStatusCode"]), headers, item.get("body"))


def _outcome(part: Part[T], answer: PartAnswer) -> T | SalesforceError:
    try:
        if answer.status >= 400:
            return refusal(answer.status, *_complaint(answer.body))
        if not (200 <= answer.status < 300 or (answer.status == 304 and part.unchanged)):
            return _unreadable()
        return part.read(answer)
    except SalesforceError as error:
        return error


def _complaint(body: Any) -> tuple[str, str]:
    said = body[0] if isinstance(body, list) and body else body
    if not isinstance(said, dict):
        return "", ""
    return str(said.get("errorCode") or ""), str(said.get("message") or "")


def _described(answer: PartAnswer, etag: str | None) -> Describe | NotModified:
    if answer.status == 304 and etag is not None:
        return NotModified(etag)
    try:
        return Describe.model_validate(answer.body).model_copy(update={"etag": answer.headers.get("etag")})
    except ValueError as error:
        raise _unreadable() from error


def _counted(answer: PartAnswer) -> int:
    try:
        return int(answer.body["totalSize"])
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable() from error


def _unreadable() -> SalesforceError:
    return SalesforceError(
        Kind.UNAVAILABLE,
        "Salesforce's answer is not of the expected form.",
        code="answer-unreadable",
        retry=Retry.TWICE,
    )
