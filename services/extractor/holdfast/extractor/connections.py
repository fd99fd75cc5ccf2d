"""The `connections` service, over gRPC."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import grpc.aio

from holdfast.common.grpc import call
from holdfast.common.rpc.connections.v1 import connections_pb2 as messages
from holdfast.common.rpc.connections.v1.connections_pb2_grpc import ConnectionsServiceStub
from holdfast.salesforce.models import Access
from holdfast.salesforce.usage import Usage

# Signing in anew goes to Salesforce and back.
ACCESS_TIMEOUT = timedelta(seconds=60)
REPORT_TIMEOUT = timedelta(seconds=5)


class ConnectionsPort:
    """Tokens from, and calls reported to, the service that owns both."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ConnectionsServiceStub(channel)

    async def access(self, connection_id: UUID, refused: str | None) -> tuple[Access, str]:
        """A token and the API version of a connection; renewed once for all who name the refused one."""
        request = messages.GetAccessRequest(connection_id=str(connection_id), refused_token=refused or "")
        reply = await call(self._stub.GetAccess, request, timeout=ACCESS_TIMEOUT)
        return Access(reply.instance_url, reply.access_token, reply.organization_id), reply.api_version

    async def report(self, connection_id: UUID, calls: int, usage: Usage | None) -> None:
        """Add calls to the org's ledger."""
        request = messages.ReportUsageRequest(connection_id=str(connection_id), calls=calls)
        if usage is not None:
            request.used, request.limit = usage
        await call(self._stub.ReportUsage, request, timeout=REPORT_TIMEOUT)
