"""Refuses large request bodies before they are read, and never holds one."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdfast.gateway.problems import problem_response

# A client that is still sending when we close loses our answer to a TCP reset; so what it sends is thrown
# away for this long, which is enough for 50 MB over a slow office line to notice the answer.
_DISCARD_FOR = timedelta(seconds=3)


class BodyLimit:
    """Answers 413 to a body over the limit, by its announced length or as soon as it grows over it."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _announced_bytes(scope) > self._max_bytes:
            await self._answer()(scope, receive, _lingering(receive, send))
        else:
            await self._count(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen_bytes = 0

        async def counted() -> Message:
            nonlocal seen_bytes
            message = await receive()
            seen_bytes += len(message.get("body", b""))
            if seen_bytes > self._max_bytes:
                # The framework answers 400 to any other error that breaks a body off.
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return message

        async def unless_too_large(message: Message) -> None:
            if seen_bytes <= self._max_bytes:
                await send(message)

        await self._app(scope, counted, unless_too_large)
        if seen_bytes > self._max_bytes:
            await self._answer()(scope, receive, _lingering(receive, send))

    def _answer(self) -> Response:
        sentence = f"The body is larger than {self._max_bytes} bytes, the most this API accepts."
        too_large = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return problem_response(too_large, "too-large", sentence, headers={"Connection": "close"})


def _lingering(receive: Receive, send: Send) -> Send:
    """Sends the whole answer, then throws away what is still coming, then ends the answer."""

    async def lingering(message: Message) -> None:
        if message["type"] != "http.response.body" or message.get("more_body", False):
            await send(message)
            return
        await send({**message, "more_body": True})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_discard(receive), _DISCARD_FOR.total_seconds())
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return lingering


def _announced_bytes(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def _discard(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return
