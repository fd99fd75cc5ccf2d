"""The one error type that crosses a boundary, and what each kind means there.

A kind is mapped once: to an HTTP status, to a gRPC status, and to what a Kafka consumer does with the
message that caused it. Services raise `HoldfastError`; edges translate it.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple


class Kind(StrEnum):
    """What went wrong, as far as a caller can act on it."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    LIMIT = "limit"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    DAMAGED = "damaged"
    FENCED = "fenced"
    UNKNOWN_OUTCOME = "unknown_outcome"
    INTERNAL = "internal"


class ConsumerAction(StrEnum):
    """What a Kafka consumer does with a message whose handling raised an error of a kind."""

    WAIT = "wait"  # transient: retry in place, then let Kafka redeliver
    PARK = "park"  # permanent: store the message aside, go on
    HALT = "halt"  # the process cannot be trusted to go on


class Mapping(NamedTuple):
    """How one kind appears at each boundary."""

    http: HTTPStatus
    grpc: str  # the name of a grpc.StatusCode
    consumer: ConsumerAction


MAPPING: dict[Kind, Mapping] = {
    Kind.INVALID: Mapping(HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_ARGUMENT", ConsumerAction.PARK),
    Kind.UNAUTHENTICATED: Mapping(HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED", ConsumerAction.PARK),
    Kind.FORBIDDEN: Mapping(HTTPStatus.FORBIDDEN, "PERMISSION_DENIED", ConsumerAction.PARK),
    Kind.NOT_FOUND: Mapping(HTTPStatus.NOT_FOUND, "NOT_FOUND", ConsumerAction.PARK),
    Kind.CONFLICT: Mapping(HTTPStatus.CONFLICT, "ALREADY_EXISTS", ConsumerAction.PARK),
    Kind.TOO_LARGE: Mapping(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "OUT_OF_RANGE", ConsumerAction.PARK),
    Kind.LIMIT: Mapping(HTTPStatus.TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED", ConsumerAction.WAIT),
    Kind.UNAVAILABLE: Mapping(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", ConsumerAction.WAIT),
    Kind.TIMEOUT: Mapping(HTTPStatus.GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED", ConsumerAction.WAIT),
    Kind.DAMAGED: Mapping(HTTPStatus.INTERNAL_SERVER_ERROR, "DATA_LOSS", ConsumerAction.PARK),
    Kind.FENCED: Mapping(HTTPStatus.CONFLICT, "ABORTED", ConsumerAction.WAIT),
    Kind.UNKNOWN_OUTCOME: Mapping(HTTPStatus.SERVICE_UNAVAILABLE, "UNKNOWN", ConsumerAction.WAIT),
    Kind.INTERNAL: Mapping(HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", ConsumerAction.PARK),
}

TRANSIENT = frozenset({Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.LIMIT, Kind.UNKNOWN_OUTCOME})


class HoldfastError(Exception):
    """An error with a sentence for the user and a kind for the machine.

    Attributes:
        kind: Decides the HTTP status, the gRPC status and what a consumer does.
        message: One sentence a user can act on; never a secret, never a stack trace.
        code: Stable slug, part of the public API (`/problems/<code>`).
        detail: For logs only; never shown to a user.
        field: Path of the offending input field, where there is one.
        retry_after: When the caller may try again, where that is known.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        code: str | None = None,
        detail: str = "",
        field: str | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.code = code or kind.value.replace("_", "-")
        self.detail = detail
        self.field = field
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether the same call may succeed later without anyone changing anything."""
        return self.kind in TRANSIENT
