"""Effects on the org itself: sessions and cursors end, limits run out, fields come and go, Bulk jobs go wrong."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from holdfast.orgsim.api.bulk2.processing import RETRIED
from holdfast.orgsim.api.web import Call
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.schema.objects import SObject

_JOB_ID = re.compile(r"/(750\w{12,15})(?=/|$)")


def act(effect: dict[str, Any], org: Org) -> None:
    """Do what an effect does to the org before the request is looked at."""
    if effect.get("expire_sessions"):
        org.sessions.expire_all()
    if effect.get("expire_cursors"):
        org.cursors.clear()
    if "retire_versions_below" in effect:
        org.oldest_version = effect["retire_versions_below"]
    if "daily_limit" in effect:
        org.accounting.requests.exhaust(_until(effect["daily_limit"], org.clock.now()))
    if "describe" in effect:
        _change_describe(org, effect["describe"])


def _until(given: dict[str, Any], now: datetime) -> datetime:
    if "until" in given:
        return datetime.fromisoformat(given["until"])
    return now + timedelta(seconds=given.get("for_s", 24 * 3600))


def _change_describe(org: Org, change: dict[str, Any]) -> None:
    obj = org.schema.find(change["object"])
    if obj is None:
        return
    if change.get("drop"):
        org.schema.drop(obj)
        return
    if "remove" in change:
        obj.remove(change["remove"])
    if "rename" in change:
        _rename(org, obj, change["rename"]["name"], change["rename"]["to"])
    for key in ("add", "retype"):
        if key in change:
            given = dict(change[key])
            known = obj.find(given["name"])
            kind = given.pop("type", "string" if known is None else known["type"])
            name = given.pop("name") if known is None else known["name"]
            given.pop("name", None)
            org.schema.add_field(obj, make_field(name, kind, **given))


def _rename(org: Org, obj: SObject, name: str, new: str) -> None:
    """A field with another name: its id and its values stay, no record is stamped."""
    known = obj.find(name)
    if known is None:
        return
    table = org.table(obj)
    values = table.frame().with_columns(pl.col(known["name"]).alias(new))
    obj.rename(known["name"], new)
    table.add_columns(obj.stored())
    table.put_rows(values)


def spoils_job(effect: dict[str, Any], call: Call) -> bool:
    """Whether the effect concerns a job that the request is only about to make."""
    return "job" in effect and _JOB_ID.search(call.path) is None


def spoil_job(given: str | dict[str, Any], call: Call) -> None:
    """Make the job that the path names fail or hang, otherwise the newest one of the API that was asked."""
    how = {"state": given} if isinstance(given, str) else given
    if call.path.startswith("/services/async/"):
        _spoil_batches(how, call)
    else:
        _spoil_bulk2(how, call)


def _spoil_bulk2(how: dict[str, Any], call: Call) -> None:
    jobs = call.org.bulk_jobs
    kind = "V2Ingest" if "/jobs/ingest" in call.path else "V2Query"
    named = _JOB_ID.search(call.path)
    job = jobs.last(kind) if named is None else jobs.known(named.group(1))
    if job is None:
        return
    if how["state"] == "stuck":
        job.jammed = True
        if job.state in ("UploadComplete", "JobComplete"):
            job.state = "InProgress"
        return
    message = how.get("message", RETRIED)
    if job.kind == "V2Ingest" and job.state in ("Open", "UploadComplete", "InProgress"):
        job.fail_after, job.fail_message = how.get("after_rows", 0), message
    else:
        job.state, job.error, job.pages = "Failed", message, None


def _spoil_batches(how: dict[str, Any], call: Call) -> None:
    """Bulk 1.0: the batches of the job that are there, and those that will come."""
    jobs = call.org.bulk1_jobs
    named = _JOB_ID.search(call.path)
    job = jobs.last() if named is None else jobs.known(named.group(1))
    if job is None:
        return
    job.spoilt = None if how["state"] == "stuck" else how.get("message", RETRIED)
    job.stuck = how["state"] == "stuck"
    for batch in job.batches.values():
        if job.stuck and batch.state != "NotProcessed":
            batch.state = "InProgress"
        elif job.spoilt and batch.state != "NotProcessed":
            batch.fail(job.spoilt, call.org.clock.now())
