"""Cursors: opaque to the client, bound to the listing they came from."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from holdfast.common.errors import HoldfastError, Kind

T = TypeVar("T")

PageSize = Annotated[int, Query(ge=1, le=200, description="Most items to return.")]
Cursor = Annotated[
    str | None,
    Query(max_length=2048, description="`next_cursor` of the page before; absent for the first page."),
]
DEFAULT_PAGE_SIZE = 50
_MARK_BYTES = 6


class Page(BaseModel, Generic[T]):
    """A page of a listing."""

    model_config = ConfigDict(extra="forbid")

    items: list[T]
    next_cursor: str | None = Field(description="Ask with this for the next page; null on the last page.")


def _mark(listing: str) -> bytes:
    return hashlib.sha256(listing.encode()).digest()[:_MARK_BYTES]


def to_cursor(listing: str, page_token: str) -> str | None:
    """The cursor for a service's page token; None where the listing ends."""
    if not page_token:
        return None
    return base64.urlsafe_b64encode(_mark(listing) + page_token.encode()).decode().rstrip("=")


def to_page_token(listing: str, cursor: str | None) -> str:
    """The service's page token of a cursor.

    Raises:
        HoldfastError: INVALID, `bad-cursor`: the cursor is damaged or belongs to another listing.
    """
    if cursor is None:
        return ""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mark, token = raw[:_MARK_BYTES], raw[_MARK_BYTES:].decode()
    except (binascii.Error, ValueError):
        raise _bad_cursor() from None
    if mark != _mark(listing) or not token:
        raise _bad_cursor()
    return token


def _bad_cursor() -> HoldfastError:
    sentence = "The cursor does not belong to this listing; start again without a cursor."
    return HoldfastError(Kind.INVALID, sentence, code="bad-cursor", field="page_token")
