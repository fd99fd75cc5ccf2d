"""Sealed secrets open for the right connection, purpose and key only; tokens are fetched once."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from pydantic import SecretStr

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.rpc.connections.v1 import connections_pb2 as pb
from holdfast.connections.envelope import Envelope
from holdfast.connections.messages import credentials_of
from holdfast.connections.org import warnings
from holdfast.connections.tokens import Tokens
from holdfast.salesforce.models import Access, Permissions

ONE, TWO = UUID(int=1), UUID(int=2)
ENVELOPE = Envelope(b"k" * 32)
SECRET = SecretStr("hunter2-hunter2")


def test_secret_comes_back() -> None:
    sealed = ENVELOPE.seal(ONE, SECRET)
    assert ENVELOPE.open(ONE, sealed) == SECRET
    assert b"hunter2" not in b"".join([sealed.wrapped_key, sealed.secret])


def test_every_seal_has_its_own_key() -> None:
    first, second = ENVELOPE.seal(ONE, SECRET), ENVELOPE.seal(ONE, SECRET)
    assert first.wrapped_key != second.wrapped_key
    assert first.secret != second.secret
    with pytest.raises(HoldfastError):
        ENVELOPE.open(ONE, first._replace(secret=second.secret))


def test_row_of_another_connection_does_not_open() -> None:
    with pytest.raises(HoldfastError, match="cannot be read"):
        ENVELOPE.open(TWO, ENVELOPE.seal(ONE, SECRET))


def test_parts_in_each_others_place_do_not_open() -> None:
    sealed = ENVELOPE.seal(ONE, SECRET)
    with pytest.raises(HoldfastError):
        ENVELOPE.open(ONE, sealed._replace(wrapped_key=sealed.secret, secret=sealed.wrapped_key))


def test_another_installation_key_is_named_as_the_reason() -> None:
    with pytest.raises(HoldfastError, match="HOLDFAST_SECRET_KEY") as caught:
        Envelope(b"x" * 32).open(ONE, ENVELOPE.seal(ONE, SECRET))
    assert caught.value.code == "secret-unreadable"
    assert ENVELOPE.key_id in caught.value.detail


@pytest.mark.parametrize("position", [0, 12, -1])
def test_altered_row_does_not_open(position: int) -> None:
    sealed = ENVELOPE.seal(ONE, SECRET)
    altered = bytearray(sealed.secret)
    altered[position] ^= 1
    with pytest.raises(HoldfastError):
        ENVELOPE.open(ONE, sealed._replace(secret=bytes(altered)))


def test_mark_depends_on_secret_and_key() -> None:
    assert ENVELOPE.mark("a") == ENVELOPE.mark("a")
    assert len({ENVELOPE.mark("a"), ENVELOPE.mark("b"), Envelope(b"x" * 32).mark("a")}) == 3


class Door:
    """Signs in when told to, and counts."""

    def __init__(self) -> None:
        self.sign_ins = 0
        self.open = asyncio.Event()
        self.error: HoldfastError | None = None

    async def sign_in(self, connection_id: UUID) -> Access:
        self.sign_ins += 1
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return Access("https://example.my.salesforce.com", f"token-{self.sign_ins}", "00D")


async def test_many_callers_share_one_sign_in() -> None:
    door = Door()
    tokens = Tokens(door.sign_in)
    calls = [asyncio.create_task(tokens.get(ONE, "")) for _ in range(10)]
    await asyncio.sleep(0)
    door.open.set()
    assert {access.access_token for access in await asyncio.gather(*calls)} == {"token-1"}
    assert (await tokens.get(ONE, "")).access_token == "token-1"
    assert door.sign_ins == 1


async def test_refused_token_is_renewed_once_for_all() -> None:
    door = Door()
    door.open.set()
    tokens = Tokens(door.sign_in)
    await tokens.get(ONE, "")
    renewed = await asyncio.gather(*(tokens.get(ONE, "token-1") for _ in range(10)))
    assert {access.access_token for access in renewed} == {"token-2"}
    assert (await tokens.get(ONE, "token-1")).access_token == "token-2"
    assert door.sign_ins == 2


async def test_failure_is_shared_and_not_kept() -> None:
    door = Door()
    door.open.set()
    door.error = HoldfastError(Kind.UNAVAILABLE, "no")
    tokens = Tokens(door.sign_in)
    outcomes = await asyncio.gather(*(tokens.get(ONE, "") for _ in range(10)), return_exceptions=True)
    assert outcomes == [door.error] * 10
    assert door.sign_ins == 1
    door.error = None
    assert (await tokens.get(ONE, "")).access_token == "token-2"


async def test_caller_that_gives_up_does_not_stop_the_others() -> None:
    door = Door()
    tokens = Tokens(door.sign_in)
    impatient, patient = (asyncio.create_task(tokens.get(ONE, "")) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    door.open.set()
    assert (await patient).access_token == "token-1"


async def test_connections_do_not_wait_for_each_other() -> None:
    door = Door()
    tokens = Tokens(door.sign_in)
    tokens.hold(TWO, Access("https://example.my.salesforce.com", "held", "00D"))
    waiting = asyncio.create_task(tokens.get(ONE, ""))
    await asyncio.sleep(0)
    assert (await tokens.get(TWO, "")).access_token == "held"
    await tokens.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def request(**values: object) -> pb.AddConnectionRequest:
    filled = {"flow": pb.FLOW_JWT_BEARER, "client_id": "app", "secret": "key", "username": "ann", **values}
    return pb.AddConnectionRequest(**filled)


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (request(flow=pb.FLOW_UNSPECIFIED), "flow"),
        (request(client_id=" "), "client_id"),
        (request(client_id="x" * 501), "client_id"),
        (request(secret="  "), "secret"),
        (request(secret="x" * 20_000), "secret"),
        (request(username=""), "username"),
        (request(username="a\nb"), "username"),
    ],
)
def test_incomplete_credentials_name_their_field(bad: pb.AddConnectionRequest, field: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        credentials_of(bad, "https://example.my.salesforce.com")
    assert (caught.value.kind, caught.value.field) == (Kind.INVALID, field)


@pytest.mark.parametrize(
    ("url", "audience"),
    [
        ("https://example.my.salesforce.com", "https://login.salesforce.com"),
        ("https://example--dev.sandbox.my.salesforce.com", "https://test.salesforce.com"),
        ("https://test.salesforce.com", "https://test.salesforce.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_audience_of_a_jwt(url: str, audience: str) -> None:
    grant = credentials_of(request(), url).grant()
    assert grant.audience == audience  # type: ignore[union-attr]


def test_secret_is_not_shown() -> None:
    assert "hunter2" not in repr(credentials_of(request(secret="hunter2"), "https://x.my.salesforce.com"))


def test_warnings_say_what_the_backup_misses() -> None:
    assert warnings(Permissions(True, True)) == []
    (text,) = warnings(Permissions(True, False))
    assert "Query All Files" in text
    (text,) = warnings(Permissions(False, True))
    assert "Modify All Data" in text
    assert "records that the user cannot see" in text
    (text,) = warnings(Permissions(False, True, view_all_data=True))
    assert "restore" in text and "not backed up" not in text
    (text,) = warnings(Permissions(None, None))
    assert "does not tell" in text
