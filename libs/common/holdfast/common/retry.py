"""The one retry; it sits at a port, so that callers never loop."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from holdfast.common.clock import Clock
from holdfast.common.errors import HoldfastError

T = TypeVar("T")


def transient(error: BaseException) -> bool:
    """Whether the same call may succeed later without anyone changing anything."""
    return isinstance(error, HoldfastError) and error.transient


def pause_before(attempt: int, base: timedelta, cap: timedelta) -> timedelta:
    """How long to wait before try number `attempt` (2, 3, …): doubling, capped, with full jitter.

    At least a tenth of the ceiling, so that jitter never makes a tight loop.
    """
    ceiling = min(cap, base * float(2 ** min(attempt - 2, 30)))
    return ceiling * random.uniform(0.1, 1.0)  # noqa: S311 - jitter, not a secret


async def retrying(
    call: Callable[[], Awaitable[T]],
    *,
    attempts: int,
    base: timedelta,
    cap: timedelta,
    clock: Clock,
    retry_on: Callable[[BaseException], bool] = transient,
) -> T:
    """Call until it succeeds, fails in a way that waiting cannot cure, or `attempts` are used up.

    An error that names `retry_after` is given that time instead of the computed pause.

    Raises:
        Exception: The last error, unchanged.
    """
    attempt = 1
    while True:
        try:
            return await call()
        except Exception as error:
            if attempt >= attempts or not retry_on(error):
                raise
            attempt += 1
            asked = error.retry_after if isinstance(error, HoldfastError) else None
            await clock.sleep(asked or pause_before(attempt, base, cap))
