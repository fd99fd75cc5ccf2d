"""Runs and jobs as history knows them, and what to do while its events are still on their way.

Whoever follows a run at the scheduler asks for its changes the moment it ends; history may not have folded the
last events by then. What it has not heard of it asks the scheduler about, instead of denying it.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from holdfast.common.clock import Clock
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.postgres import Database
from holdfast.history import store
from holdfast.history.peers import Peers

# Events need some milliseconds; after this the answer is what is known.
_CATCH_UP = timedelta(seconds=5)
_CATCH_UP_STEP = timedelta(milliseconds=50)


class Runs:
    """Looks things up, here first."""

    def __init__(self, db: Database, peers: Peers, clock: Clock) -> None:
        self._db = db
        self._peers = peers
        self._clock = clock

    async def job(self, id_or_name: str) -> UUID:
        """The id of a job.

        Raises:
            HoldfastError: NOT_FOUND naming the job; UNAVAILABLE.
        """
        return await store.find_job(self._db, id_or_name) or await self._peers.job_id(id_or_name)

    async def run(self, run_id: str) -> store.Run:
        """A run.

        Raises:
            HoldfastError: NOT_FOUND naming the run; UNAVAILABLE.
        """
        try:
            known = await store.get_run(self._db, UUID(run_id))
        except ValueError:
            raise HoldfastError(Kind.NOT_FOUND, f"There is no run {run_id!r}.", code="unknown-run") from None
        return known or (await self._peers.run(run_id)).run

    async def require_in_run(self, run: store.Run, name: str) -> None:
        """Refuse an object that the run holds nothing of.

        Raises:
            HoldfastError: NOT_FOUND, naming the objects that there are.
        """
        known = {row["object"] for row in await store.run_objects(self._db, run.run_id)}
        if name not in known:
            known |= await self._held(run)
        _require(name, known, "This run")

    async def require_in_job(self, job_id: UUID, name: str) -> None:
        """Refuse an object that the job holds nothing of.

        Raises:
            HoldfastError: NOT_FOUND, naming the objects that there are.
        """
        known = set(await store.table_heads(self._db, job_id))
        if name not in known:
            known |= {table.object for table in await self._peers.tables(job_id)}
        _require(name, known, "This job")

    async def settled_objects(self, run: store.Run) -> list[store.Row]:
        """The objects of a run, after waiting for those that the scheduler knows to be in the vault."""
        rows = await store.run_objects(self._db, run.run_id)
        if run.objects is not None and sum(row["complete"] for row in rows) >= run.objects:
            return rows
        try:
            held = await self._held(run)
        except HoldfastError:
            return rows  # without the scheduler, what is known has to do
        until = self._clock.monotonic() + _CATCH_UP.total_seconds()
        while self._clock.monotonic() < until:
            rows = await store.run_objects(self._db, run.run_id)
            if held <= {row["object"] for row in rows if row["complete"]}:
                break
            await self._clock.sleep(_CATCH_UP_STEP)
        return rows

    async def _held(self, run: store.Run) -> set[str]:
        """Objects that the scheduler knows to be in the vault; none for a run that it does not know."""
        try:
            return (await self._peers.run(str(run.run_id))).held
        except HoldfastError as error:
            if error.kind is Kind.NOT_FOUND:
                return set()
            raise


def _require(name: str, known: set[str], where: str) -> None:
    """The object's name becomes part of a path in the vault: only names that services told are taken."""
    if name in known:
        return
    there_are = f"It has {', '.join(sorted(known))}." if known else "It has none yet."
    raise HoldfastError(Kind.NOT_FOUND, f"{where} has no object {name!r}. {there_are}", code="unknown-object")
