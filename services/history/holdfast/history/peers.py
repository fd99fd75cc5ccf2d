"""What history asks other services."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from holdfast.common.grpc import call
from holdfast.common.rpc.differ.v1 import differ_pb2, differ_pb2_grpc


class Peers:
    """Questions to the differ; its errors come back as it raised them."""

    def __init__(self, differ: differ_pb2_grpc.DifferServiceAsyncStub, timeout: timedelta) -> None:
        self._differ = differ
        self._timeout = timeout

    async def tables(self, job_id: UUID) -> Sequence[differ_pb2.Table]:
        """The tables of a job as their only writer remembers them.

        Raises:
            HoldfastError: UNAVAILABLE or TIMEOUT.
        """
        request = differ_pb2.ListTablesRequest(job_id=str(job_id))
        answer = await call(self._differ.ListTables, request, timeout=self._timeout)
        return answer.tables
