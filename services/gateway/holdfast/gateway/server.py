"""uvicorn inside the service: our loop, our signals, our sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from datetime import timedelta

import uvicorn
from fastapi import FastAPI

from holdfast.common.errors import HoldfastError, Kind

_GRACE = timedelta(seconds=3)


class _Server(uvicorn.Server):
    """Leaves signals to the process that holds the service, and tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.settled.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves an application on one address."""

    def __init__(self, app: FastAPI, address: str) -> None:
        self._app = app
        self._address = address
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """`host:port` as bound; the port is known once started, also when asked for port 0."""
        assert self._socket is not None, "the server has not started"
        host, port = self._socket.getsockname()[:2]
        return f"{host}:{port}"

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            HoldfastError: UNAVAILABLE: the address is taken or not ours.
        """
        self._socket = _bind(self._address)
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=round(_GRACE.total_seconds()),
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="gateway http")
        await self._server.settled.wait()

    async def run(self) -> None:
        """Return when the server ends."""
        assert self._task is not None, "the server has not started"
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Answer what was asked, then close."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
        if self._socket is not None:
            self._socket.close()

    @property
    def serving(self) -> bool:
        """Whether requests are answered."""
        return self._task is not None and not self._task.done()


def _bind(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        return socket.create_server((host.strip("[]"), int(port)), backlog=512)
    except (OSError, ValueError) as error:
        sentence = f"The gateway cannot listen on {address}: {error}. Set HOLDFAST_GATEWAY_HTTP to a free address."
        raise HoldfastError(Kind.UNAVAILABLE, sentence, code="address-not-available") from error
