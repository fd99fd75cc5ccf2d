"""`/_org/…`: what tests and people use to look behind the org and to move it. No session, no API request."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from holdfast.orgsim.api.web import Call, Handler, Reply, Router, json_reply
from holdfast.orgsim.auth.permissions import Grants, restricted
from holdfast.orgsim.clock import stamp
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.ledger.entries import Loaded
from holdfast.orgsim.schema.document import SchemaError, parse_document
from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.schema.objects import SObject, custom_lookup
from holdfast.orgsim.setup.switches import apply_document
from holdfast.orgsim.store import loading
from holdfast.orgsim.store.counts import living_rows

router = Router("/_org")
LINES = "application/x-ndjson"
MOST_DELAY_S = 600  # a transaction commits up to ten minutes after its stamp


def _open(method: str, template: str) -> Callable[[Handler], Handler]:
    """An endpoint that answers 400 to values that it cannot use."""

    def register(handler: Handler) -> Handler:
        @router.add(method, template, authenticated=False, counted=False)
        async def guarded(call: Call) -> Reply:
            try:
                return await handler(call)
            except (KeyError, ValueError, TypeError, ArithmeticError) as error:
                what = f"{error} is missing." if isinstance(error, KeyError) else f"A value cannot be used: {error}."
                raise ApiError(400, "BAD_REQUEST", f"{what} The call: {handler.__doc__}") from error

        return handler

    return register


@_open("GET", "/health")
async def health(_call: Call) -> Reply:
    """Answers as soon as the org serves."""
    return json_reply({"ok": True})


@_open("GET", "/clock")
async def clock(call: Call) -> Reply:
    """The org's time."""
    return json_reply({"now": call.org.clock.now().isoformat()})


@_open("POST", "/clock")
async def move_clock(call: Call) -> Reply:
    """`{"advance_s": n}`, `{"set": iso, "frozen": bool}`, or `{"frozen": bool}` to stop it or let it run on."""
    body = call.json_object()
    if not body or not body.keys() <= {"advance_s", "set", "frozen"}:
        raise ValueError(f"{', '.join(body) or 'nothing'} moves no clock")
    if "frozen" in body and "set" not in body:
        call.org.clock.set(call.org.clock.now(), frozen=bool(body["frozen"]))
    if "advance_s" in body:
        call.org.clock.advance(timedelta(seconds=float(body["advance_s"])))
    if "set" in body:
        call.org.clock.set(datetime.fromisoformat(body["set"]), frozen=bool(body.get("frozen")))
    return json_reply({"now": call.org.clock.now().isoformat(), "frozen": call.org.clock.frozen})


@_open("GET", "/late-commits")
async def late_commits(call: Call) -> Reply:
    """How late saves commit, and how many transactions wait to."""
    transactions = call.org.transactions
    return json_reply({"delay_s": transactions.delay.total_seconds(), "pending": transactions.pending})


@_open("POST", "/late-commits")
async def commit_late(call: Call) -> Reply:
    """`{"delay_s": n}`: following saves are answered and stamped at once and seen n seconds of the clock later."""
    delay = float(call.json_object().get("delay_s", 0))
    if not 0 <= delay <= MOST_DELAY_S:
        raise ApiError(400, "INVALID_INPUT", f"delay_s must be between 0 and {MOST_DELAY_S}")
    call.org.transactions.delay = timedelta(seconds=delay)
    return await late_commits(call)


@_open("GET", "/calls")
async def calls(call: Call) -> Reply:
    """API requests by route, and how often each result page was fetched."""
    return json_reply(call.org.accounting.report())


@_open("DELETE", "/calls")
async def reset_calls(call: Call) -> Reply:
    """Start counting anew."""
    call.org.accounting.reset()
    return json_reply({"ok": True})


@_open("GET", "/ledger")
async def ledger(call: Call) -> Reply:
    """Entries after `since` (of `object`) as JSON lines; `rows=true` writes mass loads row by row."""
    lines: list[bytes] = []
    for entry in call.org.ledger.since(int(call.query.get("since", "0")), call.query.get("object")):
        lines.append(entry.line() + b"\n")
        if isinstance(entry, Loaded) and call.query.get("rows") == "true":
            lines.append(_json_lines(entry.rows))
    return Reply(200, b"".join(lines), LINES)


@_open("GET", "/ledger/folder")
async def ledger_folder(call: Call) -> Reply:
    """Where the ledger's file lies, for programs on this machine."""
    return json_reply({"folder": str(call.org.ledger.folder.resolve())})


@_open("GET", "/state")
async def state(call: Call) -> Reply:
    """Every record of `object`, deleted ones included, as JSON lines of canonical text; `at` rebuilds a past moment."""
    obj = _object(call, call.query.get("object", ""))
    if "at" in call.query:
        rows = call.org.ledger.state_at(datetime.fromisoformat(call.query["at"]), obj.name)
        return Reply(200, _json_lines(pl.DataFrame(list(rows.values()), infer_schema_length=None)), LINES)
    return Reply(200, _json_lines(call.org.table(obj).frame()), LINES)


