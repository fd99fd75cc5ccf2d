"""What the routes work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from holdfast.common.clock import Clock
from holdfast.gateway.backends import Backends
from holdfast.gateway.inputs import IdempotencyKey
from holdfast.gateway.settings import GatewaySettings
from holdfast.gateway.tokens import Caller, TokenCheck
from holdfast.gateway.verifications import Verifications


@dataclass
class Context:
    """Handed to the application by the module."""

    settings: GatewaySettings
    backends: Backends
    tokens: TokenCheck
    verifications: Verifications
    clock: Clock


async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def _scoped_key(caller: Annotated[Caller, Depends(_caller)], idempotency_key: IdempotencyKey = None) -> str:
    return f"{caller.token_id}:{idempotency_key}" if idempotency_key else ""


Ctx = Annotated[Context, Depends(_context)]
CommandKey = Annotated[str, Depends(_scoped_key)]
"""The request's Idempotency-Key, made unique to its caller; empty without one."""
