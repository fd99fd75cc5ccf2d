"""Answers as trouble has them: slow, cut, dripping, mislabelled, or no answer at all."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import orjson

from holdfast.orgsim.api.web import JSON_TYPE, Reply
from holdfast.orgsim.faults.lies import tell

MAINTENANCE = b"<html><head><title>Maintenance</title></head><body>We are down for maintenance.</body></html>"


def replacement(effect: dict[str, Any]) -> Reply | None:
    """The answer that stands in for the real one, if the effect has one."""
    if effect.get("html"):
        return Reply(int(effect.get("status", 503)), MAINTENANCE, "text/html;charset=UTF-8")
    if "status" not in effect:
        return None
    body = effect.get("body", "")
    data = body.encode() if isinstance(body, str) else orjson.dumps(body)
    return Reply(int(effect["status"]), data, effect.get("content_type", JSON_TYPE))


def abort(send: Any) -> None:
    """Reset the connection before a byte is sent."""
    _transport(send).abort()


async def deliver(effect: dict[str, Any], reply: Reply, send: Any) -> None:
    """Send the real answer the way the effect wants it."""
    reply.content_type = effect.get("content_type", reply.content_type)
    if "lie" in effect:
        tell(effect["lie"], reply)
    _repack(effect.get("gzip"), reply)
    length = len(reply.body)
    if "close_after" in effect:
        await send_all(send, reply, reply.body[: int(effect["close_after"])], length, more=True)
        _transport(send).close()
    elif "truncate" in effect:
        part = reply.body[: int(effect["truncate"])]
        await send_all(send, reply, part, len(part))
    elif "drip" in effect:
        await _drip(send, reply, int(effect["drip"]["bytes"]), float(effect["drip"]["every_s"]))
    else:
        await send_all(send, reply, reply.body, length)


def _repack(how: str | None, reply: Reply) -> None:
    if how is None:
        return
    packed = reply.body
    if reply.headers.get("Content-Encoding") != "gzip":
        packed = gzip.compress(reply.body, mtime=0)
        reply.headers["Content-Encoding"] = "gzip"
    if how == "corrupt":  # the header stays whole, so that the client finds out half-way
        middle = max(10, len(packed) // 2)
        packed = packed[:middle] + bytes(255 - byte for byte in packed[middle:])
    reply.body = packed


async def send_all(send: Any, reply: Reply, body: bytes, length: int, *, more: bool = False) -> None:
    """Send `body` as (the beginning of) an answer that announces `length` bytes."""
    await send(reply.start(length))
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _drip(send: Any, reply: Reply, size: int, every_s: float) -> None:
    await send_all(send, reply, b"", len(reply.body), more=True)
    for start in range(0, len(reply.body), size):
        await asyncio.sleep(every_s)
        await send({"type": "http.response.body", "body": reply.body[start : start + size], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _transport(send: Any) -> asyncio.Transport:
    """The connection behind uvicorn's `send`: ASGI has no word for breaking one."""
    transport: asyncio.Transport = send.__self__.transport
    return transport
