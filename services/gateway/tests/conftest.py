"""The gateway's application over services that answer from memory."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from holdfast.common.clock import ManualClock, SequenceIds
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.rpc.connections.v1 import connections_pb2
from holdfast.common.rpc.extractor.v1 import extractor_pb2
from holdfast.common.rpc.history.v1 import history_pb2
from holdfast.common.rpc.scheduler.v1 import scheduler_pb2
from holdfast.gateway.backends import Backends
from holdfast.gateway.context import Context
from holdfast.gateway.http import create_app
from holdfast.gateway.settings import GatewaySettings
from holdfast.gateway.tokens import Caller, digest, new_token
from holdfast.gateway.verifications import Verifications

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def missing(what: str) -> HoldfastError:
    return HoldfastError(Kind.NOT_FOUND, f"There is no {what}.", code="not-found")


class Once:
    """The services' rule for repeated commands."""

    def __init__(self) -> None:
        self.results: dict[str, tuple[bytes, Any]] = {}

    def repeat(self, request: Any) -> Any:
        known = self.results.get(request.idempotency_key)
        if not request.idempotency_key or known is None:
            return None
        if known[0] != request.SerializeToString(deterministic=True):
            raise HoldfastError(Kind.CONFLICT, "This idempotency key was used.", code="idempotency-key-reused")
        return known[1]

    def keep(self, request: Any, answer: Any) -> Any:
        self.results[request.idempotency_key] = (request.SerializeToString(deterministic=True), answer)
        return answer


class FakeConnections:
    def __init__(self) -> None:
        self.once = Once()
        self.all: dict[str, connections_pb2.Connection] = {}
        self.secrets: list[str] = []

    async def AddConnection(self, request, **_):
        if (repeated := self.once.repeat(request)) is not None:
            return repeated
        if any(each.name == request.name for each in self.all.values()):
            raise HoldfastError(Kind.CONFLICT, f"A connection '{request.name}' exists.", code="name-taken")
        self.secrets.append(request.secret)
        made = connections_pb2.Connection(
            id=str(uuid4()), name=request.name, login_url=request.login_url, flow=request.flow, status="ok"
        )
        made.added_at.FromDatetime(START)
        self.all[made.id] = made
        return self.once.keep(request, connections_pb2.AddConnectionResponse(connection=made))

    async def ListConnections(self, request, **_):
        return connections_pb2.ListConnectionsResponse(connections=list(self.all.values()))

    async def GetConnection(self, request, **_):
        for each in self.all.values():
            if request.id in (each.id, each.name):
                return connections_pb2.GetConnectionResponse(connection=each)
        raise missing(f"connection '{request.id}'")

    async def TestConnection(self, request, **_):
        return connections_pb2.TestConnectionResponse(connection=self.all[request.id])


