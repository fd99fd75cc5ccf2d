"""The gRPC interface of connections: parse, call a handler, answer from the read models."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext

from holdfast.common.clock import Clock, Ids
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.idempotency import once
from holdfast.common.meta import Meta
from holdfast.common.paging import decode_cursor, encode_cursor, page_size
from holdfast.common.postgres import Database, Unit
from holdfast.common.rpc.connections.v1 import connections_pb2 as pb
from holdfast.common.rpc.connections.v1 import connections_pb2_grpc
from holdfast.connections import handlers, ledger, store
from holdfast.connections.budget_messages import heard_of, purpose_of, reservation_message, wish_of
from holdfast.connections.domain import AddConnection, check_name
from holdfast.connections.envelope import Envelope
from holdfast.connections.messages import connection_message, credentials_of
from holdfast.connections.org import Credentials, Introduction, Orgs, blame
from holdfast.connections.reservations import Reservations
from holdfast.connections.sign_ins import SignIns, unknown_connection
from holdfast.connections.tokens import Tokens
from holdfast.connections.usage import Heard, UsageRecords

CONNECTION_ADDED = durable_step("connections.connection_added")
USAGE_RECORDED = durable_step("connections.usage_recorded")

PAGE_DEFAULT = 50
PAGE_MAX = 500

Context = ServicerContext[Any, Any]


class ConnectionsServicer(connections_pb2_grpc.ConnectionsServiceServicer):
    """Connections, tokens and budgets, for every other service."""

    def __init__(
        self,
        *,
        db: Database,
        orgs: Orgs,
        sign_ins: SignIns,
        tokens: Tokens,
        envelope: Envelope,
        clock: Clock,
        ids: Ids,
        usage: UsageRecords,
        reservations: Reservations,
    ) -> None:
        self._db = db
        self._orgs = orgs
        self._sign_ins = sign_ins
        self._tokens = tokens
        self._envelope = envelope
        self._clock = clock
        self._ids = ids
        self._usage = usage
        self._reservations = reservations

    async def AddConnection(self, request: pb.AddConnectionRequest, context: Context) -> pb.AddConnectionResponse:
        """Sign in, ask the org who it is, and only then keep the connection."""
        name = check_name(request.name)
        credentials = credentials_of(request, self._orgs.check_address(request.login_url))
        try:
            found = await self._orgs.introduce(credentials)
        except HoldfastError as error:
            blame(error)
            raise
        command = _command(self._ids.new(), name, credentials, found)
        sealed = self._envelope.seal(command.connection_id, credentials.secret)

        async def make(unit: Unit) -> pb.AddConnectionResponse:
            await handlers.add_connection(unit, command, sealed, self._meta(), self._clock.now())
            await self._introduced(unit, found)
            return pb.AddConnectionResponse(connection=await _message(unit, command.connection_id))

        async def work(unit: Unit) -> pb.AddConnectionResponse:
            return await once(unit, request.idempotency_key, self._without_secret(request), lambda: make(unit))

        answer = await self._db.run(CONNECTION_ADDED, work)
        self._tokens.hold(UUID(answer.connection.id), found.access)
        return answer

    async def ListConnections(self, request: pb.ListConnectionsRequest, context: Context) -> pb.ListConnectionsResponse:
        """Connections in order of name."""
        size = page_size(request.page_size, default=PAGE_DEFAULT, most=PAGE_MAX)
        after = decode_cursor("connections", request.page_token, 1)[0] if request.page_token else ""
        rows = await store.list_connections(self._db, after, size + 1)
        more = encode_cursor("connections", [rows[size - 1].name]) if len(rows) > size else ""
        page = [connection_message(row) for row in rows[:size]]
        return pb.ListConnectionsResponse(connections=page, next_page_token=more)

    async def GetConnection(self, request: pb.GetConnectionRequest, context: Context) -> pb.GetConnectionResponse:
        """A connection by id or name."""
        connection_id = await self._resolve(request.id)
        return pb.GetConnectionResponse(connection=await _message(self._db, connection_id))

    async def TestConnection(self, request: pb.TestConnectionRequest, context: Context) -> pb.TestConnectionResponse:
        """Sign in anew. A refusal marks the connection as broken and is the error of this call."""
        connection_id = await self._resolve(request.id)
        self._tokens.drop(connection_id)
        found = await self._sign_ins.introduce(connection_id)
        self._tokens.hold(connection_id, found.access)

        async def work(unit: Unit) -> None:
            await self._introduced(unit, found)

        await self._db.run(USAGE_RECORDED, work)
        return pb.TestConnectionResponse(connection=await _message(self._db, connection_id))

    async def GetAccess(self, request: pb.GetAccessRequest, context: Context) -> pb.GetAccessResponse:
        """A token that is not the refused one."""
        connection_id = _id(request.connection_id)
        access = await self._tokens.get(connection_id, request.refused_token)
        row = await self._sign_ins.connection(connection_id)
        return pb.GetAccessResponse(
            instance_url=access.instance_url,
            access_token=access.access_token,
            api_version=row.api_version,
            organization_id=access.organization_id,
        )

    async def ReportUsage(self, request: pb.ReportUsageRequest, context: Context) -> pb.ReportUsageResponse:
        """Count calls, keep what the org said."""
        if min(request.calls, request.used, request.limit) < 0:
            raise HoldfastError(Kind.INVALID, "Calls are counted from zero.", code="bad-usage")
        row = await self._sign_ins.connection(_id(request.connection_id))

        heard = heard_of(request)

        async def work(unit: Unit) -> None:
            await self._usage.record(unit, row.organization_id, heard)

        await self._db.run(USAGE_RECORDED, work)
        return pb.ReportUsageResponse()

    async def ReserveCalls(self, request: pb.ReserveCallsRequest, context: Context) -> pb.ReserveCallsResponse:
        """Grant calls in advance."""
        wish = wish_of(request, _id(request.connection_id))
        row = await self._sign_ins.connection(wish.connection_id)
        return reservation_message(await self._reservations.reserve(row, wish))

    async def GetBudget(self, request: pb.GetBudgetRequest, context: Context) -> pb.GetBudgetResponse:
        """How an org's budget stands."""
        row = await self._sign_ins.connection(_id(request.connection_id))
        purpose = purpose_of(request.purpose)
        return await self._reservations.standing(row, purpose, request.api_limit_percent or 100)

    async def _introduced(self, unit: Unit, found: Introduction) -> None:
        """Count what the introduction cost, and keep what it said of the org's limits."""
        organization_id = found.access.organization_id
        await self._usage.record(unit, organization_id, Heard.of(found.tally))
        await ledger.set_long_requests(unit, organization_id, found.long_requests)

    async def _resolve(self, id_or_name: str) -> UUID:
        connection_id = await store.find_connection(self._db, id_or_name)
        if connection_id is None:
            raise unknown_connection(id_or_name)
        return connection_id

    def _without_secret(self, request: pb.AddConnectionRequest) -> pb.AddConnectionRequest:
        """The request as it is compared with a repeat: what is kept must not help to guess the secret."""
        marked = pb.AddConnectionRequest()
        marked.CopyFrom(request)
        marked.secret = self._envelope.mark(request.secret)
        return marked

    def _meta(self) -> Meta:
        return Meta(correlation_id=self._ids.new(), causation_id=None, actor="api")


def _command(connection_id: UUID, name: str, credentials: Credentials, found: Introduction) -> AddConnection:
    return AddConnection(
        connection_id=connection_id,
        name=name,
        login_url=credentials.login_url,
        instance_url=found.access.instance_url,
        flow=credentials.flow,
        client_id=credentials.client_id,
        organization_id=found.access.organization_id,
        survey=found.survey,
    )


async def _message(reader: store.Reader, connection_id: UUID) -> pb.Connection:
    row = await store.get_connection(reader, connection_id)
    if row is None:
        raise unknown_connection(str(connection_id))
    return connection_message(row)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise unknown_connection(text) from None
