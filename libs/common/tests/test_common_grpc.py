"""Errors cross gRPC whole; a call without token or deadline is refused. Loopback only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import StringValue
from pydantic import SecretStr

from holdfast.common.errors import MAPPING, HoldfastError, Kind
from holdfast.common.grpc import TOKEN_HEADER, Server, call, channel
from holdfast.common.settings import Settings

pytestmark = pytest.mark.integration


class Echo:
    """Raises what it is told to raise, else answers."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.delay_s = 0.0

    async def say(self, request: StringValue, context: Any) -> StringValue:
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        return StringValue(value=request.value.upper())

    async def count(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield StringValue(value="one")
        if self.error is not None:
            raise self.error
        yield StringValue(value="two")

    def register(self, server: grpc.aio.Server) -> None:
        codec: dict[str, Any] = {
            "request_deserializer": StringValue.FromString,
            "response_serializer": StringValue.SerializeToString,
        }
        handlers = {
            "Say": grpc.unary_unary_rpc_method_handler(self.say, **codec),
            "Count": grpc.unary_stream_rpc_method_handler(self.count, **codec),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def server(settings: Settings, echo: Echo) -> AsyncIterator[Server]:
    made = Server(settings, "127.0.0.1:0")
    made.add(echo.register)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def link(settings: Settings, server: Server) -> AsyncIterator[grpc.aio.Channel]:
    async with channel(settings, f"127.0.0.1:{server.port}") as opened:
        yield opened


def say(link: grpc.aio.Channel) -> Any:
    return link.unary_unary(
        "/test.Echo/Say",
        request_serializer=StringValue.SerializeToString,
        response_deserializer=StringValue.FromString,
    )


def count(link: grpc.aio.Channel) -> Any:
    return link.unary_stream(
        "/test.Echo/Count",
        request_serializer=StringValue.SerializeToString,
        response_deserializer=StringValue.FromString,
    )


async def test_a_call_is_answered(link: grpc.aio.Channel) -> None:
    assert (await call(say(link), StringValue(value="hi"))).value == "HI"


@pytest.mark.parametrize("kind", list(Kind))
async def test_an_error_arrives_as_it_was_raised(link: grpc.aio.Channel, echo: Echo, kind: Kind) -> None:
    echo.error = HoldfastError(
        kind,
        "Ein Satz mit Ümläuten.\nUnd Zeilen – 100 %.",
        code="some-code",
        field="a.b",
        detail="for logs only",
        retry_after=timedelta(seconds=1.5),
    )
    with pytest.raises(HoldfastError) as caught:
        await call(say(link), StringValue())
    got = caught.value
    assert (got.kind, got.message, got.code, got.field, got.retry_after) == (
        kind,
        echo.error.message,
        "some-code",
        "a.b",
        timedelta(seconds=1.5),
    )
    assert "for logs only" not in got.detail


@pytest.mark.parametrize("kind", list(Kind))
async def test_strangers_see_the_status_of_the_kind(link: grpc.aio.Channel, echo: Echo, kind: Kind) -> None:
    echo.error = HoldfastError(kind, "no")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await say(link)(StringValue(), timeout=5)
    assert caught.value.code().name == MAPPING[kind].grpc


async def test_a_bug_is_internal_with_a_reference_and_nothing_else(link: grpc.aio.Channel, echo: Echo) -> None:
    echo.error = ValueError("the password is hunter2")
    with pytest.raises(HoldfastError, match=r"reference [0-9a-f]{12}") as caught:
        await call(say(link), StringValue())
    assert caught.value.kind is Kind.INTERNAL
    assert "hunter2" not in caught.value.message + caught.value.detail


async def test_a_stream_ends_with_its_error(link: grpc.aio.Channel, echo: Echo) -> None:
    echo.error = HoldfastError(Kind.DAMAGED, "A file is damaged.")
    got = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for item in count(link)(StringValue(), timeout=5):
            got.append(item.value)
    assert got == ["one"]
    assert caught.value.code() is grpc.StatusCode.DATA_LOSS


@pytest.mark.parametrize("token", ["", "wrong", "test-token2"])
async def test_a_wrong_token_is_refused(settings: Settings, server: Server, token: str) -> None:
    bad = settings.model_copy(update={"internal_token": SecretStr(token)})
    async with channel(bad, f"127.0.0.1:{server.port}") as link:
        with pytest.raises(HoldfastError) as caught:
            await call(say(link), StringValue())
    assert (caught.value.kind, caught.value.code) == (Kind.UNAVAILABLE, "internal-token-refused")
    assert "HOLDFAST_INTERNAL_TOKEN" in caught.value.message


async def test_no_token_is_refused(server: Server) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as link:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await say(link)(StringValue(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_deadline_is_required(server: Server) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as link:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await say(link)(StringValue(), metadata=((TOKEN_HEADER, "test-token"),))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "deadline" in (caught.value.details() or "")


async def test_a_stream_may_take_a_day_and_a_call_five_minutes(link: grpc.aio.Channel) -> None:
    day = timedelta(hours=23).total_seconds()
    assert [item.value async for item in count(link)(StringValue(), timeout=day)] == ["one", "two"]
    for refused in (say(link)(StringValue(), timeout=day), anext(aiter(count(link)(StringValue(), timeout=2 * day)))):
        with pytest.raises(grpc.aio.AioRpcError, match="deadline"):
            await refused


async def test_our_channel_sets_a_deadline_by_itself(link: grpc.aio.Channel) -> None:
    assert (await say(link)(StringValue(value="x"))).value == "X"


async def test_nobody_there_is_unavailable(settings: Settings) -> None:
    async with channel(settings, "127.0.0.1:1") as link:
        with pytest.raises(HoldfastError) as caught:
            await call(say(link), Empty(), timeout=timedelta(seconds=2))
    assert caught.value.kind is Kind.UNAVAILABLE


async def test_a_slow_answer_is_a_timeout(link: grpc.aio.Channel, echo: Echo) -> None:
    echo.delay_s = 30.0
    with pytest.raises(HoldfastError) as caught:
        await call(say(link), StringValue(), timeout=timedelta(milliseconds=200))
    assert caught.value.kind is Kind.TIMEOUT


async def test_a_taken_address_is_said_in_words(settings: Settings, server: Server) -> None:
    second = Server(settings, f"127.0.0.1:{server.port}")
    with pytest.raises(HoldfastError, match="cannot be listened on"):
        await second.start()
