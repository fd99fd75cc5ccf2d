"""The loop that gives each table with work to a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import structlog

from holdfast.common.errors import HoldfastError
from holdfast.common.leases import Lease, Leases
from holdfast.common.postgres import Database
from holdfast.common.tasks import end_tasks
from holdfast.common.wakeup import Signal
from holdfast.differ import store
from holdfast.differ.committing import Committer
from holdfast.differ.completing import Completer
from holdfast.differ.feeding import Feeder
from holdfast.differ.losing import Losses
from holdfast.differ.store import ManifestRow, PageRow, TableKey
from holdfast.differ.upkeep import Upkeep

PAGES_AT_ONCE = 64
PAUSE_AFTER_ERROR = timedelta(seconds=1)
log = structlog.get_logger(__name__)


class Worker:
    """Finds tables with something to do and works on several at once; one commit in flight per table."""

    def __init__(
        self,
        db: Database,
        leases: Leases,
        signal: Signal,
        *,
        committer: Committer,
        completer: Completer,
        feeder: Feeder,
        losses: Losses,
        upkeep: Upkeep,
        tables: int,
        lease_ttl: timedelta,
    ) -> None:
        self._db, self._leases, self._signal = db, leases, signal
        self._committer, self._completer, self._feeder = committer, completer, feeder
        self._losses, self._upkeep = losses, upkeep
        self._limit, self._ttl = tables, lease_ttl
        self._busy: dict[TableKey, asyncio.Task[None]] = {}
        self._failures: dict[TableKey, int] = {}

    async def dispatch(self) -> bool:
        """Start a task for each idle table with work, up to the limit.

        Tables that failed, or that another replica holds, come last: as many of them as there are slots would
        keep all others waiting for ever.

        When there is none, one table is given its upkeep: never in the way of a run.

        Returns:
            False: the tasks themselves ask for another look when they end.
        """
        due = await store.due_tables(self._db)
        for key in sorted(due, key=lambda key: self._failures.get(key, 0)):
            if len(self._busy) >= self._limit:
                break
            if key not in self._busy:
                self._start(key, self._drain)
        if not self._busy and (resting := await self._upkeep.next_table()):
            self._start(resting, self._upkeep.keep_up)
        return False

    def _start(self, key: TableKey, work: Callable[[TableKey, Lease], Awaitable[None]]) -> None:
        self._busy[key] = asyncio.create_task(self._work(key, work), name=f"table {key}")

    async def stop(self) -> None:
        """Cancel the tasks and wait for them; a commit in flight ends first, since it runs in a thread."""
        await end_tasks(list(self._busy.values()))

    async def _work(self, key: TableKey, work: Callable[[TableKey, Lease], Awaitable[None]]) -> None:
        try:
            lease = await self._leases.acquire(f"table/{key}", self._ttl)
            if lease is None:
                await self._pause(key)
                return
            try:
                await work(key, lease)
            finally:
                await lease.release()
            self._failures.pop(key, None)
        except HoldfastError as error:
            log.warning("table_failed", table=str(key), error=error.message, detail=error.detail)
            await self._pause(key)
        except Exception:
            log.exception("table_failed", table=str(key))
            await self._pause(key)
        finally:
            del self._busy[key]
            self._signal.set()

    async def _pause(self, key: TableKey) -> None:
        self._failures[key] = self._failures.get(key, 0) + 1
        await asyncio.sleep(PAUSE_AFTER_ERROR.total_seconds())

    async def _drain(self, key: TableKey, lease: Lease) -> None:
        while pages := await store.staged_pages(self._db, key, PAGES_AT_ONCE):
            while pages:
                pages = pages[await self._commit(key, lease, pages) :]
        for manifest in await store.complete_manifests(self._db, key):
            await self._complete(key, lease, manifest)
        await self._feeder.feed(key, lease)
        self._upkeep.look_at(key)

    async def _commit(self, key: TableKey, lease: Lease, pages: Sequence[PageRow]) -> int:
        try:
            return await self._committer.commit(key, lease, pages)
        except HoldfastError as error:
            await self._losses.page_failed(key, lease, pages[0], error)
            raise

    async def _complete(self, key: TableKey, lease: Lease, manifest: ManifestRow) -> None:
        try:
            await self._completer.complete(key, lease, manifest)
        except HoldfastError as error:
            await self._losses.manifest_failed(key, lease, manifest, error)
            raise
