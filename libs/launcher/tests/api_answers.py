"""What the HTTP API answers, made with its own models so that they cannot drift apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from holdfast.gateway.models.connections import Connection
from holdfast.gateway.models.jobs import Job
from holdfast.gateway.models.runs import Counts, Progress, Run, RunDetail, RunObject

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
JOB_ID = str(UUID(int=7))
CONTACT = "0035g00000XyZaBAAV"


def shown(model) -> dict:
    return model.model_dump(mode="json")


def connection(**change) -> dict:
    values = {
        "id": str(UUID(int=1)),
        "name": "Production",
        "login_url": "https://acme.my.salesforce.com",
        "instance_url": "https://acme.my.salesforce.com",
        "organization_id": "00D5g00000ABCDEFGH",
        "organization_name": "Acme",
        "username": "backup@acme.example",
        "flow": "client-credentials",
        "status": "ok",
        "status_reason": "",
        "added_at": START,
        "api_calls_used": 12,
        "api_calls_limit": 100_000,
        "warnings": [],
    }
    return shown(Connection(**values | change))


def run_values(number: int = 3, state: str = "completed") -> dict:
    return {
        "id": str(UUID(int=100 + number)),
        "job_id": JOB_ID,
        "number": number,
        "state": state,
        "trigger": "manual",
        "label": "",
        "requested_at": START,
        "completed_at": START + timedelta(seconds=75)
        if state in ("completed", "partial", "failed", "cancelled")
        else None,
        "counts": Counts(created=2, updated=1_500),
        "missing": [],
        "reason": "",
        "api_limit_percent": 80,
    }


def run(number: int = 3, state: str = "completed") -> dict:
    return shown(Run(**run_values(number, state)))


def detail(state: str = "completed", rows: int = 1000, **change) -> dict:
    done = state == "completed"
    account = RunObject(
        object="Account",
        state="done" if done else "reading",
        mode="incremental",
        strategy="rest",
        rows=rows,
        estimated_rows=1000,
        bytes=1,
        api_calls=4,
        counts=Counts(updated=1_500),
        reason="",
    )
    now = Progress(
        state="done" if done else "reading",
        rows=rows,
        estimated_rows=1000,
        bytes=1,
        api_calls=4,
        objects=1,
        objects_done=int(done),
        seconds_elapsed=75,
        rows_per_second=250,
        seconds_left=0 if done else 3.0,
    )
    values = run_values(state=state) | {"objects": [account], "progress": now}
    return shown(RunDetail(**values | change))


def job(name: str = "Nightly", job_id: str = JOB_ID, **change) -> dict:
    values = {
        "id": job_id,
        "name": name,
        "connection_id": str(UUID(int=1)),
        "objects": [],
        "cron": "0 2 * * *",
        "time_zone": "UTC",
        "created_at": START,
        "next_run_at": START,
        "status": "completed",
        "last_run": Run(**run_values()),
        "api_limit_percent": 80,
    }
    return shown(Job(**values | change))


def page(*items: dict, next_cursor: str | None = None) -> dict:
    return {"items": list(items), "next_cursor": next_cursor}