class FakeScheduler:
    def __init__(self, connections: FakeConnections) -> None:
        self.connections = connections
        self.once = Once()
        self.jobs: dict[str, scheduler_pb2.Job] = {}
        self.runs: dict[str, scheduler_pb2.Run] = {}

    async def CreateJob(self, request, **_):
        if (repeated := self.once.repeat(request)) is not None:
            return repeated
        if any(each.name == request.name for each in self.jobs.values()):
            sentence = f"A job named '{request.name}' exists already."
            raise HoldfastError(Kind.CONFLICT, sentence, code="name-taken", field="name")
        for place, name in enumerate(request.objects):
            if name not in ("Account", "Contact"):
                sentence = f"The org has no object '{name}'."
                raise HoldfastError(Kind.INVALID, sentence, code="unknown-object", field=f"objects[{place}]")
        connection = connections_pb2.GetConnectionRequest(id=request.connection_id)
        found = (await self.connections.GetConnection(connection)).connection
        made = scheduler_pb2.Job(
            id=str(uuid4()),
            name=request.name,
            connection_id=found.id,
            objects=request.objects,
            status="pending first run",
            api_limit_percent=request.api_limit_percent,
        )
        self.jobs[made.id] = made
        return self.once.keep(request, scheduler_pb2.CreateJobResponse(job=made))

    async def ListJobs(self, request, **_):
        return scheduler_pb2.ListJobsResponse(jobs=list(self.jobs.values()))

    async def GetJob(self, request, **_):
        for each in self.jobs.values():
            if request.id in (each.id, each.name):
                return scheduler_pb2.GetJobResponse(job=each)
        raise missing(f"job '{request.id}'")

    async def UpdateJob(self, request, **_):
        self.jobs[request.id].api_limit_percent = request.api_limit_percent
        return scheduler_pb2.UpdateJobResponse(job=self.jobs[request.id])

    def _ordered(self, request, state):
        if request.id not in self.runs:
            raise missing(f"run '{request.id}'")
        run = self.runs[request.id]
        if run.state in ("completed", "partial", "failed", "cancelled") and run.state != state:
            raise HoldfastError(Kind.CONFLICT, f"Run {run.number} has ended: {run.state}.", code="run-ended")
        run.state = state
        return run

    async def PauseRun(self, request, **_):
        return scheduler_pb2.PauseRunResponse(run=self._ordered(request, "paused"))

    async def ResumeRun(self, request, **_):
        return scheduler_pb2.ResumeRunResponse(run=self._ordered(request, "running"))

    async def CancelRun(self, request, **_):
        return scheduler_pb2.CancelRunResponse(run=self._ordered(request, "cancelled"))

    async def RequestRun(self, request, **_):
        if (repeated := self.once.repeat(request)) is not None:
            return repeated
        made = scheduler_pb2.Run(
            id=str(uuid4()),
            job_id=request.job_id,
            number=1 + len(self.runs),
            state="requested",
            trigger="manual",
            label=request.label,
        )
        made.requested_at.FromDatetime(START)
        self.runs[made.id] = made
        return self.once.keep(request, scheduler_pb2.RequestRunResponse(run=made))

    async def ListRuns(self, request, **_):
        wanted = [each for each in self.runs.values() if request.job_id in ("", each.job_id)][::-1]
        begin = int(request.page_token or 0)
        end = begin + request.page_size
        token = str(end) if end < len(wanted) else ""
        return scheduler_pb2.ListRunsResponse(runs=wanted[begin:end], next_page_token=token)

    async def GetRun(self, request, **_):
        if request.id not in self.runs:
            raise missing(f"run '{request.id}'")
        return scheduler_pb2.GetRunResponse(run=self.runs[request.id])


class FakeExtractor:
    def __init__(self) -> None:
        self.progress: dict[str, extractor_pb2.GetProgressResponse] = {}
        self.planned: list[extractor_pb2.PlanJobRequest] = []
        self.error: Exception | None = None

    async def GetProgress(self, request, **_):
        if self.error is not None:
            raise self.error
        if request.run_id not in self.progress:
            raise missing("progress")
        return self.progress[request.run_id]

    async def ListObjects(self, request, **_):
        names = ["Account", "Contact"]
        objects = [
            extractor_pb2.OrgObject(name=name, label=name, recommended=True, rows=7, strategy="query") for name in names
        ]
        return extractor_pb2.ListObjectsResponse(objects=objects)

    async def PlanJob(self, request, **_):
        self.planned.append(request)
        reading = extractor_pb2.PlannedReading(
            object="Account", mode="incremental", strategy="REST, asked with others", rows=0, api_calls=0, seconds=0.31
        )
        return extractor_pb2.PlanJobResponse(
            objects=[reading],
            shared=[extractor_pb2.SharedCalls(what="who looks", api_calls=1)],
            unreadable=[extractor_pb2.UnreadableObject(object="Nope__c", reason="The org has no object Nope__c.")],
            api_calls=4,
            seconds=1.23,
            plan_calls=3,
        )


