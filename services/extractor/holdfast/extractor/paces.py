"""How earlier readings went: what the cost of the next one is estimated by."""

from __future__ import annotations

from uuid import UUID

from holdfast.common.postgres import Database
from holdfast.extractor.estimates import FEWEST_LOOKS, Pace
from holdfast.extractor.store import sql


async def paces(db: Database, job_id: UUID) -> dict[tuple[str, bool], Pace]:
    """The job's last reading of each object, and of each kind: whole, or incremental (True)."""
    rows = await db.fetch(sql.last_paces, job_id)
    return {(row["object"], row["incremental"]): Pace(row["rows"], row["seconds"]) for row in rows}


async def looks_at_jobs(db: Database, connection_id: UUID) -> int:
    """How often a Bulk job of an org is looked at until it is done, as of late."""
    looks = await db.fetchval(sql.looks_at_jobs, connection_id)
    return FEWEST_LOOKS if looks is None else max(FEWEST_LOOKS, round(looks))
