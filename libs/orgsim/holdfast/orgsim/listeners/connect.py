"""The forward proxy: CONNECT to a Salesforce host ends in the https listener of this process, all else is refused.

It lets clients whose hosts are fixed (`https://login.salesforce.com`, a My Domain) reach the org by `HTTPS_PROXY` and
a CA variable alone. No connection ever leaves the process: the tunnel's TLS ends here, on the proxy's own connection.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

from holdfast.orgsim.listeners.hosts import is_ours, split_host

LONGEST_HEAD_BYTES = 16_384
HANDSHAKE_TIMEOUT_S = 15.0
logger = logging.getLogger(__name__)


class ConnectProxy(asyncio.Protocol):
    """One connection of a proxy client. `make_http` gives the protocol that speaks HTTP inside the tunnel."""

    def __init__(self, tls: ssl.SSLContext, make_http: Callable[[], asyncio.Protocol]) -> None:
        self._tls = tls
        self._make_http = make_http
        self._head = b""
        self._transport: asyncio.Transport | None = None
        self._opening: asyncio.Task[None] | None = None  # kept, or the loop would forget it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are not registered as one

    def data_received(self, data: bytes) -> None:
        """Collect the request's head, then open the tunnel or refuse."""
        self._head += data
        if len(self._head) > LONGEST_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's head is too long.")
        elif b"\r\n\r\n" in self._head:
            self._decide(self._head)

    def _decide(self, head: bytes) -> None:
        line = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        target = split_host(line[1]) if len(line) == 3 else None
        if target is None or line[0] != "CONNECT" or not head.endswith(b"\r\n\r\n"):
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "This proxy answers CONNECT host:port only.")
        elif not is_ours(target[0]):
            self._refuse(HTTPStatus.FORBIDDEN, f"This proxy serves the local org's hosts only, not {target[0]}.")
        else:
            self._opening = asyncio.get_running_loop().create_task(self._open())

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        assert self._transport is not None
        body = why.encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain;charset=UTF-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self._transport.write(head.encode() + body)
        self._transport.close()

    async def _open(self) -> None:
        raw, waiting = self._transport, _Waiting()
        assert raw is not None
        raw.write(b"HTTP/1.1 200 Connection established\r\n\r\n")  # start_tls pauses reading before it awaits
        try:
            secured = await asyncio.get_running_loop().start_tls(
                raw, waiting, self._tls, server_side=True, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
            )
        except (OSError, ssl.SSLError) as error:
            logger.info("no TLS in the tunnel: %s (does the client trust the org's CA file?)", error)
            raw.abort()
            return
        if secured is None or secured.is_closing() or waiting.lost:
            raw.abort()
            return
        http = self._make_http()
        secured.set_protocol(http)
        http.connection_made(secured)
        if waiting.early:
            http.data_received(bytes(waiting.early))


class _Waiting(asyncio.Protocol):
    """Keeps what comes with the handshake's last flight until HTTP takes over."""

    def __init__(self) -> None:
        self.early = bytearray()
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.early += data

    def eof_received(self) -> bool:
        self.lost = True
        return False

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost = True
