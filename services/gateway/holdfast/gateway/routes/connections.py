"""/v1/connections"""

from __future__ import annotations

from fastapi import APIRouter, Response

from holdfast.common.rpc.connections.v1 import connections_pb2
from holdfast.common.rpc.extractor.v1 import extractor_pb2
from holdfast.gateway.context import CommandKey, Ctx
from holdfast.gateway.inputs import ConnectionRef
from holdfast.gateway.models.connections import FLOWS, AddConnection, Connection, OrgObject, OrgObjects
from holdfast.gateway.paging import DEFAULT_PAGE_SIZE, Cursor, Page, PageSize, to_cursor, to_page_token

router = APIRouter(prefix="/v1/connections", tags=["connections"])


@router.post("", status_code=201, operation_id="addConnection")
async def add_connection(command: AddConnection, context: Ctx, key: CommandKey, response: Response) -> Connection:
    """Sign in to an org with an app's credentials and keep the connection. Nothing is kept if that fails."""
    request = connections_pb2.AddConnectionRequest(
        name=command.name,
        login_url=command.login_url,
        flow=FLOWS[command.flow],
        client_id=command.client_id,
        secret=command.secret.get_secret_value(),
        username=command.username,
        idempotency_key=key,
    )
    answer = await context.backends.ask(context.backends.connections.AddConnection, request, waits_for_org=True)
    response.headers["Location"] = f"/v1/connections/{answer.connection.id}"
    return Connection.of(answer.connection)


@router.get("", operation_id="listConnections")
async def list_connections(
    context: Ctx, page_size: PageSize = DEFAULT_PAGE_SIZE, cursor: Cursor = None
) -> Page[Connection]:
    """All connections."""
    request = connections_pb2.ListConnectionsRequest(
        page_size=page_size, page_token=to_page_token("connections", cursor)
    )
    answer = await context.backends.ask(context.backends.connections.ListConnections, request)
    items = [Connection.of(each) for each in answer.connections]
    return Page(items=items, next_cursor=to_cursor("connections", answer.next_page_token))


@router.get("/{connection}", operation_id="getConnection")
async def get_connection(connection: ConnectionRef, context: Ctx) -> Connection:
    """One connection, by id or name."""
    return Connection.of(await context.backends.connection(connection))


@router.post("/{connection}/tests", operation_id="testConnection")
async def run_connection_test(connection: ConnectionRef, context: Ctx, key: CommandKey) -> Connection:
    """Sign in anew and ask the org who it is. Changes nothing in the org, so a repeat is harmless."""
    found = await context.backends.connection(connection)
    request = connections_pb2.TestConnectionRequest(id=found.id)
    answer = await context.backends.ask(context.backends.connections.TestConnection, request, waits_for_org=True)
    return Connection.of(answer.connection)


@router.get("/{connection}/objects", operation_id="listObjects")
async def list_objects(connection: ConnectionRef, context: Ctx) -> OrgObjects:
    """What the org offers to a backup: every object with its classification and count."""
    found = await context.backends.connection(connection)
    request = extractor_pb2.ListObjectsRequest(connection_id=found.id)
    answer = await context.backends.ask(context.backends.extractor.ListObjects, request, waits_for_org=True)
    return OrgObjects(items=[OrgObject.of(each) for each in answer.objects])
