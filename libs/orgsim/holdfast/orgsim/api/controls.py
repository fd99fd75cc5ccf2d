"""`/_org/settings` and `/_org/reset`: how the org behaves, and back to how it began."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from holdfast.orgsim.api.web import Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.faults.scripted import Faults
from holdfast.orgsim.org import Org
from holdfast.orgsim.saving.resetting import Baseline

router = Router("/_org")


def _settings(org: Org) -> dict[str, Any]:
    settings = org.settings
    return {
        "bulk_job_s": settings.bulk_job_s,
        "bulk_page_bytes": settings.bulk_page_bytes,
        "compress": settings.compress,
        "session_s": org.sessions.lifetime.total_seconds(),
        "api_requests": org.accounting.requests.limit,
        "bulk_batches": org.accounting.batches.limit,
    }


@router.add("GET", "/settings", authenticated=False, counted=False)
async def settings(call: Call) -> Reply:
    """The settings that can be changed while the org runs."""
    return json_reply(_settings(call.org))


@router.add("POST", "/settings", authenticated=False, counted=False)
async def change(call: Call) -> Reply:
    """Change some of them; all or, on an error, none."""
    body, known = call.json_object(), _settings(call.org)
    for key, value in body.items():
        if key not in known:
            raise ApiError(400, "BAD_SETTING", f"{key} is unknown; known are {', '.join(known)}")
        flag = isinstance(known[key], bool)
        if isinstance(value, bool) != flag or (not flag and not _fits(value)):
            raise ApiError(400, "BAD_SETTING", f"{key} must be {'true or false' if flag else 'a number, 0 or more'}")
    _apply(call.org, {**known, **body})
    return json_reply(_settings(call.org))


def _fits(value: object) -> bool:
    try:
        return not isinstance(value, str) and float(value) >= 0  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _apply(org: Org, wanted: dict[str, Any]) -> None:
    org.settings.bulk_job_s = float(wanted["bulk_job_s"])
    org.settings.bulk_page_bytes = max(1, int(wanted["bulk_page_bytes"]))
    org.settings.compress = wanted["compress"]
    org.sessions.lifetime = timedelta(seconds=float(wanted["session_s"]))
    org.accounting.requests.limit = int(wanted["api_requests"])
    org.accounting.batches.limit = int(wanted["bulk_batches"])


def answer_reset(call: Call, faults: Faults, baseline: Baseline) -> Reply:
    """`POST /_org/reset`: no faults, counters and limits at nothing; with `{"data": true}` the loaded rows again."""
    try:
        return _reset(call, faults, baseline)
    except ApiError as error:
        return json_reply(error.body(), error.status)


def _reset(call: Call, faults: Faults, baseline: Baseline) -> Reply:
    body = call.json_object() if call.body else {}
    unknown = sorted(set(body) - {"data"})
    if unknown:
        raise ApiError(400, "BAD_RESET", f"{unknown[0]} is unknown; known is data")
    org, now = call.org, call.org.clock.now()
    faults.clear(org)
    org.accounting.reset()
    org.accounting.requests.set_used(0, now)
    org.accounting.batches.set_used(0, now)
    changed = baseline.restore(org) if body.get("data") else {}
    return json_reply({"ok": True, "changed": changed, "sequence": org.ledger.sequence})
