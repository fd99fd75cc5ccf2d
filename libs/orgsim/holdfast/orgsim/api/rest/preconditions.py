"""Conditional requests: `If-(None-)Match` and `If-(Un)Modified-Since`."""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime

from holdfast.orgsim.api.web import Call, Reply
from holdfast.orgsim.errors import ApiError

NOT_MET = "The request was not executed because a precondition of its headers was not satisfied"


def validators(modified: datetime, etag: str | None = None) -> dict[str, str]:
    """The headers by which a client can ask again."""
    headers = {} if etag is None else {"ETag": f'"{etag}"'}
    return {**headers, "Last-Modified": format_datetime(modified, usegmt=True)}


def unchanged(call: Call, modified: datetime, etag: str | None = None) -> Reply | None:
    """The 304 answer if the caller has the current state, None if it has to be sent.

    Raises:
        ApiError: 412 if the state is not the one that the caller insists on.
    """
    require_unmodified(call, modified, etag)
    if etag is not None and "if-none-match" in call.headers:
        same = etag in call.headers["if-none-match"]
    else:
        since = _moment(call, "if-modified-since")
        same = since is not None and since >= modified
    return Reply(304, b"", None, validators(modified, etag)) if same else None


def require_unmodified(call: Call, modified: datetime, etag: str | None = None) -> None:
    """Let a change pass only if the state is the one that the caller insists on.

    Raises:
        ApiError: 412.
    """
    since = _moment(call, "if-unmodified-since")
    other = etag is not None and "if-match" in call.headers and etag not in call.headers["if-match"]
    if other or (since is not None and since < modified):
        raise ApiError(412, "PRECONDITION_FAILED", NOT_MET)


def _moment(call: Call, header: str) -> datetime | None:
    """The date of a header; as in HTTP, one that cannot be read counts as absent."""
    try:
        return parsedate_to_datetime(call.headers[header])
    except (KeyError, ValueError, TypeError):
        return None
