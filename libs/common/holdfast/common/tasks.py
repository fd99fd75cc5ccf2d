"""Ends tasks for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import structlog

ASK_AGAIN_S = 20.0  # longer than any client takes to close
log = structlog.get_logger(__name__)


async def end_tasks(tasks: Iterable[asyncio.Task[Any]], *, ask_again_s: float = ASK_AGAIN_S) -> None:
    """Cancel tasks and return once all have ended; what they raised is dropped.

    One cancellation is not enough: `asyncio.wait_for` of Python 3.11 returns a result that came at the same moment
    instead of ending, and some libraries suppress what was meant for their caller. A task that goes on is asked
    again every `ask_again_s` seconds, long enough for work that has to end first, such as a commit in a thread.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=ask_again_s)
        for task in pending:
            log.warning("task_did_not_end", task=task.get_name())
