"""getDeleted and getUpdated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from holdfast.orgsim.api.rest.records import known_object
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.auth.sharing import visible
from holdfast.orgsim.clock import stamp
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.schema.values import datetime_text

router = Router(DATA + "/sobjects/{object}")
HORIZON = timedelta(days=30)
DELETED_HORIZON = timedelta(days=15)
MOST_IDS = 600_000


@router.add("GET", "/deleted")
async def deleted(call: Call) -> Reply:
    """Records deleted in a span of time, those purged since included; not those undeleted."""
    obj = known_object(call, call.params["object"])
    start, end = _span(call, obj)
    frame = visible(call.org, obj, call.user, call.org.table(obj).frame())
    inside = (pl.col("SystemModstamp") >= start) & (pl.col("SystemModstamp") < end)
    rows = frame.filter((pl.col("IsDeleted") == "true") & inside).select("Id", "SystemModstamp").rows()
    rows += [(i, at) for i, at in call.org.purged.get(obj.name, ()) if start <= at < end]
    horizon = stamp(call.org.clock.now() - DELETED_HORIZON)
    listed = [{"id": i, "deletedDate": _rest(at)} for i, at in rows if at >= horizon]
    _limit(len(listed))
    return json_reply(
        {"deletedRecords": listed, "earliestDateAvailable": _rest(horizon), "latestDateCovered": _rest(end)}
    )


@router.add("GET", "/updated")
async def updated(call: Call) -> Reply:
    """Ids of living records whose stamp lies in a span of time."""
    obj = known_object(call, call.params["object"])
    start, end = _span(call, obj)
    frame = visible(call.org, obj, call.user, call.org.table(obj).frame())
    inside = (pl.col("SystemModstamp") >= start) & (pl.col("SystemModstamp") < end)
    ids = frame.filter((pl.col("IsDeleted") == "false") & inside)["Id"].to_list()
    _limit(len(ids))
    return json_reply({"ids": ids, "latestDateCovered": _rest(end)})


def _span(call: Call, obj: SObject) -> tuple[str, str]:
    """The span as stored stamps, cut to minutes."""
    if not obj.describe["replicateable"]:
        raise ApiError(400, "INVALID_TYPE", f"entity {obj.name} is not replicateable")
    try:
        start, end = (_minute(call.query[name]) for name in ("start", "end"))
    except (KeyError, ValueError) as error:
        raise ApiError(400, "INVALID_REPLICATION_DATE", f"invalid start or end: {error}") from error
    now = call.org.clock.now()
    if end - start < timedelta(minutes=1):
        raise ApiError(400, "INVALID_REPLICATION_DATE", "startDate must be at least one minute greater than endDate")
    if start < now - HORIZON:
        raise ApiError(400, "INVALID_REPLICATION_DATE", "startDate before org replication enabled date")
    return stamp(start), stamp(min(end, now.replace(second=0, microsecond=0)))


def _minute(text: str) -> datetime:
    # A plus sign that was not percent-encoded arrives as a blank.
    at = datetime.fromisoformat(datetime_text(text.replace(" ", "+")))
    return at.astimezone(UTC).replace(second=0, microsecond=0)


def _rest(stored: str) -> str:
    return stored[:-1] + "+0000"


def _limit(count: int) -> None:
    if count > MOST_IDS:
        raise ApiError(400, "EXCEEDED_ID_LIMIT", f"exceeded {MOST_IDS} ids")
