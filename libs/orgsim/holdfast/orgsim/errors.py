"""Errors as the platform words them. Each protocol renders them in its own shape."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

MISSING_RIGHTS = frozenset({"INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS_OR_READONLY"})


class ApiError(Exception):
    """An error answer: HTTP status, the platform's code and sentence, and the fields concerned."""

    def __init__(self, status: int, code: str, message: str, fields: Sequence[str] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = None if fields is None else list(fields)

    @property
    def http_status(self) -> int:
        """The status where the error is the whole answer: 403 for a right that is missing, whoever noticed it."""
        return 403 if self.code in MISSING_RIGHTS else self.status

    def body(self) -> list[dict[str, object]]:
        """The REST form: an array with one element."""
        item: dict[str, object] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            item["fields"] = self.fields
        return [item]


def not_found(message: str = "The requested resource does not exist") -> ApiError:
    """404 for a resource that is not there."""
    return ApiError(404, "NOT_FOUND", message)


def unsupported_object(name: str) -> ApiError:
    """400 for an object that does not exist or that the user cannot read; a query cannot tell them apart."""
    return ApiError(
        400,
        "INVALID_TYPE",
        f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append "
        "the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names.",
    )


def no_such_column(field: str, entity: str) -> ApiError:
    """400 for a field that does not exist or that the user cannot read."""
    return ApiError(
        400,
        "INVALID_FIELD",
        f"No such column '{field}' on entity '{entity}'. If you are attempting to use a custom field, be sure to "
        "append the '__c' after the custom field name. Please reference your WSDL or the describe call for the "
        "appropriate names.",
    )


def rolled_back() -> ApiError:
    """What is told of a record that stood when another of an all-or-none call was refused."""
    message = "Record rolled back because not all records were valid and the request was using AllOrNone header"
    return ApiError(400, "ALL_OR_NONE_OPERATION_ROLLED_BACK", message, [])


def session_invalid() -> ApiError:
    """401 for a token that is unknown, expired or revoked."""
    return ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")


def unexpected() -> ApiError:
    """500 for a mistake of ours. The id in it stands in the log as well."""
    number = f"{secrets.randbelow(10**9):09}-{secrets.randbelow(10**5):05} ({-secrets.randbelow(2**31)})"
    message = f"An unexpected error occurred. Please include this ErrorId if you contact support: {number}"
    return ApiError(500, "UNKNOWN_EXCEPTION", message)
