"""The only place where the gateway is wired."""

from __future__ import annotations

from pathlib import Path

from holdfast.common.postgres import Database
from holdfast.common.service import Module, Platform
from holdfast.gateway.backends import Backends, connect
from holdfast.gateway.context import Context
from holdfast.gateway.http import create_app
from holdfast.gateway.server import HttpServer
from holdfast.gateway.settings import GatewaySettings
from holdfast.gateway.tokens import Tokens
from holdfast.gateway.verifications import Verifications

NAME = "gateway"
ADDRESS_FILE = "api-address"


class Gateway:
    """The public HTTP API as a module of the process."""

    name = NAME

    def __init__(
        self,
        *,
        data: Path,
        db: Database,
        tokens: Tokens,
        backends: Backends,
        verifications: Verifications,
        server: HttpServer,
    ) -> None:
        self._data = data
        self._db = db
        self._tokens = tokens
        self._backends = backends
        self._verifications = verifications
        self._server = server

    async def start(self) -> None:
        """See that an admin token exists, then serve; `api-address` in the data folder says where."""
        await self._tokens.ensure_admin(self._data)
        await self._server.start()
        (self._data / ADDRESS_FILE).write_text(f"http://{self._server.address}\n", encoding="ascii")

    async def run(self) -> None:
        """Return when the server ends."""
        await self._server.run()

    async def stop(self) -> None:
        """Answer what was asked, then give everything back."""
        (self._data / ADDRESS_FILE).unlink(missing_ok=True)
        await self._server.stop()
        await self._verifications.stop()
        await self._backends.close()
        await self._db.close()

    def health(self) -> dict[str, object]:
        """Whether requests are answered."""
        return {"alive": self._server.serving}


async def build(platform: Platform) -> Module:
    """The gateway of a process. Opens its database; serves nothing before `start`."""
    settings = GatewaySettings.model_validate(platform.settings.model_dump())
    db = await Database.open(settings.postgres, NAME, clock=platform.clock)
    await db.migrate("holdfast.gateway")
    tokens = Tokens(db, platform.clock, platform.ids)
    backends = connect(settings)
    verifications = Verifications(backends.verify, platform.clock, platform.ids)
    context = Context(settings, backends, tokens, verifications, platform.clock)
    server = HttpServer(create_app(context), settings.gateway_http)
    return Gateway(
        data=settings.data,
        db=db,
        tokens=tokens,
        backends=backends,
        verifications=verifications,
        server=server,
    )
