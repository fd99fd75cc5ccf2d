"""Platform errors that can be scripted by their code alone, in the shape of whichever API is asked."""

from __future__ import annotations

from typing import Any

from holdfast.orgsim.api.bulk1 import formats as bulk1
from holdfast.orgsim.api.soap import envelope as soap
from holdfast.orgsim.api.web import Call, Reply, json_reply
from holdfast.orgsim.errors import ApiError

SENTENCES: dict[str, tuple[int, str]] = {
    "API_DISABLED_FOR_ORG": (403, "API is not enabled for this Organization or Partner"),
    "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE": (400, "Data changes are not allowed during maintenance"),
    "INVALID_QUERY_LOCATOR": (400, "invalid query locator"),
    "INVALID_SESSION_ID": (401, "Session expired or invalid"),
    "NOT_FOUND": (404, "The requested resource does not exist"),
    "OPERATION_TOO_LARGE": (400, "exceeded 100000 distinct who/what's"),
    "QUERY_TIMEOUT": (400, "Your query request was running for too long."),
    "QUERY_TOO_COMPLICATED": (400, "Query is either selecting too many fields or the filter conditions are too "
                              "complicated."),
    "REQUEST_LIMIT_EXCEEDED": (403, "TotalRequests Limit exceeded."),
    "REQUEST_RUNNING_TOO_LONG": (503, "Your request was running for too long, and has been stopped."),
    "SERVER_UNAVAILABLE": (503, "Server is too busy, please try again later"),
    "UNABLE_TO_LOCK_ROW": (400, "unable to obtain exclusive access to this record or 1 records"),
    "UNKNOWN_EXCEPTION": (500, "An unexpected error occurred. Please include this ErrorId if you contact support: 1"),
}  # fmt: skip
CONCURRENT = ApiError(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.")
_BULK1 = {"REQUEST_LIMIT_EXCEEDED": "ExceededQuota", "QUERY_TIMEOUT": "Timeout", "SERVER_UNAVAILABLE": "Unknown",
          "UNKNOWN_EXCEPTION": "Unknown", "INVALID_SESSION_ID": "InvalidSessionId"}  # fmt: skip


def error_of(effect: str | dict[str, Any]) -> ApiError:
    """The error that an `error` effect means."""
    if isinstance(effect, str):
        status, message = SENTENCES[effect]
        return ApiError(status, effect, message)
    code = str(effect["code"])
    status, message = SENTENCES.get(code, (400, code.replace("_", " ").lower()))
    return ApiError(int(effect.get("status", status)), code, str(effect.get("message", message)))


def worded(call: Call, error: ApiError) -> Reply:
    """`error` as the API that was asked says it."""
    if call.path.startswith("/services/async/"):
        code = _BULK1.get(error.code, "".join(part.capitalize() for part in error.code.split("_")))
        status = 400 if error.status < 500 else error.status
        message = "Invalid session id" if error.code == "INVALID_SESSION_ID" else error.message
        as_json = bulk1.wants_json(call.headers.get("content-type", ""))
        return bulk1.error_reply(ApiError(status, code, message), as_json=as_json)
    if call.path.startswith("/services/Soap/"):
        family = call.path.split("/")[3]
        return soap.fault(soap.FAMILIES.get(family, "partner"), error)
    if call.path.startswith("/services/oauth2/"):
        return json_reply({"error": error.code.lower(), "error_description": error.message}, 400)
    reply = json_reply(error.body(), error.status)
    if error.status == 401:
        reply.headers["WWW-Authenticate"] = "Token"
    return reply
