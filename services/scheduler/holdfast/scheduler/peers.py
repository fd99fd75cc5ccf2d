"""What the scheduler asks other services before it takes a job."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from holdfast.common.errors import HoldfastError
from holdfast.common.grpc import call
from holdfast.common.rpc.connections.v1 import connections_pb2, connections_pb2_grpc
from holdfast.common.rpc.extractor.v1 import extractor_pb2, extractor_pb2_grpc
from holdfast.scheduler.domain.selection import OfferedObject

# Somebody waits for the job, and has it without the warnings too.
LONGEST_VISIBILITY_CHECK = timedelta(seconds=15)


class Peers:
    """Questions to `connections` and `extractor`; their errors come back as they raised them."""

    def __init__(
        self,
        connections: connections_pb2_grpc.ConnectionsServiceAsyncStub,
        extractor: extractor_pb2_grpc.ExtractorServiceAsyncStub,
        timeout: timedelta,
    ) -> None:
        self._connections = connections
        self._extractor = extractor
        self._timeout = timeout

    async def connection_id(self, id_or_name: str) -> UUID:
        """The id of a connection that exists.

        Raises:
            HoldfastError: NOT_FOUND naming the connection; UNAVAILABLE or TIMEOUT.
        """
        request = connections_pb2.GetConnectionRequest(id=id_or_name)
        answer = await call(self._connections.GetConnection, request, timeout=self._timeout)
        return UUID(answer.connection.id)

    async def offered(self, connection_id: UUID) -> list[OfferedObject]:
        """What the org shows to the connection's user.

        Raises:
            HoldfastError: Whatever hinders the extractor from asking the org.
        """
        request = extractor_pb2.ListObjectsRequest(connection_id=str(connection_id))
        answer = await call(self._extractor.ListObjects, request, timeout=self._timeout)
        return [
            OfferedObject(name=one.name, recommended=one.recommended, reason=one.reason, readable=not one.unreadable)
            for one in answer.objects
        ]

    async def warnings(self, connection_id: UUID, objects: Sequence[str]) -> list[str]:
        """What the connection's user cannot see of the objects, in sentences.

        A job is worth having without this knowledge: what hinders the question is a warning too.
        """
        request = extractor_pb2.CheckVisibilityRequest(connection_id=str(connection_id), objects=objects)
        try:
            answer = await call(
                self._extractor.CheckVisibility, request, timeout=min(self._timeout, LONGEST_VISIBILITY_CHECK)
            )
        except HoldfastError as error:
            return [f"What the user cannot see could not be checked: {error.message}"]
        return list(answer.warnings)
