"""getDeleted and getUpdated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from holdfast.orgsim.api.rest.records import known_object
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.auth.sharing import visible
from holdfast.orgsim.clock import stamp
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.saving.recyclebin import deleted_with
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.schema.values import datetime_text
from holdfast.orgsim.store.changes import deleted_between, updated_between

router = Router(DATA + "/sobjects/{object}")
HORIZON = timedelta(days=30)
DELETED_HORIZON = timedelta(days=15)
MOST_IDS = 600_000


@router.add("GET", "/deleted")
async def deleted(call: Call) -> Reply:
    """Records deleted in a span of time, those purged since included; not those undeleted.

    Nothing is known from before `earliestDateAvailable`: 15 days, or less once the delete log was trimmed.
    """
    obj = known_object(call, call.params["object"])
    start, end = _span(call, obj)
    earliest = max(stamp(call.org.clock.now() - DELETED_HORIZON), call.org.delete_log_from.get(obj.name, ""))
    others = list(call.org.purged.get(obj.name, ()))
    if "SystemModstamp" not in obj.fields:  # history: it never changes and goes with its record
        others += deleted_with(call.org, obj.key_prefix or "")
    rows = deleted_between(_seen(call, obj), others, max(start, earliest), end)
    _limit(len(rows))
    return json_reply(
        {
            "deletedRecords": [{"id": i, "deletedDate": _rest(at)} for i, at in rows],
            "earliestDateAvailable": _rest(earliest),
            "latestDateCovered": _rest(end),
        }
    )


@router.add("GET", "/updated")
async def updated(call: Call) -> Reply:
    """Ids of living records whose stamp lies in a span of time."""
    obj = known_object(call, call.params["object"])
    start, end = _span(call, obj)
    ids = updated_between(_seen(call, obj), start, end)
    _limit(len(ids))
    return json_reply({"ids": ids, "latestDateCovered": _rest(end)})


def _seen(call: Call, obj: SObject) -> pl.LazyFrame:
    """The rows that the user may see."""
    return visible(call.org, obj, call.user, call.org.table(obj).scan())


def _span(call: Call, obj: SObject) -> tuple[str, str]:
    """The span as stored stamps, cut to minutes.

    Raises:
        ApiError: 400 INVALID_REPLICATION_DATE, or INVALID_TYPE for an object without replication.
    """
    if not obj.describe["replicateable"]:
        raise ApiError(400, "INVALID_TYPE", f"sObject type '{obj.name}' is not replicateable.")
    try:
        start, end = (_minute(call.query[name]) for name in ("start", "end"))
    except KeyError as error:
        raise ApiError(400, "MISSING_ARGUMENT", f"Missing required parameter: {error.args[0]}") from error
    except (ValueError, OverflowError) as error:
        raise ApiError(400, "INVALID_REPLICATION_DATE", f"invalid start or end: {error}") from error
    now = call.org.clock.now()
    if end - start < timedelta(minutes=1):
        message = "endDate must be at least one minute greater than startDate"
        raise ApiError(400, "INVALID_REPLICATION_DATE", message)
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
        raise ApiError(400, "EXCEEDED_ID_LIMIT", f"The number of ids exceeds the limit of {MOST_IDS}")
