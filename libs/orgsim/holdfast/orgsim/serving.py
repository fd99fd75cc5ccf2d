"""Runs one or more orgs as a process of their own."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import orjson
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from holdfast.orgsim.listeners.authority import Authority
from holdfast.orgsim.listeners.connect import ConnectProxy
from holdfast.orgsim.listeners.orgs import OrgsApp, describe, local_names
from holdfast.orgsim.org import Org
from holdfast.orgsim.store.mapped import release_mapped_pages

PARENT_POLL_S = 0.5
BACKLOG = 512


def _port(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


@dataclass
class Listening:
    """The open sockets, and the CA file that clients of the https ones need."""

    http: socket.socket
    https: socket.socket | None = None
    proxy: socket.socket | None = None
    tls: ssl.SSLContext | None = None
    ca_file: Path | None = None

    def addresses(self) -> dict[str, str]:
        """What a client is pointed at."""
        found = {"url": f"http://127.0.0.1:{_port(self.http)}"}
        if self.https is not None and self.proxy is not None:
            found["https_url"] = f"https://localhost:{_port(self.https)}"
            found["proxy_url"] = f"http://127.0.0.1:{_port(self.proxy)}"
            found["ca_file"] = str(self.ca_file)
        return found

    def close(self) -> None:
        """Close the sockets."""
        for one in (self.http, self.https, self.proxy):
            if one is not None:
                one.close()


def listen(port: int) -> socket.socket:
    """A socket on 127.0.0.1; a free port for 0. Accepted connections inherit TCP_NODELAY.

    Raises:
        OSError: the port is not to be had; the message names it.
    """
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        server.bind(("127.0.0.1", port))
    except OSError as error:
        server.close()
        raise OSError(f"port {port}: {error.strerror}") from error
    server.listen(BACKLOG)
    return server


@dataclass(frozen=True)
class Ports:
    """Which ports to listen on; 0 takes a free one. `https` None: no https, no proxy."""

    http: int = 0
    https: int | None = 0
    proxy: int = 0


def open_listeners(ports: Ports, ca_folder: Path, names: Iterable[str] = ()) -> Listening:
    """Listen; makes the CA in `ca_folder` unless one is kept there. `names`: further hosts of the certificate."""
    http = listen(ports.http)
    if ports.https is None:
        return Listening(http)
    authority = Authority.at(ca_folder)
    tls = authority.context(names)
    return Listening(http, listen(ports.https), listen(ports.proxy), tls, authority.file.resolve())


class OrgServer(uvicorn.Server):
    """Speaks HTTP on the http socket, on the https socket, and in tunnels of the proxy, with one application."""

    def __init__(self, config: uvicorn.Config, listening: Listening) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on all of them."""
        await super().startup(sockets)
        at, loop = self._listening, asyncio.get_running_loop()
        if at.https is None or at.proxy is None or at.tls is None:
            return
        self.started = False
        http = self._protocols()
        secure = await loop.create_server(http, sock=at.https, ssl=at.tls, backlog=BACKLOG)
        proxy = await loop.create_server(partial(ConnectProxy, at.tls, http), sock=at.proxy, backlog=BACKLOG)
        self.servers += [secure, proxy]
        self.started = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; a second Ctrl-C does not wait. The base raises the signal once more, which would skip clearing up."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    def _protocols(self) -> Callable[[], asyncio.Protocol]:
        return partial(
            HttpToolsProtocol, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def end_in_order() -> None:
    """Have SIGTERM and SIGHUP unwind the process: by default they end it with its temporary folders left behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _unwind)


def _unwind(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def serve(
    orgs: Sequence[Org], *, ports: Ports, ca_folder: Path | None, ready_file: Path | None, parent_pid: int | None,
    tell: Callable[[dict[str, Any]], None] | None = None,
) -> None:  # fmt: skip
    """Serve until stopped by a signal, or until the parent is gone.

    The CA is kept in `ca_folder`; without one it lives as long as the process. `tell` gets the connection info once
    the orgs are served. The first org is the default one.
    """
    folder = ca_folder or Path(tempfile.mkdtemp(prefix="orgsim-ca-"))
    try:
        listening = open_listeners(ports, folder, local_names(orgs))
        for org in orgs:
            org.instance_url = listening.addresses()["url"]
        config = uvicorn.Config(
            OrgsApp(orgs), http=HttpToolsProtocol, log_level="warning", access_log=False, server_header=False,
            date_header=False, timeout_keep_alive=75, timeout_graceful_shutdown=1,
        )  # fmt: skip
        gc.collect()
        gc.freeze()  # the loaded orgs live as long as the process: no collector needs to walk them
        info = connection_info(orgs, listening)
        server = OrgServer(config, listening)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(server, listening, partial(_ready, info, ready_file, tell), parent_pid))
        listening.close()
    finally:
        if ca_folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def connection_info(orgs: Sequence[Org], listening: Listening) -> dict[str, Any]:
    """What a client needs to connect, as written to the ready file: the first org's at the top, all under `orgs`."""
    addresses = listening.addresses()
    listed = [_of_one(org, addresses, "" if org is orgs[0] else describe(org)["path"]) for org in orgs]
    return {**listed[0], "orgs": listed}


def _of_one(org: Org, addresses: dict[str, str], path: str) -> dict[str, Any]:
    known = org.sign_in.passwords.of(org.admin.username)
    urls = {key: value + path for key, value in addresses.items() if key in ("url", "https_url")}
    return {
        **addresses,
        **urls,
        "pid": os.getpid(),
        **describe(org),
        "client_id": org.app.client_id,
        "client_secret": org.app.client_secret,
        "username": org.admin.username,
        "user_id": org.admin.id,
        "password": known.password,
        "security_token": known.security_token,
    }


def _ready(info: dict[str, object], ready_file: Path | None, tell: Callable[[dict[str, object]], None] | None) -> None:
    if ready_file is not None:
        _write_atomically(ready_file, orjson.dumps(info))
    if tell is not None:
        tell(info)


async def _run(server: uvicorn.Server, listening: Listening, ready: Callable[[], None], parent_pid: int | None) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, server.handle_exit, signal.SIGHUP, None)
    serving = asyncio.create_task(server.serve(sockets=[listening.http]))
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn offers a flag, no event
        await asyncio.sleep(0.005)
    if server.started:
        ready()
    while not serving.done():
        if parent_pid is not None and os.getppid() != parent_pid:
            server.should_exit = True
        release_mapped_pages()
        await asyncio.wait([serving], timeout=PARENT_POLL_S)
    await serving


def _write_atomically(path: Path, data: bytes) -> None:
    partial_file = path.with_name(path.name + ".partial")
    partial_file.touch(mode=0o600)
    partial_file.write_bytes(data)
    partial_file.replace(path)
