"""The gateway as it runs: real Postgres, real gRPC to the services, real HTTP."""

from __future__ import annotations

import asyncio
import base64
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from holdfast.common.errors import HoldfastError
from holdfast.common.grpc import Server
from holdfast.common.rpc.connections.v1.connections_pb2_grpc import add_ConnectionsServiceServicer_to_server
from holdfast.common.rpc.extractor.v1.extractor_pb2_grpc import add_ExtractorServiceServicer_to_server
from holdfast.common.rpc.history.v1 import history_pb2
from holdfast.common.rpc.history.v1.history_pb2_grpc import add_HistoryServiceServicer_to_server
from holdfast.common.rpc.scheduler.v1.scheduler_pb2_grpc import add_SchedulerServiceServicer_to_server
from holdfast.common.service import Platform
from holdfast.gateway.module import build
from holdfast.gateway.settings import GatewaySettings

pytestmark = pytest.mark.integration
MIB = 1024 * 1024


class Servicer:
    """Lets a fake, whose methods take a request, answer over gRPC."""

    def __init__(self, fake: Any) -> None:
        self._fake = fake

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._fake, name, None)
        if name == "VerifyJob":

            async def stream(request, _context):
                async for each in method(request):
                    yield each

            return stream

        async def unary(request, _context):
            return await method(request)

        return unary


@asynccontextmanager
async def serving(world, settings: GatewaySettings) -> AsyncIterator[GatewaySettings]:
    """The fakes of `world` behind real gRPC servers."""
    registrations = {
        "connections": (add_ConnectionsServiceServicer_to_server, world.connections),
        "scheduler": (add_SchedulerServiceServicer_to_server, world.scheduler),
        "extractor": (add_ExtractorServiceServicer_to_server, world.extractor),
        "history": (add_HistoryServiceServicer_to_server, world.history),
    }
    servers, addresses = [], {}
    try:
        for name, (register, fake) in registrations.items():
            server = Server(settings, "127.0.0.1:0")
            server.add(lambda grpc_server, register=register, fake=fake: register(Servicer(fake), grpc_server))
            await server.start()
            servers.append(server)
            addresses[f"{name}_grpc"] = f"127.0.0.1:{server.port}"
        yield settings.model_copy(update=addresses)
    finally:
        for server in servers:
            await server.stop()


@pytest.fixture
async def gateway(world, postgres_dsn, tmp_path):
    settings = GatewaySettings(
        data=tmp_path,
        postgres=postgres_dsn,
        gateway_http="127.0.0.1:0",
        internal_token="t",
        secret_key=base64.b64encode(bytes(32)).decode(),
    )
    async with serving(world, settings) as complete:
        module = await build(Platform(settings=complete, store=SimpleNamespace()))
        await module.start()
        running = asyncio.create_task(module.run())
        yield module
        began = time.monotonic()
        await module.stop()
        await running
        assert time.monotonic() - began < 5
        assert not (tmp_path / "api-address").exists()


@pytest.fixture
async def client(gateway, tmp_path):
    address = (tmp_path / "api-address").read_text().strip()
    token = (tmp_path / "admin-token").read_text().strip()
    async with httpx.AsyncClient(base_url=address, headers={"Authorization": f"Bearer {token}"}) as opened:
        yield opened


async def test_the_api_as_a_user_meets_it(world, gateway, client, tmp_path):
    assert stat.S_IMODE((tmp_path / "admin-token").stat().st_mode) == 0o600
    assert gateway.health() == {"alive": True}
    connection = {"name": "P", "login_url": "https://a.example", "client_id": "c", "secret": "s"}
    assert (await client.post("/v1/connections", json=connection)).status_code == 201
    assert (await client.post("/v1/jobs", json={"name": "Nightly", "connection": "P"})).status_code == 201
    run = await client.post("/v1/jobs/Nightly/runs", headers={"Idempotency-Key": "k"})
    again = await client.post("/v1/jobs/Nightly/runs", headers={"Idempotency-Key": "k"})
    assert run.status_code == 202 and run.json() == again.json()
    assert (await client.get(run.headers["location"])).json()["state"] == "requested"

    wrong = await client.get("/v1/jobs", headers={"Authorization": "Bearer hf_" + "A" * 43})
    assert wrong.status_code == 401


async def test_what_a_service_says_survives_the_way_through_grpc(client):
    body = {"name": "Nightly", "connection": "P", "objects": ["Nope"]}
    connection = {"name": "P", "login_url": "https://a.example", "client_id": "c", "secret": "s"}
    await client.post("/v1/connections", json=connection)
    answer = await client.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown-object")
    assert answer.json()["errors"][0]["field"] == "objects.0"


async def test_verification_streams_through_grpc(world, client):
    await world.job()
    world.history.steps = [history_pb2.VerifyJobResponse(object="Account", files_done=1, files_total=1, done=True)]
    found = await client.post("/v1/jobs/Nightly/verifications")
    for _ in range(100):
        state = (await client.get(found.headers["location"])).json()
        if state["state"] != "running":
            break
        await asyncio.sleep(0.02)
    assert state["state"] == "intact", state


@pytest.mark.parametrize("announced", [True, False])
async def test_50_mb_are_refused_and_the_client_hears_why(client, announced):
    async def body() -> AsyncIterator[bytes]:
        for _ in range(50 * 16):
            yield b" " * (MIB // 16)

    headers = {"Content-Length": str(50 * MIB)} if announced else {}
    began = time.monotonic()
    answer = await client.post("/v1/jobs", content=body(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    assert time.monotonic() - began < 5
    assert (await client.get("/v1/health")).status_code == 200


async def test_an_address_that_is_taken_is_a_clear_error(gateway, world, postgres_dsn, tmp_path):
    taken = (tmp_path / "api-address").read_text().strip().removeprefix("http://")
    settings = GatewaySettings(
        data=tmp_path / "other",
        postgres=postgres_dsn,
        gateway_http=taken,
        internal_token="t",
        secret_key=base64.b64encode(bytes(32)).decode(),
    )
    second = await build(Platform(settings=settings, store=SimpleNamespace()))
    try:
        with pytest.raises(HoldfastError, match="cannot listen on"):
            await second.start()
    finally:
        await second.stop()
