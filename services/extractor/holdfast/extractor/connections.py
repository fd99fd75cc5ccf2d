"""The `connections` service, over gRPC."""

from __future__ import annotations

from datetime import UTC, timedelta
from uuid import UUID

import grpc.aio

from holdfast.common.grpc import call
from holdfast.common.rpc.connections.v1 import connections_pb2 as messages
from holdfast.common.rpc.connections.v1.connections_pb2_grpc import ConnectionsServiceStub
from holdfast.extractor.budget import Granted, Wish
from holdfast.extractor.forecast import Standing
from holdfast.extractor.org import Report
from holdfast.salesforce.models import Access

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

    async def report(self, connection_id: UUID, caller: str, report: Report) -> None:
        """Add calls to the org's ledger."""
        request = messages.ReportUsageRequest(
            connection_id=str(connection_id), caller=caller, calls=report.calls, exhausted=report.exhausted
        )
        if report.usage is not None and report.observed_at is not None:
            request.used, request.limit = report.usage
            request.observed_at.FromDatetime(report.observed_at)
        await call(self._stub.ReportUsage, request, timeout=REPORT_TIMEOUT)

    async def standing(self, connection_id: UUID, percent: int) -> Standing:
        """How an org's budget stands for records, with this limit."""
        request = messages.GetBudgetRequest(
            connection_id=str(connection_id), purpose="records", api_limit_percent=percent
        )
        reply = await call(self._stub.GetBudget, request, timeout=REPORT_TIMEOUT)
        return Standing(reply.used_calls, reply.limit_calls, reply.own_calls, reply.ceiling_calls, reply.left_calls)

    async def reserve(self, wish: Wish) -> Granted:
        """Ask for calls of an org's budget."""
        request = messages.ReserveCallsRequest(
            connection_id=str(wish.connection_id),
            caller=wish.caller,
            job_id=str(wish.spending.job_id or ""),
            purpose=wish.spending.purpose,
            api_limit_percent=wish.spending.percent,
            wanted_calls=wish.calls,
            held_calls=wish.held,
            wanted_slots=wish.slots,
        )
        reply = await call(self._stub.ReserveCalls, request, timeout=ACCESS_TIMEOUT)
        return Granted(
            calls=reply.granted_calls,
            slots=reply.slots,
            term=timedelta(milliseconds=reply.expires_in_ms),
            pause=timedelta(milliseconds=reply.ask_again_in_ms),
            reason=reply.reason,
            free_at=reply.free_at.ToDatetime(UTC) if reply.HasField("free_at") else None,
            left=reply.left_calls,
            bulk_wait=timedelta(milliseconds=reply.bulk_wait_ms),
        )
