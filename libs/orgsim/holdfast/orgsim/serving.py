"""Runs an org as a process of its own."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from pathlib import Path

import orjson
import uvicorn

from holdfast.orgsim.api.app import OrgApp
from holdfast.orgsim.org import Org

PARENT_POLL_S = 0.5


def listen(port: int) -> socket.socket:
    """A socket on 127.0.0.1; a free port for 0. Accepted connections inherit TCP_NODELAY."""
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.bind(("127.0.0.1", port))
    server.listen(512)
    return server


def serve(org: Org, *, port: int, ready_file: Path | None, parent_pid: int | None) -> None:
    """Serve until stopped by a signal, or until the parent is gone."""
    server = listen(port)
    org.instance_url = f"http://127.0.0.1:{server.getsockname()[1]}"
    config = uvicorn.Config(
        OrgApp(org), http="httptools", loop="uvloop", log_level="warning", access_log=False, server_header=False,
        date_header=True, timeout_keep_alive=75, timeout_graceful_shutdown=1,
    )  # fmt: skip
    gc.collect()
    gc.freeze()  # the loaded org lives as long as the process: no collector needs to walk it
    asyncio.run(_run(uvicorn.Server(config), server, org, ready_file, parent_pid))


def connection_info(org: Org) -> dict[str, object]:
    """What a client needs to connect, as written to the ready file."""
    return {
        "url": org.instance_url,
        "pid": os.getpid(),
        "client_id": org.app.client_id,
        "client_secret": org.app.client_secret,
        "username": org.admin.username,
        "user_id": org.admin.id,
        "org_id": org.id,
    }


async def _run(
    server: uvicorn.Server,
    listening: socket.socket,
    org: Org,
    ready_file: Path | None,
    parent_pid: int | None,
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn offers a flag, no event
        await asyncio.sleep(0.005)
    if ready_file is not None and server.started:
        _write_atomically(ready_file, orjson.dumps(connection_info(org)))
    while not serving.done():
        if parent_pid is not None and os.getppid() != parent_pid:
            server.should_exit = True
        await asyncio.wait([serving], timeout=PARENT_POLL_S)
    await serving


def _write_atomically(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.touch(mode=0o600)
    partial.write_bytes(data)
    partial.replace(path)
