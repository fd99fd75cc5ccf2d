"""Salesforce's error codes: what each means here, whether trying again helps, and what to tell the user.

Sources, by the word in each row:
  rest    REST API Developer Guide, "Status Codes and Error Responses" (platform/api-rest/guide/errorcodes)
  soap    StatusCode enumeration of the metadata WSDL 63.0
  bulk    Bulk API 2.0 Developer Guide, "Bulk API and Bulk API 2.0 Limits", and error texts of a real org
  oauth   Salesforce Help, "OAuth 2.0 ... Flow" error codes
  limits  Salesforce Help article 000389067 (ConcurrentRequests) and the limits cheat sheet
  client  retry lists of jsforce, CumulusCI and simple-salesforce
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import NamedTuple

from holdfast.common.errors import HoldfastError, Kind


class Retry(Enum):
    """Whether the same request is worth repeating."""

    NEVER = "never"
    TWICE = "twice"  # may be a hiccup, may be a defect behind this very request
    BACKOFF = "backoff"
    REFRESH = "refresh"  # with a new token, once
    LATER = "later"  # in hours, not in seconds: the caller parks its work


class Rule(NamedTuple):
    """A row of the table. `{message}` in the sentence becomes Salesforce's own words."""

    kind: Kind
    retry: Retry
    sentence: str
    source: str


# How long to leave an org alone whose daily calls are used up: the window rolls, so some come back
# all the time; a quarter of an hour costs at most 96 calls a day.
QUOTA_PAUSE = timedelta(minutes=15)

_QUERY = "Salesforce does not accept the query: {message}"
_TOO_LONG = Rule(Kind.TOO_LARGE, Retry.NEVER, "The query is too long for Salesforce: {message}", "rest")
_LOCKED_OUT = "Salesforce refuses the connection's credentials: {message}"

