"""Which tables are worked on when there are more of them than slots."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.wakeup import Signal
from holdfast.differ import store
from holdfast.differ import worker as worker_module
from holdfast.differ.store import TableKey
from holdfast.differ.worker import Worker

BROKEN, WHOLE = TableKey(UUID(int=1), "Broken__c"), TableKey(UUID(int=1), "Whole__c")


class Parts:
    """Everything that a worker is given: leases that are had at once, work that is noted, one table that fails."""

    def __init__(self) -> None:
        self.fed: list[TableKey] = []

    async def acquire(self, name: str, ttl: timedelta) -> Any:
        return self

    async def release(self) -> None:
        """Nothing is held."""

    async def feed(self, key: TableKey, lease: Any) -> None:
        if key == BROKEN:
            raise HoldfastError(Kind.DAMAGED, "The vault's file is damaged.")
        self.fed.append(key)

    def look_at(self, key: TableKey) -> None:
        """Nothing is worth a look."""


async def test_tables_that_fail_do_not_keep_the_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def due(db: Any) -> list[TableKey]:
        return [BROKEN, WHOLE]

    async def nothing(*args: Any) -> list[Any]:
        return []

    monkeypatch.setattr(store, "due_tables", due)
    monkeypatch.setattr(store, "staged_pages", nothing)
    monkeypatch.setattr(store, "complete_manifests", nothing)
    monkeypatch.setattr(worker_module, "PAUSE_AFTER_ERROR", timedelta(0))
    parts: Any = Parts()
    worker = Worker(
        parts,
        parts,
        Signal(),
        committer=parts,
        completer=parts,
        feeder=parts,
        losses=parts,
        upkeep=parts,
        tables=1,
        lease_ttl=timedelta(seconds=1),
    )
    for _ in range(4):
        await worker.dispatch()
        await asyncio.gather(*worker._busy.values())
    assert WHOLE in parts.fed
