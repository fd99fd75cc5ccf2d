"""The only place where connections is wired."""

from __future__ import annotations

from holdfast.common.contracts.connections import (
    BudgetObserved,
    ConnectionAdded,
    ConnectionBroken,
    ConnectionRecovered,
)
from holdfast.common.grpc import Server
from holdfast.common.messaging import Bus
from holdfast.common.postgres import Database
from holdfast.common.rpc.connections.v1.connections_pb2_grpc import add_ConnectionsServiceServicer_to_server
from holdfast.common.service import Module, Platform, ServiceModule
from holdfast.connections.envelope import Envelope
from holdfast.connections.grpc import ConnectionsServicer
from holdfast.connections.org import Orgs
from holdfast.connections.reservations import Reservations, Terms
from holdfast.connections.settings import ConnectionsSettings
from holdfast.connections.sign_ins import SignIns
from holdfast.connections.tokens import Tokens
from holdfast.connections.usage import UsageRecords
from holdfast.salesforce.transport import open_http

NAME = "connections"


class ConnectionsModule(ServiceModule):
    """The service with what it alone holds: sign-ins under way and connections to Salesforce."""

    def __init__(self, db: Database, bus: Bus, server: Server, tokens: Tokens, orgs: Orgs) -> None:
        super().__init__(NAME, db, bus, server, [])
        self._tokens = tokens
        self._orgs = orgs

    async def stop(self) -> None:
        """Stop serving, then let go of Salesforce."""
        await super().stop()
        await self._tokens.close()
        await self._orgs.http.aclose()


async def build(platform: Platform) -> Module:
    """The service on that platform, not started yet; its tables are migrated."""
    settings = ConnectionsSettings.model_validate(platform.settings.model_dump())
    db = await Database.open(settings.postgres, NAME, clock=platform.clock)
    await db.migrate("holdfast.connections")
    bus = Bus(settings, NAME, db, platform.clock, holder=platform.holder)
    bus.publishes(ConnectionAdded, ConnectionBroken, ConnectionRecovered, BudgetObserved)
    envelope = Envelope(settings.envelope_key())
    orgs = Orgs(open_http(), platform.clock, allow_insecure=settings.allow_insecure_salesforce)
    sign_ins = SignIns(
        db=db,
        orgs=orgs,
        envelope=envelope,
        clock=platform.clock,
        ids=platform.ids,
        broken_pause=settings.connections_broken_pause,
    )
    tokens = Tokens(sign_ins.sign_in)
    usage = UsageRecords(
        platform.clock,
        platform.ids,
        interval=settings.connections_budget_interval,
        recheck=settings.connections_budget_recheck,
    )
    terms = Terms(settings.connections_restore_reserve_percent, settings.connections_budget_recheck)
    servicer = ConnectionsServicer(
        db=db,
        orgs=orgs,
        sign_ins=sign_ins,
        tokens=tokens,
        envelope=envelope,
        clock=platform.clock,
        ids=platform.ids,
        usage=usage,
        reservations=Reservations(db, orgs, tokens, platform.clock, usage, terms),
    )
    server = Server(settings, settings.connections_grpc)
    server.add(lambda grpc_server: add_ConnectionsServiceServicer_to_server(servicer, grpc_server))
    return ConnectionsModule(db, bus, server, tokens, orgs)
