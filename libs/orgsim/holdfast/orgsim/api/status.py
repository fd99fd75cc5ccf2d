"""`/_org/` in a browser: one page that shows how the org stands, and the JSON that it asks for."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from holdfast.orgsim.api.bulk1.model import Job as ClassicJob
from holdfast.orgsim.api.bulk2.jobs import DAILY_QUERY_JOBS, Job
from holdfast.orgsim.api.web import Call, Reply, Router, json_reply
from holdfast.orgsim.faults.fault import Fault
from holdfast.orgsim.faults.scripted import Faults
from holdfast.orgsim.ledger.entries import Entry, Loaded
from holdfast.orgsim.org import Org
from holdfast.orgsim.store.counts import living_rows

LAST_ENTRIES, LAST_JOBS = 15, 12
FILES = {
    "status.css": "text/css;charset=UTF-8",
    "status.js": "text/javascript;charset=UTF-8",
    "icon.svg": "image/svg+xml",
}
POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'"
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

router = Router("/_org")


@router.add("GET", "", authenticated=False, counted=False)
async def page(call: Call) -> Reply:
    """The page. Its links begin where the browser came in, which may be below `/orgs/NAME`."""
    base = urlsplit(call.origin).path.rstrip("/") + "/_org"
    text = _file("index.html").decode().replace("{base}", base)
    return Reply(200, text.encode(), "text/html;charset=UTF-8", dict(HEADERS))


def _file(name: str) -> bytes:
    return (resources.files("holdfast.orgsim.api") / "status_page" / name).read_bytes()


@router.add("GET", "/page/{name}", authenticated=False, counted=False)
async def asset(call: Call) -> Reply:
    """What the page is made of."""
    kind = FILES.get(call.params["name"])
    if kind is None:
        return Reply(404)
    return Reply(200, _file(call.params["name"]), kind, dict(HEADERS))


def standing(call: Call, faults: Faults) -> Reply:
    """`/_org/status`: everything that the page shows, in one answer."""
    org, now = call.org, call.org.clock.now()
    answer = {
        "org": _org(org),
        "clock": {"now": now.isoformat(timespec="seconds"), "frozen": org.clock.frozen},
        "objects": _objects(org),
        "clients": org.accounting.report()["clients"],
        "limits": _limits(org, now),
        "sessions": _sessions(org, now),
        "faults": [_fault(fault, now) for fault in faults.active],
        "jobs": _jobs(org),
        "ledger": {"sequence": org.ledger.sequence, "entries": _entries(org)},
    }
    return json_reply(answer, headers={"Cache-Control": "no-store"})


def _org(org: Org) -> dict[str, Any]:
    settings = org.settings
    return {"name": settings.name, "kind": settings.kind, "id": org.id, "domain": org.domain_host,
            "url": org.instance_url}  # fmt: skip


def _objects(org: Org) -> list[dict[str, Any]]:
    found = []
    for name, table in org.tables.items():
        rows = len(table)
        living = living_rows(table)
        if rows:
            found.append({"name": name, "rows": living, "deleted": rows - living})
    return sorted(found, key=lambda entry: (-entry["rows"], entry["name"]))


def _limits(org: Org, now: datetime) -> list[dict[str, Any]]:
    accounting = org.accounting
    return [
        {"name": "API requests", "used": accounting.used(now), "max": accounting.limit},
        {"name": "Bulk batches", "used": accounting.batches.used(now), "max": accounting.batches.limit},
        {"name": "Bulk query jobs", "used": org.bulk_jobs.queries_today(now), "max": DAILY_QUERY_JOBS},
    ]


def _sessions(org: Org, now: datetime) -> list[dict[str, Any]]:
    shown: dict[str, dict[str, Any]] = {}
    for session in org.sessions.live(now):
        entry = shown.setdefault(session.user.username, {"user": session.user.username, "count": 0, "expires": ""})
        entry["count"] += 1
        entry["expires"] = max(entry["expires"], session.expires.isoformat(timespec="seconds"))
    return sorted(shown.values(), key=lambda entry: str(entry["user"]))


def _fault(fault: Fault, now: datetime) -> dict[str, Any]:
    spent = fault.count is not None and fault.applied >= fault.count
    over = fault.until is not None and now >= datetime.fromisoformat(fault.until)
    return {**asdict(fault), "spent": spent or over, "waiting": not over and not fault.in_force(now)}


def _jobs(org: Org) -> list[dict[str, Any]]:
    jobs: list[Job | ClassicJob] = [*org.bulk_jobs.all(), *org.bulk1_jobs.list()]
    newest = sorted(jobs, key=lambda job: job.id, reverse=True)[:LAST_JOBS]
    return [_job(job) for job in newest]


def _job(job: Job | ClassicJob) -> dict[str, Any]:
    if isinstance(job, Job):
        return {"id": job.id, "api": "2.0", "operation": job.operation, "object": job.object, "state": job.state,
                "processed": job.processed, "failed": job.failed}  # fmt: skip
    batches = job.batches.values()
    return {"id": job.id, "api": "1.0", "operation": job.operation, "object": job.object, "state": job.state,
            "processed": sum(b.processed for b in batches), "failed": sum(b.failed for b in batches)}  # fmt: skip


def _entries(org: Org) -> list[dict[str, Any]]:
    last = list(org.ledger.since(max(0, org.ledger.sequence - LAST_ENTRIES)))
    return [_entry(entry) for entry in reversed(last)]


def _entry(entry: Entry | Loaded) -> dict[str, Any]:
    shown: dict[str, Any] = {"seq": entry.sequence, "at": entry.at.isoformat(timespec="seconds"),
                             "object": entry.object}  # fmt: skip
    if isinstance(entry, Loaded):
        return {**shown, "op": "loaded", "rows": entry.rows.height}
    before, after = entry.before or {}, entry.after or {}
    changed = [name for name in after if after[name] != before.get(name)] if entry.before and entry.after else []
    quiet = ("SystemModstamp", "LastModifiedDate", "LastModifiedById")
    return {**shown, "op": entry.operation, "id": entry.id, "api": entry.api, "note": entry.note,
            "changed": [name for name in changed if name not in quiet]}  # fmt: skip