# A refused session or sign-in is INVALID input of ours to Salesforce: UNAUTHENTICATED would tell the users of
# Holdfast that their own sign-in has ended.
RULES: dict[str, Rule] = {
    # session
    "INVALID_SESSION_ID": Rule(Kind.INVALID, Retry.REFRESH, "Salesforce no longer accepts the session.", "rest"),
    "Bad_OAuth_Token": Rule(Kind.INVALID, Retry.REFRESH, "Salesforce no longer accepts the session.", "oauth"),
    "INVALID_AUTH_HEADER": Rule(Kind.INTERNAL, Retry.NEVER, "Salesforce could not read the token.", "rest"),
    # availability
    "SERVER_UNAVAILABLE": Rule(Kind.UNAVAILABLE, Retry.BACKOFF, "Salesforce is briefly unavailable.", "rest"),
    "SERVICE_UNAVAILABLE": Rule(Kind.UNAVAILABLE, Retry.BACKOFF, "Salesforce is briefly unavailable.", "soap"),
    "REQUEST_RUNNING_TOO_LONG": Rule(
        Kind.TIMEOUT, Retry.BACKOFF, "Salesforce stopped a request that ran too long.", "soap"
    ),
    "UNKNOWN_EXCEPTION": Rule(
        Kind.UNAVAILABLE, Retry.TWICE, "Salesforce failed with an unexpected error: {message}", "client"
    ),
    "APEX_ERROR": Rule(Kind.UNAVAILABLE, Retry.TWICE, "Code in the org failed: {message}", "client"),
    # quotas
    "REQUEST_LIMIT_EXCEEDED": Rule(
        Kind.LIMIT, Retry.LATER, "The org has used up its API calls of the last 24 hours.", "rest"
    ),
    "ExceededQuota": Rule(Kind.LIMIT, Retry.LATER, "The org has used up a Bulk API quota: {message}", "bulk"),
    # query
    "QUERY_TIMEOUT": Rule(Kind.TIMEOUT, Retry.NEVER, "Salesforce stopped the query after its time limit.", "rest"),
    "OPERATION_TOO_LARGE": Rule(
        Kind.TOO_LARGE, Retry.NEVER, "The query touches too many records; grant View All Data.", "rest"
    ),
    "QUERY_TOO_COMPLICATED": Rule(
        Kind.TOO_LARGE, Retry.NEVER, "The query has too many formula fields for Salesforce.", "rest"
    ),
    "INVALID_QUERY_LOCATOR": Rule(
        Kind.NOT_FOUND, Retry.NEVER, "Salesforce no longer holds the rest of this result.", "rest"
    ),
    "MALFORMED_QUERY": Rule(Kind.INVALID, Retry.NEVER, _QUERY, "rest"),
    "INVALID_FIELD": Rule(Kind.INVALID, Retry.NEVER, _QUERY, "rest"),
    "INVALID_TYPE": Rule(Kind.NOT_FOUND, Retry.NEVER, _QUERY, "rest"),
    "INVALID_QUERY_FILTER_OPERATOR": Rule(Kind.INVALID, Retry.NEVER, _QUERY, "rest"),
    "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION": Rule(Kind.INVALID, Retry.NEVER, _QUERY, "rest"),
    "INVALID_REPLICATION_DATE": Rule(
        Kind.INVALID, Retry.NEVER, "Salesforce's delete log does not reach back that far.", "rest"
    ),
    "EXCEEDED_ID_LIMIT": Rule(Kind.TOO_LARGE, Retry.NEVER, "More than 600,000 records changed in this span.", "rest"),
    # bulk
    "INVALIDJOBSTATE": Rule(Kind.CONFLICT, Retry.NEVER, "The Bulk job is not ready: {message}", "bulk"),
    "INVALIDENTITY": Rule(Kind.INVALID, Retry.NEVER, "The Bulk API does not offer this object: {message}", "bulk"),
    "API_ERROR": Rule(Kind.INVALID, Retry.NEVER, "The Bulk API refused the query: {message}", "bulk"),
    "FEATURENOTENABLED": Rule(Kind.INVALID, Retry.NEVER, "The Bulk API refused the query: {message}", "bulk"),
    # access
    "NOT_FOUND": Rule(Kind.NOT_FOUND, Retry.NEVER, "Salesforce does not know it: {message}", "rest"),
    "INSUFFICIENT_ACCESS": Rule(Kind.FORBIDDEN, Retry.NEVER, "The connected user may not do this: {message}", "soap"),
    "INSUFFICIENT_ACCESS_OR_READONLY": Rule(
        Kind.FORBIDDEN, Retry.NEVER, "The connected user may not do this: {message}", "soap"
    ),
    "API_DISABLED_FOR_ORG": Rule(
        Kind.FORBIDDEN, Retry.NEVER, "The org, or the connected user, has no API access.", "rest"
    ),
    "UNSUPPORTED_API_VERSION": Rule(Kind.INVALID, Retry.NEVER, "Salesforce no longer offers this API version.", "rest"),
    "METHOD_NOT_ALLOWED": Rule(Kind.INTERNAL, Retry.NEVER, "Salesforce refused the request.", "rest"),
    "JSON_PARSER_ERROR": Rule(Kind.INTERNAL, Retry.NEVER, "Salesforce refused the request.", "rest"),
    # concurrency
    "UNABLE_TO_LOCK_ROW": Rule(Kind.UNAVAILABLE, Retry.BACKOFF, "A record is locked by another change.", "soap"),
    # sign-in
    "invalid_client_id": Rule(
        Kind.INVALID, Retry.NEVER, "Salesforce does not know the client id. Copy the app's consumer key again.", "oauth"
    ),
    "invalid_client": Rule(
        Kind.INVALID,
        Retry.NEVER,
        "Salesforce refuses the client id or the client secret. Copy both from the app again.",
        "oauth",
    ),
    "invalid_grant": Rule(Kind.INVALID, Retry.NEVER, _LOCKED_OUT, "oauth"),
    "invalid_assertion": Rule(Kind.INVALID, Retry.NEVER, _LOCKED_OUT, "oauth"),
    "invalid_app_access": Rule(Kind.INVALID, Retry.NEVER, "The user is not admitted to the connected app.", "oauth"),
    "inactive_user": Rule(Kind.INVALID, Retry.NEVER, "The Salesforce user is not active.", "oauth"),
    "inactive_org": Rule(Kind.INVALID, Retry.NEVER, "The Salesforce org is not active.", "oauth"),
    "invalid_request": Rule(Kind.INVALID, Retry.NEVER, "Salesforce refuses the sign-in request: {message}", "oauth"),
    "unsupported_grant_type": Rule(
        Kind.INVALID, Retry.NEVER, "The org does not offer this sign-in flow on this address.", "oauth"
    ),
    "rate_limit_exceeded": Rule(
        Kind.LIMIT, Retry.LATER, "Salesforce limits the number of sign-ins; wait some minutes.", "oauth"
    ),
}

# Codes that mean several things, told apart by their text; the first match wins.
VARIANTS: tuple[tuple[str, str, Rule], ...] = (
    (
        "REQUEST_LIMIT_EXCEEDED",
        "Concurrent",
        Rule(Kind.LIMIT, Retry.BACKOFF, "Too many long requests run in the org at once.", "limits"),
    ),
    ("MALFORMED_QUERY", "longer than", _TOO_LONG),  # "SOQL statements cannot be longer than 100000 characters."
    ("MALFORMED_QUERY", "too long", _TOO_LONG),
    ("MALFORMED_QUERY", "too many", _TOO_LONG),
    (
        "",
        "Max bulk v2 query",
        Rule(Kind.LIMIT, Retry.LATER, "The org has used up its Bulk queries of the last 24 hours.", "bulk"),
    ),
    (
        "",
        "is not supported by the Bulk API",
        Rule(Kind.INVALID, Retry.NEVER, "The Bulk API does not offer this object: {message}", "bulk"),
    ),
    (
        "INVALID_SESSION_ID",
        "not valid for use with the REST API",
        Rule(Kind.FORBIDDEN, Retry.NEVER, "The connected app may not use the REST API.", "client"),
    ),
)

