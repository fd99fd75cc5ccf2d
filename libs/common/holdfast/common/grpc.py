"""gRPC between services: a shared token, a deadline on every call, and one error type on both sides."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

import grpc
import grpc.aio
import structlog

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.grpc_errors import from_rpc, status_of, to_trailers
from holdfast.common.settings import Settings
from holdfast.common.telemetry import tracer

R = TypeVar("R")
TOKEN_HEADER = "holdfast-token"  # noqa: S105 - a header's name
DEFAULT_TIMEOUT = timedelta(seconds=10)
MAX_DEADLINE = timedelta(minutes=5)
MAX_STREAM_DEADLINE = timedelta(hours=24)  # a verification reads every byte of a job
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
STOP_GRACE_S = 3.0
log = structlog.get_logger(__name__)
_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a second process on the same address is a mistake, not load balancing
    ("grpc.enable_retries", 0),  # a command is repeated by its caller, with its key, or not at all
    # A peer that vanished without a word ends a long stream after about a minute, not at its deadline.
    ("grpc.keepalive_time_ms", 40_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class _Credentials:
    """Adds the internal token, and a deadline where the caller set none."""

    def __init__(self, token: str) -> None:
        self._token = token

    def complete(self, details: Any) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        metadata.add(TOKEN_HEADER, self._token)
        timeout = details.timeout if details.timeout is not None else DEFAULT_TIMEOUT.total_seconds()
        return grpc.aio.ClientCallDetails(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready
        )


# A channel takes an interceptor for one kind of call only, hence one class for each.
class _UnaryCredentials(_Credentials, grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]  # no generic at run time
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self.complete(client_call_details), request)


class _StreamCredentials(_Credentials, grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[type-arg]  # as above
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self.complete(client_call_details), request)


def channel(settings: Settings, target: str) -> grpc.aio.Channel:
    """A channel to another service; it connects by itself, again and again. Close it at the end."""
    token = settings.internal_token.get_secret_value()
    interceptors: Any = [_UnaryCredentials(token), _StreamCredentials(token)]
    return grpc.aio.insecure_channel(target, options=_OPTIONS, interceptors=interceptors)


async def call(method: Callable[..., Awaitable[R]], request: Any, *, timeout: timedelta = DEFAULT_TIMEOUT) -> R:
    """Call a stub's method.

    Raises:
        HoldfastError: As the server raised it; UNAVAILABLE or TIMEOUT when it could not answer.
    """
    try:
        return await method(request, timeout=timeout.total_seconds())
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error) from error


class Server:
    """One service's gRPC endpoint."""

    def __init__(self, settings: Settings, address: str) -> None:
        self.address = address
        self.port = 0
        self._server = grpc.aio.server(
            options=_OPTIONS,
            interceptors=[_Guard(settings.internal_token.get_secret_value())],
        )

    def add(self, register: Callable[[grpc.aio.Server], None]) -> None:
        """Register a servicer: `server.add(lambda s: add_XServicer_to_server(X(), s))`."""
        register(self._server)

    async def start(self) -> None:
        """Listen.

        Raises:
            HoldfastError: UNAVAILABLE when the address is taken.
        """
        try:
            self.port = self._server.add_insecure_port(self.address)
        except RuntimeError as error:
            await self._server.stop(None)
            raise HoldfastError(
                Kind.UNAVAILABLE,
                f"The address {self.address} cannot be listened on; is another Holdfast running?",
                code="address-taken",
                detail=str(error),
            ) from error
        await self._server.start()

    async def stop(self) -> None:
        """Refuse new calls, give running ones three seconds."""
        await self._server.stop(STOP_GRACE_S)


class _Guard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # no generic at run time
    """Checks token and deadline, and turns what a method raises into a status."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        metadata = dict(handler_call_details.invocation_metadata or ())
        known = hmac.compare_digest(str(metadata.get(TOKEN_HEADER, "")).encode(), self._token)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(handler.unary_unary, handler_call_details.method, known),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(handler.unary_stream, handler_call_details.method, known),
                handler.request_deserializer,
                handler.response_serializer,
            )
        raise NotImplementedError("client streaming is not used between services")

    def _unary(self, method: Any, name: str, known: bool) -> Any:
        async def guarded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                _check(context, known, MAX_DEADLINE)
                with tracer().start_as_current_span(name):
                    return await method(request, context)
            except Exception as error:
                await _abort(context, name, error)

        return guarded

    def _stream(self, method: Any, name: str, known: bool) -> Any:
        async def guarded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                _check(context, known, MAX_STREAM_DEADLINE)
                async for item in method(request, context):
                    yield item
            except Exception as error:
                await _abort(context, name, error)

        return guarded


def _check(context: grpc.aio.ServicerContext[Any, Any], known: bool, longest: timedelta) -> None:
    if not known:
        # No input of the user's is wrong, and nobody who is asked to sign in again could help.
        raise HoldfastError(
            Kind.UNAVAILABLE,
            "The parts of Holdfast do not trust each other: give every one of them the same HOLDFAST_INTERNAL_TOKEN.",
            code="internal-token-refused",
        )
    remaining = context.time_remaining()
    if remaining is None or remaining > longest.total_seconds():
        raise HoldfastError(
            Kind.INVALID,
            f"A deadline of at most {longest.total_seconds():.0f} s is required.",
            code="deadline-required",
        )


async def _abort(context: grpc.aio.ServicerContext[Any, Any], name: str, error: Exception) -> None:
    if isinstance(error, grpc.aio.AbortError | asyncio.CancelledError):
        raise error
    if not isinstance(error, HoldfastError):
        reference = uuid4().hex[:12]
        log.error("rpc_failed", method=name, reference=reference, exc_info=error)
        error = HoldfastError(Kind.INTERNAL, f"Something went wrong inside Holdfast (reference {reference}).")
    elif error.kind is Kind.INTERNAL or error.detail:
        log.warning("rpc_refused", method=name, kind=error.kind.value, error=error.message, detail=error.detail)
    await context.abort(status_of(error), error.message, to_trailers(error))
