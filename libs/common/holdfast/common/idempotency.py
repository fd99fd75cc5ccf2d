"""A command that is sent twice with one key has one effect and one answer."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.postgres import Queries, Unit

M = TypeVar("M", bound=Message)
_queries = Queries.load("holdfast.common")


async def once(unit: Unit, key: str, request: Message, make: Callable[[], Awaitable[M]]) -> M:
    """The stored answer for `key`, or that of `make`, stored in the same transaction as its effect.

    Args:
        key: Chosen by the caller; an empty key switches this off (`make` is called).
        request: Compared with the first call's request, byte by byte.
        make: Does the work in `unit`.

    Raises:
        HoldfastError: CONFLICT with code `idempotency-key-reused` when the key came with another request.
    """
    if not key:
        return await make()
    sha256 = hashlib.sha256(_canonical(request)).digest()
    await unit.fetchval(_queries.command_lock, key)
    row = await unit.fetchrow(_queries.command_result, key)
    if row is None:
        answer = await make()
        packed = Any()
        packed.Pack(answer)
        await unit.execute(_queries.command_store, key, sha256, packed.SerializeToString())
        return answer
    if row["request_sha256"] != sha256:
        raise HoldfastError(
            Kind.CONFLICT,
            "This idempotency key was used for a different request; use a new key.",
            code="idempotency-key-reused",
        )
    return cast("M", _unpack(row["response"]))


def _unpack(stored: bytes) -> Message:
    packed = Any.FromString(stored)
    descriptor = descriptor_pool.Default().FindMessageTypeByName(packed.TypeName())
    return message_factory.GetMessageClass(descriptor).FromString(packed.value)


def _canonical(request: Message) -> bytes:
    return type(request).__name__.encode() + b"\0" + request.SerializeToString(deterministic=True)
