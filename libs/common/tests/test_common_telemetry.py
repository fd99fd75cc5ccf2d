"""Metrics are found, and traces are sent, where the settings say. Loopback only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from holdfast.common import consuming
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.settings import Settings
from holdfast.common.telemetry import exported, served_metrics, tracer


@pytest.mark.integration
def test_metrics_are_served_inside_the_block_only() -> None:
    consuming.HANDLED.labels("svc", "topic", "handled").inc()
    with served_metrics("127.0.0.1:0") as port:
        page = urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    assert 'holdfast_messages_total{outcome="handled",service="svc",topic="topic"}' in page
    with pytest.raises(URLError):
        urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)


@pytest.mark.integration
def test_a_taken_address_is_said_in_words(settings: Settings) -> None:
    with served_metrics("127.0.0.1:0") as port:
        again = settings.model_copy(update={"metrics_http": f"127.0.0.1:{port}"})
        with pytest.raises(HoldfastError, match="HOLDFAST_METRICS_HTTP") as caught, exported(again, "svc"):
            pass
    assert (caught.value.kind, caught.value.code) == (Kind.UNAVAILABLE, "address-taken")


def test_nothing_is_exported_by_default(settings: Settings) -> None:
    with exported(settings, "svc"):  # a unit test may open no socket
        assert not tracer().start_span("unseen").is_recording()


@pytest.mark.parametrize("field", ["metrics_http", "otlp_endpoint"])
def test_a_place_that_is_none_is_refused_at_the_start(settings: Settings, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Settings(**{**settings.model_dump(), field: "here"})


class Collector(HTTPServer):
    """Keeps what is posted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keeps)
        self.bodies: list[bytes] = []


class _Keeps(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.mark.integration
def test_the_last_spans_are_sent_before_the_process_ends(settings: Settings, collector: Collector) -> None:
    endpoint = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    with (
        exported(settings.model_copy(update={"otlp_endpoint": endpoint}), "svc"),
        tracer().start_as_current_span("handle something"),
    ):
        pass
    assert b"handle something" in b"".join(collector.bodies)
    assert b"holdfast-svc" in b"".join(collector.bodies)
