"""Versions, resources, limits, counts and describes."""

from __future__ import annotations

import hashlib
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import orjson

from holdfast.orgsim.api.web import DATA, JSON_TYPE, Call, Reply, Router, json_reply
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError, not_found
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.fields import global_entry, object_urls
from holdfast.orgsim.schema.objects import SObject

router = Router()
RELEASES = {v: f"{'Winter' if v % 3 == 2 else 'Spring' if v % 3 == 0 else 'Summer'} '{15 + (v - 32) // 3:02d}"
            for v in range(31, 69)}  # fmt: skip


@router.add("GET", "/services/data", authenticated=False, counted=False)
async def versions(_call: Call) -> Reply:
    """The API versions, oldest first. Needs no session and costs no API request."""
    listed = [{"label": label, "url": f"/services/data/v{v}.0", "version": f"{v}.0"} for v, label in RELEASES.items()]
    return json_reply(listed)


@router.add("GET", DATA)
async def resources(call: Call) -> Reply:
    """Where each resource of a version is."""
    base = f"/services/data/v{call.version}"
    names = ("tooling", "metadata", "composite", "query", "queryAll", "search", "sobjects", "limits", "jobs", "recent",
             "process", "quickActions", "tabs", "theme", "actions", "appMenu", "chatter", "analytics", "connect",
             "support", "licensing", "compactLayouts", "parameterizedSearch")  # fmt: skip
    links = {name: f"{base}/{name}" for name in names}
    links["identity"] = f"{call.instance_url}/id/{call.org.id}/{call.user.id}"
    return json_reply(links)


@router.add("GET", DATA + "/limits")
async def limits(call: Call) -> Reply:
    """Limits and what is left of them."""
    org = call.org
    now = org.clock.now()
    used = org.accounting.used(now)
    answer = {name: {"Max": most, "Remaining": most} for name, most in LIMITS.items()}
    answer["DailyApiRequests"] = {
        "Max": org.accounting.limit,
        "Remaining": max(0, org.accounting.limit - used),
    }
    batches = org.accounting.batches
    answer["DailyBulkApiBatches"] = {"Max": batches.limit, "Remaining": batches.left(now)}
    answer["DailyBulkV2QueryJobs"]["Remaining"] -= org.bulk_jobs.queries_today(now)
    return json_reply(answer)


LIMITS = {
    "ActiveScratchOrgs": 6, "AnalyticsExternalDataSizeMB": 40960, "ConcurrentAsyncGetReportInstances": 200,
    "ConcurrentSyncReportRuns": 20, "DailyAnalyticsDataflowJobExecutions": 60, "DailyApiRequests": 100_000,
    "DailyAsyncApexExecutions": 250_000, "DailyBulkApiBatches": 15_000, "DailyBulkV2QueryFileStorageMB": 976_562,
    "DailyBulkV2QueryJobs": 10_000, "DailyDeliveredPlatformEvents": 10_000,
    "DailyDurableGenericStreamingApiEvents": 10_000, "DailyDurableStreamingApiEvents": 10_000,
    "DailyGenericStreamingApiEvents": 10_000, "DailyScratchOrgs": 12, "DailyStreamingApiEvents": 10_000,
    "DailyWorkflowEmails": 390, "DataStorageMB": 1024, "DurableStreamingApiConcurrentClients": 20,
    "FileStorageMB": 1024, "HourlyAsyncReportRuns": 1200, "HourlyDashboardRefreshes": 200,
    "HourlyODataCallout": 10_000, "HourlyPublishedPlatformEvents": 50_000, "HourlySyncReportRuns": 500,
    "HourlyTimeBasedWorkflow": 50, "MassEmail": 10, "Package2VersionCreates": 6, "SingleEmail": 15,
    "StreamingApiConcurrentClients": 20,
}  # fmt: skip


