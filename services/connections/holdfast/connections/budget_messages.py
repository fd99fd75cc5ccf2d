"""Requests and answers about budgets."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import get_args
from uuid import UUID

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.rpc.connections.v1 import connections_pb2 as pb
from holdfast.connections.budget import Purpose
from holdfast.connections.reservations import Reservation, Wish
from holdfast.connections.usage import GRANT_TERM, Exhausted, Heard

_PURPOSES: dict[str, Purpose] = {purpose: purpose for purpose in get_args(Purpose)}
_EXHAUSTED: dict[str, Exhausted] = {what: what for what in get_args(Exhausted)}
_MOST_CALLS = 1_000


def wish_of(request: pb.ReserveCallsRequest, connection_id: UUID) -> Wish:
    """What a process asks for.

    Raises:
        HoldfastError: INVALID for a request without a caller, of an unknown purpose, or with figures that make no
            sense.
    """
    percent = request.api_limit_percent or 100
    figures = (request.wanted_calls, request.held_calls, request.wanted_slots)
    if not request.caller or min(figures) < 0 or not 1 <= percent <= 100:
        raise HoldfastError(Kind.INVALID, "A reservation names its caller, and counts from zero.", code="bad-wish")
    return Wish(
        connection_id=connection_id,
        caller=request.caller,
        purpose=purpose_of(request.purpose),
        percent=percent,
        calls=min(request.wanted_calls, _MOST_CALLS),
        held=request.held_calls,
        slots=request.wanted_slots,
    )


def purpose_of(name: str) -> Purpose:
    """The purpose of that name.

    Raises:
        HoldfastError: INVALID.
    """
    if name not in _PURPOSES:
        raise HoldfastError(Kind.INVALID, f"{name!r} is not a purpose.", code="bad-purpose", field="purpose")
    return _PURPOSES[name]


def heard_of(request: pb.ReportUsageRequest) -> Heard:
    """A report of usage."""
    at = request.observed_at.ToDatetime(UTC) if request.HasField("observed_at") else None
    return Heard(
        calls=request.calls,
        used=request.used,
        limit=request.limit,
        observed_at=at,
        caller=request.caller,
        exhausted=_EXHAUSTED.get(request.exhausted, ""),
    )


def reservation_message(found: Reservation) -> pb.ReserveCallsResponse:
    """What was granted, or how long to wait."""
    message = pb.ReserveCallsResponse(
        granted_calls=found.calls,
        slots=found.slots,
        expires_in_ms=_ms(GRANT_TERM),
        ask_again_in_ms=_ms(found.pause),
        reason=found.reason,
        left_calls=found.left,
        bulk_wait_ms=_ms(found.bulk_wait),
    )
    if found.free_at is not None:
        message.free_at.FromDatetime(found.free_at)
    return message


def _ms(span: timedelta) -> int:
    return int(span / timedelta(milliseconds=1))
