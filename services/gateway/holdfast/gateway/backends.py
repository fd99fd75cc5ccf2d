"""The services behind the API, as the gateway calls them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.grpc import call, channel
from holdfast.common.grpc_errors import from_rpc
from holdfast.common.rpc.connections.v1 import connections_pb2, connections_pb2_grpc
from holdfast.common.rpc.extractor.v1 import extractor_pb2_grpc
from holdfast.common.rpc.history.v1 import history_pb2, history_pb2_grpc
from holdfast.common.rpc.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from holdfast.gateway.settings import GatewaySettings


@dataclass
class Backends:
    """Stubs of the services. Call their methods through `ask`, which maps errors and sets the deadline."""

    connections: Any
    scheduler: Any
    extractor: Any
    history: Any
    timeout: timedelta
    org_timeout: timedelta
    verify_timeout: timedelta
    channels: Sequence[grpc.aio.Channel] = field(default=())

    async def ask(self, method: Any, request: Any, *, waits_for_org: bool = False) -> Any:
        """Call a stub's method; `waits_for_org` allows for the time that Salesforce takes.

        Raises:
            HoldfastError: What the service answered, or UNAVAILABLE or TIMEOUT.
        """
        timeout = self.org_timeout if waits_for_org else self.timeout
        try:
            return await call(method, request, timeout=timeout)
        except HoldfastError as error:
            raise _as_seen_by_client(error) from error

    async def connection(self, ref: str) -> connections_pb2.Connection:
        """The connection with this id or name. Raises HoldfastError (NOT_FOUND)."""
        request = connections_pb2.GetConnectionRequest(id=ref)
        answer = await self.ask(self.connections.GetConnection, request)
        found: connections_pb2.Connection = answer.connection
        return found

    async def job(self, ref: str) -> scheduler_pb2.Job:
        """The job with this id or name. Raises HoldfastError (NOT_FOUND)."""
        answer = await self.ask(self.scheduler.GetJob, scheduler_pb2.GetJobRequest(id=ref))
        found: scheduler_pb2.Job = answer.job
        return found

    async def verify(self, job_id: str) -> AsyncIterator[history_pb2.VerifyJobResponse]:
        """Progress of a verification, then its verdict.

        Raises:
            HoldfastError: What the service answered, or UNAVAILABLE or TIMEOUT.
        """
        request = history_pb2.VerifyJobRequest(job_id=job_id)
        try:
            async for step in self.history.VerifyJob(request, timeout=self.verify_timeout.total_seconds()):
                yield step
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error

    async def read_file(
        self, request: history_pb2.ReadFileRequest
    ) -> tuple[history_pb2.ReadFileResponse, AsyncIterator[bytes]]:
        """What a file of a record is, and its bytes.

        Raises:
            HoldfastError: What the service answered, or UNAVAILABLE or TIMEOUT; also while the bytes are taken, of
                which the last ones are missing then.
        """
        answers = self.history.ReadFile(request, timeout=self.verify_timeout.total_seconds())
        try:
            head = await answers.read()
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error

        async def pieces() -> AsyncIterator[bytes]:
            try:
                async for answer in answers:
                    yield answer.data
            except grpc.aio.AioRpcError as error:
                raise from_rpc(error) from error
            finally:
                answers.cancel()

        return head, pieces()

    async def close(self) -> None:
        """Close the channels."""
        for each in self.channels:
            await each.close(None)


def _as_seen_by_client(error: HoldfastError) -> HoldfastError:
    """Salesforce turning a connection away is not about the client's own token: 422, never 401 or 403."""
    if error.kind not in (Kind.UNAUTHENTICATED, Kind.FORBIDDEN):
        return error
    code = "org-access-refused" if error.code == error.kind.value else error.code
    return HoldfastError(Kind.INVALID, error.message, code=code, detail=error.detail, field=error.field)


def connect(settings: GatewaySettings) -> Backends:
    """Channels to all services. Nothing is dialled until the first call."""
    channels: dict[str, grpc.aio.Channel] = {
        name: channel(settings, getattr(settings, f"{name}_grpc"))
        for name in ("connections", "scheduler", "extractor", "history")
    }
    return Backends(
        connections=connections_pb2_grpc.ConnectionsServiceStub(channels["connections"]),
        scheduler=scheduler_pb2_grpc.SchedulerServiceStub(channels["scheduler"]),
        extractor=extractor_pb2_grpc.ExtractorServiceStub(channels["extractor"]),
        history=history_pb2_grpc.HistoryServiceStub(channels["history"]),
        timeout=settings.call_timeout,
        org_timeout=settings.org_timeout,
        verify_timeout=settings.verify_timeout,
        channels=tuple(channels.values()),
    )