@router.add("GET", DATA + "/limits/recordCount")
async def record_count(call: Call) -> Reply:
    """Row counts; objects without rows are left out."""
    asked = [n for n in call.query.get("sObjects", "").split(",") if n]
    counts = []
    for name in asked or call.org.tables:
        obj = call.org.schema.find(name)
        if obj is None or obj.name not in call.org.tables or not call.user.reads(obj.name):
            continue
        frame = call.org.table(obj).frame()
        count = frame.height if "IsDeleted" not in frame.columns else int((frame["IsDeleted"] == "false").sum())
        if count:
            counts.append({"count": count, "name": obj.name})
    return json_reply({"sObjects": sorted(counts, key=lambda c: str(c["name"]))})


@router.add("GET", DATA + "/sobjects")
async def describe_global(call: Call) -> Reply:
    """Every object the user may read."""
    entries = []
    for name in call.org.schema.names():
        if call.user.reads(name):
            obj = call.org.schema.objects.get(name)
            recorded = call.org.schema.global_only.get(name)
            if recorded is not None:
                entries.append({**recorded, "urls": _reversioned(recorded["urls"], call.version)})
            elif obj is not None:
                entries.append(global_entry(obj.describe, call.version))
    return _cached(call, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": entries})


@router.add("GET", DATA + "/sobjects/{object}/describe")
async def describe_object(call: Call) -> Reply:
    """One object with its fields, without those the user cannot read."""
    return _cached(call, described(call.org, _known(call), call.user, call.version))


@router.add("GET", DATA + "/sobjects/{object}")
async def object_basics(call: Call) -> Reply:
    """The object's line of describeGlobal and recent items."""
    obj = _known(call)
    recorded = call.org.schema.global_only.get(obj.name)
    entry = recorded or global_entry(obj.describe, call.version)
    return json_reply({"objectDescribe": {**entry, "urls": object_urls(obj.name, call.version)}, "recentItems": []})


def described(org: Org, obj: SObject, user: User, version: str) -> dict[str, Any]:
    """The describe of an object as `user` sees it."""
    describe = dict(obj.describe)
    describe["fields"] = [f for name, f in obj.fields.items() if user.reads_field(obj.name, name)]
    describe["childRelationships"] = [c for c in obj.child_relationships if user.reads(c["childSObject"])]
    if describe["urls"] is None:
        links = (
            ("uiDetailTemplate", "/{ID}"),
            ("uiEditTemplate", "/{ID}/e"),
            ("uiNewRecord", f"/{obj.key_prefix}/e"),
        )
        describe["urls"] = {**object_urls(obj.name, version), **{k: org.instance_url + v for k, v in links}}
    return {key: describe[key] for key in sorted(describe)}


def _known(call: Call) -> SObject:
    obj = call.org.schema.find(call.params["object"])
    if obj is None or not call.user.reads(obj.name):
        raise not_found()
    return obj


def _reversioned(urls: dict[str, str], version: str) -> dict[str, str]:
    return {key: f"/services/data/v{version}/" + url.split("/", 4)[4] for key, url in urls.items()}


def _cached(call: Call, value: object) -> Reply:
    """An answer with ETag and Last-Modified, or 304 if the caller has it."""
    body = orjson.dumps(value)
    etag = hashlib.md5(body, usedforsecurity=False).hexdigest()[:8]
    modified = call.org.describe_changed(call.path + "|" + call.user.username, etag)
    headers = {"ETag": f'"{etag}"', "Last-Modified": format_datetime(modified, usegmt=True)}
    if etag in call.headers.get("if-none-match", "") or _not_modified_since(call, modified):
        return Reply(304, b"", None, headers)
    return Reply(200, body, JSON_TYPE, headers)


def _not_modified_since(call: Call, modified: Any) -> bool:
    text = call.headers.get("if-modified-since")
    if text is None:
        return False
    try:
        return bool(parsedate_to_datetime(text) >= modified)
    except (ValueError, TypeError) as error:
        raise ApiError(400, "INVALID_HEADER", f"If-Modified-Since: {text}") from error
