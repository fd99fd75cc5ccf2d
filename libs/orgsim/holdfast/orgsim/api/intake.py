"""What is checked of every request before its endpoint is looked for: lengths, encodings, the method meant."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Mapping

from holdfast.orgsim.errors import ApiError, not_found, session_invalid

OLDEST, NEWEST = 31, 68
LONGEST_URI_BYTES = LONGEST_HEAD_BYTES = 16_384
_JSON = re.compile(r"application/(?:[\w.-]+\+)?json\b", re.IGNORECASE)


def check_lengths(target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a URI, or a URI with headers, that is longer than the platform takes.

    Raises:
        ApiError: 414 or 431.
    """
    if len(target) > LONGEST_URI_BYTES:
        raise ApiError(414, "URI_TOO_LONG", f"The length of the URI exceeds the {LONGEST_URI_BYTES:,}-byte limit.")
    if len(target) + sum(len(name) + len(value) for name, value in headers) > LONGEST_HEAD_BYTES:
        message = f"The combined length of the URI and headers exceeds the {LONGEST_HEAD_BYTES:,}-byte limit."
        raise ApiError(431, "REQUEST_HEADER_FIELDS_TOO_LARGE", message)


def check_origin(headers: Mapping[str, str], own: str) -> None:
    """Refuse what another site's page sends to the admin API or the login form, which ask for no token.

    Raises:
        ApiError: 403.
    """
    given = headers.get("origin")
    if given is not None and not (own + "/").startswith(given + "/"):
        raise ApiError(403, "FORBIDDEN", "Another site's page may not do this.")


def unpacked(headers: Mapping[str, str], body: bytes) -> bytes:
    """The body without its Content-Encoding.

    Raises:
        ApiError: 400 for a body that is not what it says.
    """
    if headers.get("content-encoding", "").lower() != "gzip":
        return body
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise ApiError(400, "INVALID_REQUEST", f"The gzip body cannot be read: {error}") from error


def method_meant(method: str, query: Mapping[str, str]) -> str:
    """HEAD is a GET without a body; clients that know no PATCH send POST with `_HttpMethod`."""
    if method == "HEAD":
        return "GET"
    return query.get("_HttpMethod", method).upper() if method == "POST" else method


def check_json(headers: Mapping[str, str]) -> None:
    """Refuse a body that calls itself something else than JSON.

    Raises:
        ApiError: 415.
    """
    given = headers.get("content-type", "")
    if given and _JSON.match(given.strip()) is None:
        message = f"Content-Type header specified in HTTP request is not supported: {given}"
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", message)


def is_supported(version: str) -> bool:
    """Whether `version` (`62.0`) is one that the org speaks."""
    return re.fullmatch(r"\d{2}\.0", version) is not None and OLDEST <= int(version[:2]) <= NEWEST


def check_version(version: str | None, oldest: int) -> None:
    """Refuse API versions that never were or are retired.

    Raises:
        ApiError: 404 or 410.
    """
    if version is None:
        return
    if re.fullmatch(r"\d{2}\.0", version) is None or int(version[:2]) > NEWEST:
        raise not_found()
    if int(version[:2]) < oldest:
        raise ApiError(410, "UNSUPPORTED_API_VERSION", f"API version {version} has been retired")


def access_token(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """The token of a request.

    Raises:
        ApiError: 401, there is none.
    """
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() in ("bearer", "oauth") and token:
        return token.strip()
    if "oauth_token" in query:
        return query["oauth_token"]
    if kind:
        raise ApiError(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
    raise session_invalid()
