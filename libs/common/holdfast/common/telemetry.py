"""Logs, metrics and traces, set up once per process."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import start_http_server
from pydantic import SecretBytes, SecretStr

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.settings import Settings

_SECRET_WORDS = ("token", "secret", "password", "authorization", "private_key", "credential")
# What they report reaches our own log as `relay_failed`, `message_failed` or a dead bus, in words.
_SILENT_LOGGERS = ("aiokafka", "faststream")
_LIBRARY_LOGGERS = ("httpx", "httpcore", "asyncio", "grpc", "uvicorn.access")


def configure_logging(settings: Settings, service: str) -> None:
    """Send structured logs of this process to stderr; a value that may be a secret is never written."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    level = getattr(logging, settings.log_level.upper())
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=service)
    _route_libraries(shared, renderer)


def _route_libraries(shared: list[structlog.typing.Processor], renderer: structlog.typing.Processor) -> None:
    """Libraries log through the standard module: same shape, warnings and above."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in _LIBRARY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _SILENT_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: mask secret types, and values whose name says that they are secret."""
    for name, value in event.items():
        named_secret = isinstance(value, str | bytes) and any(word in name.lower() for word in _SECRET_WORDS)
        if named_secret or isinstance(value, SecretStr | SecretBytes):
            event[name] = "********"
    return event


@contextmanager
def exported(settings: Settings, service: str) -> Iterator[None]:
    """Inside the block metrics are served and traces are sent, each where its setting says so; neither by default.

    Raises:
        HoldfastError: UNAVAILABLE when the address for the metrics is taken.
    """
    with ExitStack() as stack:
        if settings.otlp_endpoint:
            stack.callback(_send_traces(settings.otlp_endpoint, service).shutdown)  # sends what is left
        if settings.metrics_http:
            stack.enter_context(served_metrics(settings.metrics_http))
        yield


@contextmanager
def served_metrics(address: str) -> Iterator[int]:
    """Serve this process's metrics at `http://<address>/metrics`, from a thread of their own; gives the port.

    Raises:
        HoldfastError: UNAVAILABLE when the address is taken.
    """
    host, _, port = address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"))
    except OSError as error:
        raise HoldfastError(
            Kind.UNAVAILABLE,
            f"The address {address} (HOLDFAST_METRICS_HTTP) cannot be listened on; is another Holdfast running?",
            code="address-taken",
            detail=str(error),
        ) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _send_traces(endpoint: str, service: str) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - slow

    provider = TracerProvider(resource=Resource.create({"service.name": f"holdfast-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
    return provider


def tracer() -> trace.Tracer:
    """The tracer of Holdfast's own spans; without an endpoint they cost next to nothing."""
    return trace.get_tracer("holdfast")
