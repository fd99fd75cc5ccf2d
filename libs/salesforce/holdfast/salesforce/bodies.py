"""The body of a file, as it comes: never whole in memory, and continued where the server honours a range."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

from holdfast.common.errors import Kind
from holdfast.salesforce.errors import Retry, SalesforceError
from holdfast.salesforce.transport import Answer
from holdfast.salesforce.usage import LIMIT_HEADER

_MOST_REFUSAL_BYTES = 1 << 20
_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


@dataclass(frozen=True)
class FileBody:
    """What the org is sending.

    Attributes:
        start: Where in the file the first piece belongs; 0 if the server began anew.
        pieces: To be taken to the end; raises SalesforceError if the connection breaks.
        etag: What names exactly these bytes; empty if the server does not say.
    """

    start: int
    pieces: AsyncIterator[bytes]
    etag: str = ""


def body_of(response: httpx.Response) -> FileBody:
    """The body that an answer carries.

    Raises:
        SalesforceError: UNAVAILABLE for a page in place of a file (a maintenance page comes with status 200; answers
            of the API say how much of the limit is used), and for a range that was not asked for.
    """
    if response.headers.get("content-type", "").startswith("text/html") and LIMIT_HEADER not in response.headers:
        raise _unreadable("Salesforce answered with a page instead of a file; it may be under maintenance.")
    start = 0
    if response.status_code == 206:
        found = _RANGE.fullmatch(response.headers.get("content-range", ""))
        if found is None:
            raise _unreadable("Salesforce sent a part of a file without saying which.")
        start = int(found.group(1))
    etag = response.headers.get("etag", "")
    return FileBody(start, response.aiter_bytes(), "" if etag.startswith("W/") else etag)


async def refused(response: httpx.Response) -> Answer:
    """An answer that is no file, read as far as a refusal can go."""
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > _MOST_REFUSAL_BYTES:
            break
    return Answer(response.status_code, response.headers, body)


def _unreadable(sentence: str) -> SalesforceError:
    return SalesforceError(Kind.UNAVAILABLE, sentence, code="answer-not-data", retry=Retry.BACKOFF)
