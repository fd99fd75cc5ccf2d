"""Lets nobody in without a valid token. Stands before routing and before any body is read."""

from __future__ import annotations

from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from holdfast.common.errors import HoldfastError, Kind
from holdfast.gateway.problems import response_of
from holdfast.gateway.tokens import Caller, TokenCheck

OPEN_PATHS = frozenset({"/v1/health", "/v1/openapi.json"})


class HasTokens(Protocol):
    """Where the check is found once the service has started."""

    tokens: TokenCheck


class Authentication:
    """Puts the caller into the request's state as `caller`, or answers 401."""

    def __init__(self, app: ASGIApp, context: HasTokens) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._caller(scope)
        except HoldfastError as error:
            await response_of(error)(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller:
        token = _bearer(scope)
        if token is None:
            sentence = "Send a token in the header 'Authorization: Bearer hf_…'."
            raise HoldfastError(Kind.UNAUTHENTICATED, sentence, code="token-missing")
        caller = await self._context.tokens.caller(token)
        if caller is None:
            sentence = "The token is not valid; it may have been replaced or revoked."
            raise HoldfastError(Kind.UNAUTHENTICATED, sentence, code="token-invalid")
        return caller


def _bearer(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == "bearer" and token.strip() else None
    return None
