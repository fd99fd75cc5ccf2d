"""Backup jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from holdfast.common.rpc.scheduler.v1 import scheduler_pb2
from holdfast.gateway.inputs import Line, Name, ObjectName
from holdfast.gateway.models.base import Command, Resource, moment
from holdfast.gateway.models.runs import Run

ApiLimit = Annotated[
    int,
    Field(
        ge=1,
        le=100,
        description="When the org's API calls of 24 hours, by everybody, reach this percentage of its limit, a run "
        "stops calling and waits until enough of them are older. 80 leaves a fifth to others.",
    ),
]


class CreateJob(Command):
    """A backup of an org, on a schedule or on request."""

    name: Name = Field(examples=["Nightly"])
    connection: Name = Field(description="Id or name of the connection.", examples=["Production"])
    objects: Annotated[list[ObjectName] | None, Field(max_length=2000)] = Field(
        default=None,
        description="API names to back up; absent: every recommended object, also those added later.",
        examples=[["Account", "Contact"]],
    )
    cron: Annotated[Line, Field(max_length=100)] = Field(
        default="",
        description="Five-field cron expression; absent: only when asked for.",
        examples=["0 2 * * *"],
    )
    time_zone: Annotated[Line, Field(min_length=1, max_length=64)] = Field(
        default="UTC", description="IANA time zone of `cron`.", examples=["Europe/Berlin"]
    )
    api_limit_percent: ApiLimit = 80


class UpdateJob(Command):
    """Other settings of a job, from its next run on."""

    api_limit_percent: ApiLimit


class Job(Resource):
    """A backup job and how it is doing."""

    id: str
    name: str = Field(examples=["Nightly"])
    connection_id: str
    objects: list[str] = Field(description="Empty: every recommended object of the org.")
    cron: str
    time_zone: str
    created_at: datetime | None
    next_run_at: datetime | None
    status: str = Field(
        description="`pending first run`, `running`, `paused`, `completed`, `partial`, `failed` or `cancelled`.",
        examples=["completed"],
    )
    last_run: Run | None
    warnings: list[str] = Field(
        default_factory=list, description="What the connection's user cannot see, found out when the job was made."
    )
    api_limit_percent: int

    @classmethod
    def of(cls, job: scheduler_pb2.Job) -> Job:
        return cls(
            id=job.id,
            name=job.name,
            connection_id=job.connection_id,
            objects=list(job.objects),
            cron=job.cron,
            time_zone=job.time_zone,
            created_at=moment(job.created_at),
            next_run_at=moment(job.next_run_at),
            status=job.status,
            last_run=Run.of(job.last_run) if job.HasField("last_run") else None,
            warnings=list(job.warnings),
            api_limit_percent=job.api_limit_percent,
        )
