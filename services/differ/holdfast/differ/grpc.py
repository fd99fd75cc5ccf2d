"""gRPC: what the only writer knows of its tables."""

from __future__ import annotations

from uuid import UUID

import grpc

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.postgres import Database
from holdfast.common.rpc.differ.v1 import differ_pb2 as pb
from holdfast.common.rpc.differ.v1 import differ_pb2_grpc as rpc
from holdfast.differ import store


class DifferServicer(rpc.DifferServiceServicer):
    """Answers from Postgres alone; never opens a table."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListTables(
        self,
        request: pb.ListTablesRequest,
        context: grpc.aio.ServicerContext[pb.ListTablesRequest, pb.ListTablesResponse],
    ) -> pb.ListTablesResponse:
        try:
            job_id = UUID(request.job_id)
        except ValueError:
            raise HoldfastError(Kind.INVALID, f"{request.job_id!r} is not a job's id.", field="job_id") from None
        rows = await store.list_tables(self._db, job_id)
        return pb.ListTablesResponse(
            tables=[
                pb.Table(
                    object=object_name,
                    path=f"{job_id}/records/{object_name}",
                    commit_seq=commit_seq,
                    version=version,
                    chain_head=chain_head,
                    records=records,
                )
                for object_name, commit_seq, version, chain_head, records in rows
            ]
        )
