"""Bulk 1.0 jobs and batches of one org, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.ids import make_id, to18

if TYPE_CHECKING:
    from holdfast.orgsim.soql.result import Result

OPEN_AT_MOST = timedelta(hours=24)
KEPT = timedelta(days=7)
QUERIES = frozenset({"query", "queryAll"})


class BulkError(ApiError):
    """A Bulk 1.0 error answer: HTTP 400 with an `exceptionCode` in camel case."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(400, code, message)


@dataclass
class RowResult:
    """What became of one row."""

    id: str | None
    created: bool = False
    error: ApiError | None = None


@dataclass
class Batch:
    """One batch of a job: the request as it came, and either rows' results or a query's."""

    id: str
    job_id: str
    request: bytes
    created: datetime
    changed: datetime
    state: str = "Queued"
    message: str | None = None
    processed: int = 0
    failed: int = 0
    rows: list[RowResult] = field(default_factory=list)
    result: Result | None = None
    result_id: str | None = None

    def fail(self, message: str, now: datetime) -> None:
        """End as Failed with the platform's sentence."""
        self.state, self.message, self.changed = "Failed", message, now


@dataclass
class Chunking:
    """What `Sforce-Enable-PKChunking` asks for."""

    size: int
    parent: str | None = None
    start_row: str | None = None


@dataclass
class Job:
    """One job and its batches, in the order in which they came."""

    id: str
    operation: str
    object: str
    user_id: str
    created: datetime
    changed: datetime
    version: str
    content_type: str
    concurrency: str = "Parallel"
    external_id_field: str | None = None
    chunking: Chunking | None = None
    state: str = "Open"
    spoilt: str | None = None  # why its batches fail, whatever they hold
    stuck: bool = False  # its batches never end
    batches: dict[str, Batch] = field(default_factory=dict)

    @property
    def is_query(self) -> bool:
        """Whether its batches are SOQL statements."""
        return self.operation in QUERIES

    def count(self, *states: str) -> int:
        """How many batches are in one of the states."""
        return sum(1 for batch in self.batches.values() if batch.state in states)


class Bulk1Jobs:
    """All Bulk 1.0 jobs, by id. Ids are drawn by the caller: both Bulk APIs share one sequence."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._batches = 0
        self._results = 0

    def add(self, job: Job) -> None:
        """Keep a job."""
        self._jobs[job.id] = job

    def new_batch(self, job: Job, request: bytes, now: datetime) -> Batch:
        """A queued batch of the job."""
        self._batches += 1
        batch = Batch(make_id("751", self._batches), job.id, request, now, now)
        job.batches[batch.id] = batch
        return batch

    def new_result_id(self) -> str:
        """The id of the next query result."""
        self._results += 1
        return make_id("752", self._results)

    def get(self, job_id: str, user_id: str, now: datetime) -> Job:
        """A job of this user; one left open for a day has been aborted.

        Raises:
            BulkError: InvalidJob if it is unknown or older than seven days, InvalidUser if it is another user's.
        """
        job = self._jobs.get(job_id)
        if job is None or job.created + KEPT <= now:
            raise BulkError("InvalidJob", f"Invalid job id: {job_id}")
        if job.user_id != user_id:
            raise BulkError("InvalidUser", f"Job {job_id} was created by another user")
        if job.state == "Open" and job.created + OPEN_AT_MOST <= now:
            job.state, job.changed = "Aborted", job.created + OPEN_AT_MOST
        return job

    def known(self, job_id: str) -> Job | None:
        """A job of any user, by its id of 15 or 18 characters."""
        return self._jobs.get(to18(job_id[:15]))

    def last(self) -> Job | None:
        """The newest job."""
        return next(reversed(self._jobs.values()), None)

    def list(self) -> Sequence[Job]:
        """Every job, oldest first."""
        return list(self._jobs.values())
