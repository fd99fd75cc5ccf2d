"""Is this store fit to hold a vault? Asked once at start."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.objectstore import ObjectStore

PROBED = durable_step("common.store_probed")
PROBE_CLEARED = durable_step("common.store_probe_cleared")
RACERS = 4  # with more contenders on one key SeaweedFS sometimes stalls for two seconds
FOLDER = "holdfast-probe"


async def probe(store: ObjectStore) -> None:
    """Race creates of one key: exactly one may win, and its bytes must stay.

    Raises:
        HoldfastError: INVALID when the store does not honour create-if-absent: two writers could then
            replace each other's commits. UNAVAILABLE and FORBIDDEN as from any call.
    """
    key = f"{FOLDER}/{uuid4().hex}"
    try:
        won = await asyncio.gather(*(_create(store, key, number) for number in range(RACERS)))
        winners = [number for number, ours in enumerate(won) if ours]
        if len(winners) != 1 or await store.get(key) != _content(winners[0]):
            raise _unfit()
        if await _create(store, key, RACERS):
            raise _unfit()
    finally:
        await store.delete([key], PROBE_CLEARED)


async def _create(store: ObjectStore, key: str, number: int) -> bool:
    try:
        await store.put_new(key, _content(number), PROBED)
    except HoldfastError as error:
        if error.kind is Kind.CONFLICT:
            return False
        raise
    return True


def _content(number: int) -> bytes:
    return f"racer {number}".encode()


def _unfit() -> HoldfastError:
    return HoldfastError(
        Kind.INVALID,
        "The object store does not honour create-if-absent (If-None-Match: *), so two writers could replace "
        "each other's data; use a store that does.",
        code="object-store-unfit",
    )