def _json_lines(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    if frame.height:
        frame.write_ndjson(buffer)
    return buffer.getvalue()


@_open("GET", "/objects")
async def objects(call: Call) -> Reply:
    """Objects that hold rows, with their counts: all, deleted, and the current ledger number."""
    found = {}
    for name, table in call.org.tables.items():
        found[name] = {"rows": len(table), "deleted": len(table) - living_rows(table)}
    return json_reply({"objects": found, "sequence": call.org.ledger.sequence})


@_open("POST", "/users")
async def users(call: Call) -> Reply:
    """Make a user, or change what one may do.

    `{"username", "active", "run_as", "hidden_objects": […], "hidden_fields": ["Object.Field"], "permissions":
    {"ViewAllData": false}, "objects": {"Account": "CRUD"}, "read_only_fields": […], "unreadable_fields": […]}`. Hidden
    things are not there for the user; the last four make a profile of the user's own.
    """
    body = call.json_object()
    username = body.get("username") or call.org.admin.username
    hidden = _field_keys(body.get("hidden_fields", []))
    user = call.org.add_user(username, hidden_objects=body.get("hidden_objects", []), hidden_fields=hidden)
    call.org.set_active(user, bool(body.get("active", True)))
    if _PROFILE_KEYS & body.keys():
        call.org.give_permissions(user, _grants(user.profile, body))
    if body.get("run_as"):
        call.org.app.run_as = user.username
    return json_reply({"id": user.id, "username": user.username})


_PROFILE_KEYS = frozenset({"permissions", "objects", "read_only_fields", "unreadable_fields"})


def _grants(known: Grants, body: dict[str, Any]) -> Grants:
    try:
        return restricted(
            known,
            permissions=body.get("permissions", {}),
            objects=body.get("objects", {}),
            read_only=_field_keys(body.get("read_only_fields", [])),
            hidden=_field_keys(body.get("unreadable_fields", [])),
        )
    except ValueError as error:
        raise ApiError(400, "INVALID_FIELD", str(error)) from error


def _field_keys(names: list[str]) -> list[tuple[str, str]]:
    return [(name.partition(".")[0], name.partition(".")[2]) for name in names]


@_open("POST", "/schema")
async def schema(call: Call) -> Reply:
    """A schema document (see the README): define its objects and switch its features on."""
    try:
        document = parse_document(call.json())
        apply_document(call.org, document)
    except SchemaError as error:
        raise ApiError(400, "INVALID_SCHEMA", str(error)) from error
    return json_reply({"objects": [plan.name for plan in document.objects]})


@_open("POST", "/limits")
async def limits(call: Call) -> Reply:
    """`{"max": n, "used": n}` of the daily API requests."""
    body, accounting = call.json_object(), call.org.accounting
    if "max" in body:
        accounting.limit = int(body["max"])
    if "used" in body:
        accounting.set_used(int(body["used"]), call.org.clock.now())
    return json_reply({"max": accounting.limit, "used": accounting.used(call.org.clock.now())})


@_open("POST", "/sessions/expire")
async def expire_sessions(call: Call) -> Reply:
    """End every session."""
    return json_reply({"expired": call.org.sessions.expire_all()})


@_open("POST", "/cursors/expire")
async def expire_cursors(call: Call) -> Reply:
    """Forget every REST cursor."""
    return json_reply({"expired": call.org.cursors.clear()})


@_open("POST", "/delete-log")
async def trim_delete_log(call: Call) -> Reply:
    """`{"object", "until"}`: forget what was deleted before a moment, of one object or of all; rows stay."""
    body = call.json_object()
    until = stamp(datetime.fromisoformat(body["until"])) if "until" in body else stamp(call.org.clock.now())
    names = [_object(call, body["object"]).name] if "object" in body else list(call.org.tables)
    call.org.delete_log_from.update(dict.fromkeys(names, until))
    return json_reply({"earliest": until, "objects": names})


@_open("POST", "/objects")
async def define(call: Call) -> Reply:
    """`{"name", "fields": [{"name", "type", …describe keys}], "rows": [{…}]}`: define an object and load rows.

    Values are canonical text (or JSON values); rows may be empty. Answers with the new ids.
    """
    body = call.json_object()
    has_name = any("Name" in row for row in body.get("rows", [])) or body.get("name_field", True)
    obj = call.org.schema.define(str(body["name"]), auto_name=not has_name, label=body.get("label", ""))
    for definition in body.get("fields", []):
        if obj.find(definition["name"]) is None:
            call.org.schema.add_field(obj, _field(dict(definition)))
    rows = body.get("rows", [])
    if not rows:
        return json_reply({"object": obj.name, "ids": []})
    names = list(dict.fromkeys(key for row in rows for key in row))
    missing = [name for name in names if obj.find(name) is None]
    if missing:
        raise ApiError(400, "INVALID_FIELD", f"no such fields: {missing}")
    columns = {name: [_plain(row.get(name)) for row in rows] for name in names}
    frame = pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String))
    return json_reply({"object": obj.name, "ids": loading.load_rows(call.org, obj, frame)})


@_open("POST", "/load")
async def load(call: Call) -> Reply:
    """`{"path": folder or register, "multiply": n}`: load data into the running org."""
    body = call.json_object()
    try:
        rows = loading.load_path(call.org, Path(body["path"]), multiply=int(body.get("multiply", 1)))
    except FileNotFoundError as error:
        raise ApiError(404, "NOT_FOUND", str(error)) from error
    return json_reply({"rows": rows})


def _field(definition: dict[str, Any]) -> dict[str, Any]:
    name, kind = definition.pop("name"), definition.pop("type", "string")
    if kind == "reference":
        return custom_lookup(name, definition.pop("referenceTo", [])) | definition
    return make_field(name, kind, **definition)


def _plain(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _object(call: Call, name: str) -> SObject:
    obj = call.org.schema.find(name)
    if obj is None:
        raise ApiError(404, "NOT_FOUND", f"no object {name!r}")
    return obj
