"""Scripted trouble: which requests it meets, and what happens to them.

A fault is JSON: `{"method": "GET", "path": "<regex>", "skip": 0, "count": 1, "rate": 1.0, "effect": {…}}`. `count`
null means for ever; `skip` lets the first matches pass. Effects (one object, keys may be combined where sensible):
`{"status": 503, "body": …, "content_type": …}`, `{"html": true}` (a maintenance page), `{"latency_s": 1.5}`,
`{"reset": true}` (before any byte), `{"close_after": n}` (full Content-Length, n bytes, then the connection goes),
`{"truncate": n}` (n bytes and a matching length), `{"drip": {"bytes": n, "every_s": t}}`, `{"content_type": …}`,
`{"expire_sessions": true}`, `{"expire_cursors": true}`, `{"job": "Failed"|"stuck"}` (the newest query job).
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from holdfast.orgsim.api.web import JSON_TYPE, Call, Reply, json_reply
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.org import Org

MAINTENANCE = b"<html><head><title>Maintenance</title></head><body>We are down for maintenance.</body></html>"
_EFFECTS = frozenset({"status", "body", "content_type", "html", "latency_s", "reset", "close_after", "truncate", "drip",
                      "expire_sessions", "expire_cursors", "job"})  # fmt: skip


@dataclass
class Fault:
    """One scripted fault and how often it has met a request."""

    effect: dict[str, Any]
    method: str | None = None
    path: str = ".*"
    skip: int = 0
    count: int | None = 1
    rate: float = 1.0
    met: int = 0
    applied: int = field(default=0)

    def meets(self, call: Call, chance: random.Random) -> bool:
        """Whether the fault strikes this request; counts it if it does."""
        target = call.path + ("?" + call.query_string if call.query_string else "")
        if (self.method is not None and self.method != call.method) or re.search(self.path, target) is None:
            return False
        self.met += 1
        if self.met <= self.skip or (self.count is not None and self.applied >= self.count):
            return False
        if chance.random() >= self.rate:
            return False
        self.applied += 1
        return True


class Faults:
    """The faults in force, in the order in which they were set; the first that meets a request strikes."""

    def __init__(self, seed: int = 1) -> None:
        self.active: list[Fault] = []
        self._chance = random.Random(seed)  # noqa: S311 - reproducible trouble, no secret

    def add(self, definition: dict[str, Any]) -> None:
        """Set one fault.

        Raises:
            ApiError: 400 for an unknown key or a bad regular expression.
        """
        try:
            fault = Fault(**{k: v for k, v in definition.items() if k not in ("met", "applied")})
            re.compile(fault.path)
        except (TypeError, re.error) as error:
            raise ApiError(400, "BAD_FAULT", str(error)) from error
        unknown = set(fault.effect) - _EFFECTS
        if unknown:
            raise ApiError(400, "BAD_FAULT", f"unknown effects: {sorted(unknown)}")
        self.active.append(fault)

    def take(self, call: Call) -> Fault | None:
        """The fault that strikes this request, if any."""
        return next((fault for fault in self.active if fault.meets(call, self._chance)), None)

    async def before(self, fault: Fault, org: Org, send: Any) -> bool:
        """What happens before the request is handled. True if it is then answered already."""
        effect = fault.effect
        if "latency_s" in effect:
            await asyncio.sleep(float(effect["latency_s"]))
        if effect.get("expire_sessions"):
            org.sessions.expire_all()
        if effect.get("expire_cursors"):
            org.cursors.clear()
        if "job" in effect:
            _spoil_job(org, str(effect["job"]))
        if effect.get("reset"):
            _transport(send).abort()
            return True
        reply = _replacement(effect)
        if reply is not None:
            await _send(send, reply, reply.body, len(reply.body))
        return reply is not None

    async def answer(self, fault: Fault, reply: Reply, send: Any) -> None:
        """Send the real answer the way the fault wants it."""
        effect, length = fault.effect, len(reply.body)
        reply.content_type = effect.get("content_type", reply.content_type)
        if "close_after" in effect:
            await _send(send, reply, reply.body[: int(effect["close_after"])], length, more=True)
            _transport(send).close()
        elif "truncate" in effect:
            part = reply.body[: int(effect["truncate"])]
            await _send(send, reply, part, len(part))
        elif "drip" in effect:
            await _drip(send, reply, int(effect["drip"]["bytes"]), float(effect["drip"]["every_s"]))
        else:
            await _send(send, reply, reply.body, length)

    def admin(self, call: Call) -> Reply:
        """`/_org/faults`: GET lists, POST adds one or a list, DELETE clears."""
        try:
            if call.method == "POST":
                given = call.json()
                for definition in given if isinstance(given, list) else [given]:
                    self.add(definition)
            elif call.method == "DELETE":
                self.active.clear()
        except ApiError as error:
            return json_reply(error.body(), error.status)
        return json_reply([asdict(fault) for fault in self.active])


def _replacement(effect: dict[str, Any]) -> Reply | None:
    if effect.get("html"):
        return Reply(int(effect.get("status", 503)), MAINTENANCE, "text/html;charset=UTF-8")
    if "status" not in effect:
        return None
    body = effect.get("body", "")
    data = body.encode() if isinstance(body, str) else orjson.dumps(body)
    return Reply(int(effect["status"]), data, effect.get("content_type", JSON_TYPE))


def _spoil_job(org: Org, how: str) -> None:
    job = org.bulk_jobs.last("V2Query")
    if job is None:
        return
    if how == "stuck":
        job.jammed, job.state = True, "InProgress"
    else:
        job.state, job.error = "Failed", "InternalServerError : Retried more than fifteen times"
        job.pages = None


def _transport(send: Any) -> asyncio.Transport:
    """The connection behind uvicorn's `send`: ASGI has no word for breaking one."""
    transport: asyncio.Transport = send.__self__.transport
    return transport


async def _send(send: Any, reply: Reply, body: bytes, length: int, *, more: bool = False) -> None:
    await send(reply.start(length))
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _drip(send: Any, reply: Reply, size: int, every_s: float) -> None:
    await _send(send, reply, b"", len(reply.body), more=True)
    for start in range(0, len(reply.body), size):
        await asyncio.sleep(every_s)
        await send({"type": "http.response.body", "body": reply.body[start : start + size], "more_body": True})
    await send({"type": "http.response.body", "body": b""})
