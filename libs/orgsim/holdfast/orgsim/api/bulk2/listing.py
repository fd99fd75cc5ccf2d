"""Lists of jobs: `GET jobs/query` and `GET jobs/ingest`, 1,000 a page, Bulk 1.0 jobs among them as `Classic`."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from holdfast.orgsim.api.bulk1.model import QUERIES
from holdfast.orgsim.api.bulk1.model import Job as ClassicJob
from holdfast.orgsim.api.web import Call, Reply, json_reply
from holdfast.orgsim.errors import ApiError

PAGE = 1_000


def list_jobs(call: Call, kind: str, path: str) -> Reply:
    """A page of the user's jobs that are of `kind` (V2Query, V2Ingest) or do the same the classic way.

    The parameters `jobType`, `concurrencyMode` and `isPkChunkingEnabled` narrow the list.
    """
    jobs = [job for job in _all(call, kind) if _wanted(call, job)]
    start = _start(call.query.get("queryLocator", ""))
    page, rest = jobs[start : start + PAGE], len(jobs) > start + PAGE
    url = f"/services/data/v{call.version}/jobs/{path}?queryLocator={_locator(start + PAGE)}" if rest else None
    listed = [{k: v for k, v in job.items() if k != "isPkChunkingEnabled"} for job in page]
    return json_reply({"done": not rest, "records": listed, "nextRecordsUrl": url})


def _all(call: Call, kind: str) -> list[dict[str, Any]]:
    modern = [job for job in call.org.bulk_jobs.list(call.user.username) if job.kind == kind]
    classic = [
        job
        for job in call.org.bulk1_jobs.list()
        if job.user_id == call.user.id and (job.operation in QUERIES) == (kind == "V2Query")
    ]
    infos = [{**job.info(), "jobType": job.kind, "isPkChunkingEnabled": False} for job in modern]
    return sorted(infos + [_classic(job) for job in classic], key=lambda info: str(info["id"]))


def _classic(job: ClassicJob) -> dict[str, Any]:
    stamps = {"createdDate": job.created, "systemModstamp": job.changed}
    return {
        "id": job.id, "operation": job.operation, "object": job.object, "createdById": job.user_id,
        **{name: at.strftime("%Y-%m-%dT%H:%M:%S.000+0000") for name, at in stamps.items()}, "state": job.state,
        "concurrencyMode": job.concurrency, "contentType": job.content_type, "apiVersion": float(job.version),
        "jobType": "Classic", "isPkChunkingEnabled": job.chunking is not None,
    }  # fmt: skip


def _wanted(call: Call, job: dict[str, Any]) -> bool:
    asked = call.query
    if "jobType" in asked and asked["jobType"] != job["jobType"]:
        return False
    if "concurrencyMode" in asked and asked["concurrencyMode"].lower() != job["concurrencyMode"].lower():
        return False
    chunked = asked.get("isPkChunkingEnabled")
    return chunked is None or (chunked.lower() == "true") == job["isPkChunkingEnabled"]


def _locator(start: int) -> str:
    return base64.urlsafe_b64encode(str(start).encode()).decode().rstrip("=")


def _start(locator: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(locator + "=" * (-len(locator) % 4)) or b"0")
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, "INVALIDQUERYLOCATOR", f"Invalid queryLocator: {locator}") from error
