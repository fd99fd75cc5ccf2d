"""Bulk 2.0 jobs of one org and what they remember."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from holdfast.orgsim.api.bulk2.pages import Pages
from holdfast.orgsim.errors import ApiError, not_found
from holdfast.orgsim.ids import make_id, to18

DELIMITERS = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
CSV_TYPE = "text/csv;charset=UTF-8"
DAILY_QUERY_JOBS = 10_000
KEPT = timedelta(days=7)
WORKERS = 2  # queries and pages made at once
FINAL_STATES = frozenset({"JobComplete", "Failed", "Aborted"})


@dataclass
class Job:
    """A query or ingest job."""

    id: str
    kind: str
    operation: str
    object: str
    username: str
    user_id: str
    created: datetime
    version: str
    state: str
    delimiter: str = "COMMA"
    line_ending: str = "LF"
    query: str = ""
    external_id_field: str | None = None
    error: str | None = None
    stuck: bool = False
    processed: int = 0
    failed: int = 0
    pages: Pages | None = None
    work: Future[Pages] | None = None  # makes `pages`, as long as it has not ended
    input: bytes | None = None
    results: dict[str, bytes] = field(default_factory=dict)
    concurrency: str = "Parallel"
    retries: int = 0
    jammed: bool = False  # stays InProgress until told otherwise
    submitted: datetime | None = None  # when the server got to know all of it
    takes: timedelta = timedelta(0)
    fail_after: int | None = None  # an ingest job fails after so many rows; the rest stays unprocessed
    task: asyncio.Task[None] | None = None  # what processes a large ingest job, kept so that it is not lost
    fail_message: str = ""

    @property
    def separator(self) -> str:
        """What stands between the values of the job's CSV."""
        return DELIMITERS[self.delimiter]

    @property
    def newline(self) -> str:
        """What ends the lines of the job's CSV."""
        return LINE_ENDINGS[self.line_ending]

    def look(self, now: datetime) -> None:
        """Bring the state up to `now`: queued for the first quarter of its time, then in progress."""
        done = self.submitted is None or now >= self.submitted + self.takes
        self.stuck = self.jammed or not done
        if self.stuck and self.state in ("UploadComplete", "InProgress") and self.submitted is not None:
            begun = self.jammed or now >= self.submitted + self.takes / 4
            self.state = "InProgress" if begun else "UploadComplete"

    def info(self) -> dict[str, Any]:
        """The job info that every call on a job answers with."""
        stamp = self.created.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        info: dict[str, Any] = {"id": self.id, "operation": self.operation, "object": self.object,
                                "createdById": self.user_id, "createdDate": stamp, "systemModstamp": stamp,
                                "state": self.state}  # fmt: skip
        if self.external_id_field is not None:
            info["externalIdFieldName"] = self.external_id_field
        info.update(concurrencyMode=self.concurrency, contentType="CSV", apiVersion=float(self.version))
        if self.kind == "V2Ingest":
            info["contentUrl"] = f"services/data/v{self.version}/jobs/ingest/{self.id}/batches"
        return {**info, "lineEnding": self.line_ending, "columnDelimiter": self.delimiter}

    def full_info(self) -> dict[str, Any]:
        """Job info with progress, as GET answers."""
        info = {**self.info(), "jobType": self.kind, "numberRecordsProcessed": self.processed}
        if self.kind == "V2Ingest":
            info.update(numberRecordsFailed=self.failed, apiActiveProcessingTime=1, apexProcessingTime=0)
        else:
            info["isPkChunkingSupported"] = True
        if self.error is not None:
            info["errorMessage"] = self.error
        spent = round(self.takes.total_seconds() * 1000) or 1
        return {**info, "retries": self.retries, "totalProcessingTime": spent if self.state in FINAL_STATES else 0}


def choice(body: Mapping[str, Any], key: str, allowed: Mapping[str, str], default: str) -> str:
    """An enumerated setting of a job.

    Raises:
        ApiError: 400 INVALIDJOB for a value that is not allowed.
    """
    value = body.get(key) or default
    if value not in allowed:
        raise ApiError(400, "INVALIDJOB", f"InvalidJob : Invalid {key}: {value}")
    return str(value)


class BulkJobs:
    """All jobs, by id."""

    def __init__(self, takes: Callable[[], timedelta] = timedelta) -> None:
        self._takes = takes
        self._jobs: dict[str, Job] = {}
        self._number = 0
        self.pool = ThreadPoolExecutor(WORKERS, "bulk-query")
        self._results: dict[Hashable, Pages] = {}
        self._results_version = -1

    def same_result(self, data_version: int, key: Hashable) -> Pages | None:
        """The pages of the same question asked before while no row has changed since."""
        if data_version != self._results_version:
            self._results.clear()
            self._results_version = data_version
        return self._results.get(key)

    def keep_result(self, data_version: int, key: Hashable, pages: Pages) -> None:
        """Remember the pages of a question for the data of that version, unless rows have changed since."""
        if data_version == self._results_version:
            self._results[key] = pages

    @property
    def made(self) -> int:
        """How many job ids were given out."""
        return self._number

    def new_id(self) -> str:
        """The id of the next job."""
        self._number += 1
        return make_id("750", self._number)

    def add(self, job: Job) -> None:
        """Keep a job. A query job is under way from here on, an ingest job once it is submitted."""
        self._jobs[job.id] = job
        if job.kind == "V2Query":
            self.submit(job, job.created)

    def submit(self, job: Job, now: datetime) -> None:
        """Let a job's time begin."""
        job.submitted, job.takes = now, self._takes()

    def get(self, job_id: str, kind: str, username: str, now: datetime) -> Job:
        """A job of this user and kind.

        Raises:
            ApiError: 404 for an unknown or expired job, or another user's.
        """
        job = self._jobs.get(job_id)
        if job is None or job.kind != kind or job.username != username or job.created + KEPT <= now:
            raise not_found()
        job.look(now)
        return job

    def known(self, job_id: str) -> Job | None:
        """A job of any user and kind, by its id of 15 or 18 characters."""
        return self._jobs.get(to18(job_id[:15]))

    def remove(self, job_id: str) -> None:
        """Forget a job."""
        del self._jobs[job_id]

    def list(self, username: str) -> list[Job]:
        """The user's jobs, oldest first."""
        return [job for job in self._jobs.values() if job.username == username]

    def all(self) -> Sequence[Job]:
        """Every user's jobs, oldest first."""
        return [*self._jobs.values()]

    def queries_today(self, now: datetime) -> int:
        """Query jobs of the last 24 hours."""
        since = now - timedelta(hours=24)
        return sum(1 for job in self._jobs.values() if job.kind == "V2Query" and job.created > since)

    def last(self, kind: str) -> Job | None:
        """The newest job of a kind."""
        return next((job for job in reversed(self._jobs.values()) if job.kind == kind), None)