class FakeHistory:
    def __init__(self) -> None:
        self.steps: list[history_pb2.VerifyJobResponse] = []
        self.asked: list[Any] = []
        self.file = b""

    async def SummarizeChanges(self, request, **_):
        objects = [history_pb2.ObjectChanges(object="Contact", updated=2, version=4, table="file:///t")]
        return history_pb2.SummarizeChangesResponse(run_id=request.run_id, job_id="j", run=2, objects=objects)

    async def ListChanges(self, request, **_):
        self.asked.append(request)
        before_after = history_pb2.FieldChange(field="LastName", before="Old", after="New")
        cleared = history_pb2.FieldChange(field="Phone", before="1")
        record = history_pb2.RecordVersion(
            event_id="e1",
            record_id="0035g00000XyZaBAAV",
            operation="updated",
            run=2,
            fields=[before_after, cleared],
        )
        return history_pb2.ListChangesResponse(records=[record], next_page_token="3")

    async def GetRecordHistory(self, request, **_):
        version = history_pb2.RecordVersion(event_id="e1", record_id=request.record_id, operation="captured", run=1)
        return history_pb2.GetRecordHistoryResponse(
            versions=[version], last_proven=history_pb2.LastProven(run=7, checked="count")
        )

    def ReadFile(self, request, **_):
        return FileAnswers(self.file)

    async def VerifyJob(self, request, **_):
        for step in self.steps:
            yield step


class FileAnswers:
    """What a stub's streaming call gives back."""

    def __init__(self, content: bytes) -> None:
        head = history_pb2.ReadFileResponse(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
        data = [history_pb2.ReadFileResponse(data=content[at : at + 4]) for at in range(0, len(content), 4)]
        self._answers = iter([head, *data])

    async def read(self):
        return next(self._answers)

    def __aiter__(self):
        return self

    async def __anext__(self):
        for answer in self._answers:
            return answer
        raise StopAsyncIteration

    def cancel(self) -> None:
        return


class FakeTokens:
    def __init__(self) -> None:
        self.good: dict[bytes, Caller] = {}

    def issue(self, name: str) -> str:
        token = new_token()
        self.good[digest(token)] = Caller(UUID(int=len(self.good) + 1), name)
        return token

    async def caller(self, token: str) -> Caller | None:
        return self.good.get(digest(token))


class World:
    """Everything behind the application, and a client that is let in."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.connections = FakeConnections()
        self.scheduler = FakeScheduler(self.connections)
        self.extractor, self.history = FakeExtractor(), FakeHistory()
        self.tokens = FakeTokens()
        self.backends = Backends(
            self.connections,
            self.scheduler,
            self.extractor,
            self.history,
            timeout=timedelta(seconds=1),
            org_timeout=timedelta(seconds=1),
            verify_timeout=timedelta(seconds=1),
        )
        settings = GatewaySettings(internal_token="t", secret_key=base64.b64encode(bytes(32)).decode())
        self.verifications = Verifications(self.backends.verify, self.clock, SequenceIds())
        context = Context(settings, self.backends, self.tokens, self.verifications, self.clock)
        self.app = create_app(context)
        self.token = self.tokens.issue("admin")

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers)

    async def job(self, name: str = "Nightly") -> scheduler_pb2.Job:
        added = await self.connections.AddConnection(connections_pb2.AddConnectionRequest(name=f"for {name}"))
        request = scheduler_pb2.CreateJobRequest(name=name, connection_id=added.connection.id)
        return (await self.scheduler.CreateJob(request)).job

    async def run(self, job: scheduler_pb2.Job) -> scheduler_pb2.Run:
        return (await self.scheduler.RequestRun(scheduler_pb2.RequestRunRequest(job_id=job.id))).run


@pytest.fixture(scope="session")
def postgres_template(migrated_template: Callable[..., str]) -> str:
    """Every test begins with the tables that it would migrate first."""
    return migrated_template({"gateway": ["holdfast.gateway"]})


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.verifications.stop()


@pytest.fixture
async def api(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client() as client:
        yield client
