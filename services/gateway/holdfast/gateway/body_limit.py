"""Refuses large request bodies before they are read, and never holds one."""

from __future__ import annotations

import asyncio
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
            await self._refuse(receive, send)
        else:
            await self._app(scope, self._counting(receive), send)

    def _sentence(self) -> str:
        return f"The body is larger than {self._max_bytes} bytes, the most this API accepts."

    def _counting(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_bytes:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._sentence(), {"Connection": "close"})
            return message

        return counted

    async def _refuse(self, receive: Receive, send: Send) -> None:
        response = problem_response(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too-large",
            self._sentence(),
            headers={"Connection": "close"},
        )
        await _send_open(response, send)
        try:
            await asyncio.wait_for(_discard(receive), _DISCARD_FOR.total_seconds())
        except TimeoutError:
            pass
        finally:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _announced_bytes(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def _send_open(response: Response, send: Send) -> None:
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": bytes(response.body), "more_body": True})


async def _discard(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return
