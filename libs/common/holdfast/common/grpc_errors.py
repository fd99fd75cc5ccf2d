"""The one error type across gRPC: a status code for strangers, trailing metadata for ourselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote, unquote

import grpc

from holdfast.common.errors import MAPPING, HoldfastError, Kind

_PREFIX = "holdfast-error-"
_BY_STATUS = {
    grpc.StatusCode.UNAVAILABLE: Kind.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Kind.TIMEOUT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Kind.LIMIT,
    grpc.StatusCode.UNAUTHENTICATED: Kind.UNAUTHENTICATED,
    grpc.StatusCode.CANCELLED: Kind.UNKNOWN_OUTCOME,
}


def status_of(error: HoldfastError) -> grpc.StatusCode:
    """The gRPC status of an error's kind."""
    return getattr(grpc.StatusCode, MAPPING[error.kind].grpc)  # type: ignore[no-any-return]


def to_trailers(error: HoldfastError) -> tuple[tuple[str, str], ...]:
    """Everything a caller may see; `detail` stays in the server's log."""
    trailers = [
        (_PREFIX + "kind", error.kind.value),
        (_PREFIX + "code", quote(error.code)),
        (_PREFIX + "message", quote(error.message)),
    ]
    if error.field is not None:
        trailers.append((_PREFIX + "field", quote(error.field)))
    if error.retry_after is not None:
        trailers.append((_PREFIX + "retry-after-s", str(error.retry_after.total_seconds())))
    return tuple(trailers)


def from_rpc(error: grpc.aio.AioRpcError) -> HoldfastError:
    """The error that the server raised, or what the transport's failure means."""
    trailers: Any = error.trailing_metadata() or ()
    values = {str(name).removeprefix(_PREFIX): str(value) for name, value in trailers if str(name).startswith(_PREFIX)}
    if "kind" not in values:
        return _from_transport(error)
    seconds = values.get("retry-after-s")
    return HoldfastError(
        Kind(values["kind"]),
        unquote(values.get("message", "")),
        code=unquote(values["code"]) if "code" in values else None,
        field=unquote(values["field"]) if "field" in values else None,
        retry_after=timedelta(seconds=float(seconds)) if seconds else None,
        detail=f"gRPC {error.code().name}",
    )


def _from_transport(error: grpc.aio.AioRpcError) -> HoldfastError:
    kind = _BY_STATUS.get(error.code(), Kind.INTERNAL)
    sentences = {
        Kind.UNAVAILABLE: "A part of Holdfast is not reachable right now; try again in a moment.",
        Kind.TIMEOUT: "A part of Holdfast did not answer in time; try again in a moment.",
    }
    return HoldfastError(
        kind,
        sentences.get(kind, "A part of Holdfast failed to answer."),
        detail=f"gRPC {error.code().name}: {error.details()}",
    )