# For answers without a code that the table knows.
STATUSES: dict[int, Rule] = {
    401: Rule(Kind.INVALID, Retry.NEVER, "Salesforce refuses the session: {message}", "rest"),
    403: Rule(Kind.FORBIDDEN, Retry.NEVER, "The connected user may not do this: {message}", "rest"),
    404: Rule(Kind.NOT_FOUND, Retry.NEVER, "Salesforce does not know it: {message}", "rest"),
    409: Rule(Kind.CONFLICT, Retry.NEVER, "Salesforce refuses this in the present state: {message}", "rest"),
    410: Rule(Kind.INVALID, Retry.NEVER, "Salesforce no longer offers this API version.", "rest"),
    414: Rule(Kind.TOO_LARGE, Retry.NEVER, "The query is too long for one request.", "rest"),
    420: Rule(Kind.UNAVAILABLE, Retry.TWICE, "Salesforce is briefly unavailable.", "client"),
    429: Rule(Kind.LIMIT, Retry.BACKOFF, "Salesforce asks for fewer requests.", "client"),
    431: Rule(Kind.TOO_LARGE, Retry.NEVER, "The query is too long for one request.", "rest"),
    500: Rule(Kind.UNAVAILABLE, Retry.TWICE, "Salesforce failed with an unexpected error: {message}", "rest"),
    502: Rule(Kind.UNAVAILABLE, Retry.BACKOFF, "Salesforce is briefly unavailable.", "client"),
    503: Rule(Kind.UNAVAILABLE, Retry.BACKOFF, "Salesforce is briefly unavailable.", "rest"),
    504: Rule(Kind.UNAVAILABLE, Retry.BACKOFF, "Salesforce is briefly unavailable.", "client"),
}

_OTHER = Rule(Kind.INVALID, Retry.NEVER, "Salesforce refused the request: {message}", "rest")
_LONGEST_MESSAGE = 300


class SalesforceError(HoldfastError):
    """An error that came from Salesforce or from the way to it.

    Attributes:
        status: HTTP status, 0 where no answer arrived.
        error_code: Salesforce's code, or the reason in our words where there is none.
        retry: Whether repeating the request may help.
        may_have_happened: The request may have taken effect although no answer said so.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        code: str,
        status: int = 0,
        error_code: str = "",
        retry: Retry = Retry.NEVER,
        may_have_happened: bool = False,
        detail: str = "",
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(kind, message, code=code, detail=detail, retry_after=retry_after)
        self.status = status
        self.error_code = error_code or code
        self.retry = retry
        self.may_have_happened = may_have_happened


def refusal(status: int, error_code: str, message: str) -> SalesforceError:
    """The error for an answer of Salesforce's that says no.

    Args:
        status: HTTP status.
        error_code: `errorCode` or OAuth `error`; empty where the body had none.
        message: Salesforce's own words.
    """
    rule = _rule(status, error_code, message)
    words = _tidy(message) or f"status {status}"
    slug = (error_code or f"status-{status}").lower().replace("_", "-")
    return SalesforceError(
        rule.kind,
        rule.sentence.format(message=words),
        code=f"salesforce-{slug}"[:80],
        status=status,
        error_code=error_code,
        retry=rule.retry,
        detail=f"{status} {error_code} {words}",
        retry_after=QUOTA_PAUSE if rule.retry is Retry.LATER else None,
    )


def _rule(status: int, error_code: str, message: str) -> Rule:
    for code, text, rule in VARIANTS:
        if code in ("", error_code) and text in message:
            return rule
    return RULES.get(error_code) or STATUSES.get(status) or _OTHER


def _tidy(message: str) -> str:
    """Salesforce's words on one line, without control characters, of bearable length."""
    printable = "".join(character if character.isprintable() else " " for character in message)
    words = " ".join(printable.split())
    return words if len(words) <= _LONGEST_MESSAGE else words[: _LONGEST_MESSAGE - 1] + "…"


def outside_api(how: str) -> SalesforceError:
    """An answer that leads nowhere."""
    return SalesforceError(Kind.UNAVAILABLE, f"Salesforce {how}.", code="answer-unreadable", retry=Retry.TWICE)
