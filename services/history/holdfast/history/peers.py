"""What history asks other services."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from holdfast.common.grpc import call
from holdfast.common.rpc.differ.v1 import differ_pb2, differ_pb2_grpc
from holdfast.common.rpc.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from holdfast.history.store import Run


@dataclass(frozen=True)
class FollowedRun:
    """A run as the scheduler sees it. `held`: the objects that it knows to be in the vault."""

    run: Run
    held: set[str]


class Peers:
    """Questions to differ and scheduler; their errors come back as they raised them."""

    def __init__(
        self,
        differ: differ_pb2_grpc.DifferServiceAsyncStub,
        scheduler: scheduler_pb2_grpc.SchedulerServiceAsyncStub,
        timeout: timedelta,
    ) -> None:
        self._differ = differ
        self._scheduler = scheduler
        self._timeout = timeout

    async def tables(self, job_id: UUID) -> Sequence[differ_pb2.Table]:
        """The tables of a job as their only writer remembers them.

        Raises:
            HoldfastError: UNAVAILABLE or TIMEOUT.
        """
        request = differ_pb2.ListTablesRequest(job_id=str(job_id))
        answer = await call(self._differ.ListTables, request, timeout=self._timeout)
        return answer.tables

    async def job_id(self, id_or_name: str) -> UUID:
        """The id of a job.

        Raises:
            HoldfastError: NOT_FOUND naming the job; UNAVAILABLE or TIMEOUT.
        """
        request = scheduler_pb2.GetJobRequest(id=id_or_name)
        answer = await call(self._scheduler.GetJob, request, timeout=self._timeout)
        return UUID(answer.job.id)

    async def run(self, run_id: str) -> FollowedRun:
        """A run.

        Raises:
            HoldfastError: NOT_FOUND naming the run; UNAVAILABLE or TIMEOUT.
        """
        request = scheduler_pb2.GetRunRequest(id=run_id)
        seen = (await call(self._scheduler.GetRun, request, timeout=self._timeout)).run
        run = Run(UUID(seen.id), UUID(seen.job_id), seen.number, seen.state)
        return FollowedRun(run, {one.object for one in seen.objects if one.state == "diffed"})
