"""The scheduler's gRPC interface: parse, call a handler, answer from the read models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.message import Message
from grpc.aio import ServicerContext

from holdfast.common.clock import Clock, Ids
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import DurableStep
from holdfast.common.idempotency import once
from holdfast.common.meta import Meta
from holdfast.common.paging import bad_cursor, decode_cursor, encode_cursor, page_size
from holdfast.common.postgres import Database, Unit
from holdfast.common.rpc.scheduler.v1 import scheduler_pb2 as pb
from holdfast.common.rpc.scheduler.v1 import scheduler_pb2_grpc
from holdfast.common.wakeup import Signal
from holdfast.scheduler import handlers, store
from holdfast.scheduler.domain import job as jobs
from holdfast.scheduler.domain import run as runs
from holdfast.scheduler.domain.selection import choose
from holdfast.scheduler.domain.slots import check_schedule
from holdfast.scheduler.messages import job_message, run_message
from holdfast.scheduler.peers import Peers
from holdfast.scheduler.steps import JOB_CHANGED, JOB_CREATED, RUN_ORDERED, RUN_REQUESTED

PAGE_DEFAULT = 50
PAGE_MAX = 1000

Answer = TypeVar("Answer", bound=Message)
Context = ServicerContext[Any, Any]


class SchedulerServicer(scheduler_pb2_grpc.SchedulerServiceServicer):
    """Jobs and runs, for the gateway."""

    def __init__(self, db: Database, peers: Peers, clock: Clock, ids: Ids, slots: Signal) -> None:
        """`slots` is woken when a run is cancelled: a slot may have waited for its end."""
        self._slots = slots
        self._db = db
        self._peers = peers
        self._clock = clock
        self._ids = ids

    async def CreateJob(self, request: pb.CreateJobRequest, context: Context) -> pb.CreateJobResponse:
        """Hold the settings against the org, then create the job."""
        command = await self._checked(request)
        warnings = await self._peers.warnings(command.connection_id, command.objects)

        async def make(unit: Unit) -> pb.CreateJobResponse:
            await handlers.create_job(unit, command, self._meta())
            await store.warn_of_job(unit, command.job_id, warnings)
            return pb.CreateJobResponse(job=await self._job(unit, command.job_id))

        return await self._commit(JOB_CREATED, request.idempotency_key, request, make)

    async def RequestRun(self, request: pb.RequestRunRequest, context: Context) -> pb.RequestRunResponse:
        """Open a run now."""
        label = _label(request.label)
        job_id = await self._resolve(request.job_id)

        async def make(unit: Unit) -> pb.RequestRunResponse:
            order = handlers.RunOrder(
                run_id=self._ids.new(),
                trigger="manual",
                label=label,
                full=request.full,
                slot=None,
                at=self._clock.now(),
            )
            await handlers.open_run(unit, job_id, order, self._meta())
            rows = await store.get_runs(unit, [order.run_id])
            return pb.RequestRunResponse(run=run_message(rows[order.run_id]))

        return await self._commit(RUN_REQUESTED, request.idempotency_key, request, make)

    async def UpdateJob(self, request: pb.UpdateJobRequest, context: Context) -> pb.UpdateJobResponse:
        """Change settings of a job."""
        job_id = await self._resolve(request.id)

        async def work(unit: Unit) -> pb.UpdateJobResponse:
            await handlers.change_api_limit(unit, job_id, request.api_limit_percent, self._meta())
            return pb.UpdateJobResponse(job=await self._job(unit, job_id))

        return await self._db.run(JOB_CHANGED, work)

    async def PauseRun(self, request: pb.PauseRunRequest, context: Context) -> pb.PauseRunResponse:
        """Let a run rest."""
        return pb.PauseRunResponse(run=await self._order(request.id, runs.PauseRun()))

    async def ResumeRun(self, request: pb.ResumeRunRequest, context: Context) -> pb.ResumeRunResponse:
        """Let a run go on."""
        return pb.ResumeRunResponse(run=await self._order(request.id, runs.ResumeRun()))

    async def CancelRun(self, request: pb.CancelRunRequest, context: Context) -> pb.CancelRunResponse:
        """End a run."""
        return pb.CancelRunResponse(run=await self._order(request.id, runs.CancelRun(self._clock.now())))

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        """A job by id or name."""
        return pb.GetJobResponse(job=await self._job(self._db, await self._resolve(request.id)))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        """Jobs in order of name."""
        size = page_size(request.page_size, default=PAGE_DEFAULT, most=PAGE_MAX)
        after = decode_cursor("jobs", request.page_token, 1)[0] if request.page_token else ""
        rows = await store.list_jobs(self._db, after, size + 1)
        page = rows[:size]
        runs = await store.get_runs(self._db, [row["last_run_id"] for row in page if row["last_run_id"]])
        more = encode_cursor("jobs", [page[-1]["name"]]) if len(rows) > size else ""
        jobs = [job_message(row, runs.get(row["last_run_id"])) for row in page]
        return pb.ListJobsResponse(jobs=jobs, next_page_token=more)

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        """A run with its objects."""
        run_id = _uuid(request.id)
        rows = await store.get_runs(self._db, [run_id]) if run_id else {}
        if run_id is None or run_id not in rows:
            raise handlers.unknown_run(request.id)
        objects = await store.run_objects(self._db, run_id)
        return pb.GetRunResponse(run=run_message(rows[run_id], objects))

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        """Runs, newest first, without their objects."""
        size = page_size(request.page_size, default=PAGE_DEFAULT, most=PAGE_MAX)
        job_id = await self._resolve(request.job_id) if request.job_id else None
        kind = f"runs of {job_id or 'all'}"
        before = _position(decode_cursor(kind, request.page_token, 2)) if request.page_token else None
        rows = await store.list_runs(self._db, job_id, before, size + 1)
        page = rows[:size]
        more = ""
        if len(rows) > size:
            more = encode_cursor(kind, [page[-1]["requested_at"].isoformat(), str(page[-1]["run_id"])])
        return pb.ListRunsResponse(runs=[run_message(row) for row in page], next_page_token=more)

    async def _checked(self, request: pb.CreateJobRequest) -> jobs.CreateJob:
        """The command. What needs no question to a peer is checked first."""
        now = self._clock.now()
        name = jobs.check_name(request.name)
        cron, time_zone = request.cron.strip(), request.time_zone or "UTC"
        check_schedule(cron, time_zone, now)
        percent = jobs.check_percent(request.api_limit_percent or jobs.API_LIMIT_PERCENT)
        connection_id = await self._peers.connection_id(request.connection_id)
        objects = choose(request.objects, await self._peers.offered(connection_id))
        return jobs.CreateJob(self._ids.new(), name, connection_id, objects, cron, time_zone, now, percent)

    async def _order(self, id_: str, order: runs.Order) -> pb.Run:
        """Carry an order out; the run as it then is. Orders are idempotent by themselves."""
        run_id = _uuid(id_)
        if run_id is None:
            raise handlers.unknown_run(id_)

        async def work(unit: Unit) -> pb.Run:
            await handlers.order_run(unit, run_id, order, self._meta())
            unit.after_commit(self._slots.set)
            rows = await store.get_runs(unit, [run_id])
            return run_message(rows[run_id], await store.run_objects(unit, run_id))

        return await self._db.run(RUN_ORDERED, work)

    async def _commit(
        self,
        step: DurableStep,
        key: str,
        request: Message,
        make: Callable[[Unit], Awaitable[Answer]],
    ) -> Answer:
        """Run `make` in one unit; with a key, a repeat of the request gets the first answer again."""

        async def work(unit: Unit) -> Answer:
            return await once(unit, key, request, lambda: make(unit))

        return await self._db.run(step, work)

    async def _resolve(self, id_or_name: str) -> UUID:
        job_id = await store.find_job(self._db, id_or_name)
        if job_id is None:
            raise handlers.unknown_job(id_or_name)
        return job_id

    async def _job(self, reader: store.Reader, job_id: UUID) -> pb.Job:
        row = await store.get_job(reader, job_id)
        if row is None:
            raise handlers.unknown_job(str(job_id))
        runs = await store.get_runs(reader, [row["last_run_id"]]) if row["last_run_id"] else {}
        return job_message(row, runs.get(row["last_run_id"]))

    def _meta(self) -> Meta:
        return Meta(correlation_id=self._ids.new(), causation_id=None, actor="api")


def _label(label: str) -> str:
    if len(label) > handlers.LABEL_MAX_CHARS or not label.isprintable():
        raise HoldfastError(
            Kind.INVALID,
            f"A label has at most {handlers.LABEL_MAX_CHARS} printable characters.",
            code="bad-label",
            field="label",
        )
    return label


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _position(parts: list[str]) -> tuple[datetime, UUID]:
    try:
        at, run_id = datetime.fromisoformat(parts[0]), UUID(parts[1])
    except ValueError as error:
        raise bad_cursor() from error
    if at.tzinfo is None:
        raise bad_cursor()
    return at, run_id
