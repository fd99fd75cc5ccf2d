"""Passes over an object after the reading: what changed since, or all that is deleted and all that lives.

A pass begins when the differ doubts what was read, or with the reading itself when a census is due. It has parts: a
census lists what the org says was deleted, then what lives, so that whoever is in both lists lives.
"""

from __future__ import annotations

from dataclasses import replace

from holdfast.common.clock import Clock
from holdfast.common.contracts.differ import ObjectDoubted
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.postgres import Database, Unit
from holdfast.extractor import store
from holdfast.extractor.classification import in_bulk, is_big
from holdfast.extractor.counting import uncountable
from holdfast.extractor.deletions_source import DeletionsSource
from holdfast.extractor.keys import key_of
from holdfast.extractor.planning import Strategy, strategy_of
from holdfast.extractor.settings import ExtractorSettings
from holdfast.extractor.soql import ObjectQuery, stamp_of
from holdfast.extractor.steps import PART_BEGUN
from holdfast.extractor.store import Part, TaskClaim, sql
from holdfast.salesforce.client import SalesforceClient
from holdfast.vault.schema import RecordSchema


async def begin_pass(unit: Unit, event: ObjectDoubted, settings: ExtractorSettings) -> bool:
    """Open an object again for the pass that the differ wants; False if that was done before, or the run is over."""
    row = await unit.fetchrow(sql.doubted_task, event.run_id, event.object, event.pass_number)
    if row is None:
        return False
    if event.wanted == "census":
        strategy, since = _listing(event.object, row["records"], settings), None
        part = "census" if is_big(event.object) else "deletions"
    else:
        mark = await unit.fetchval(sql.mark_of, event.job_id, event.object)
        since = mark - settings.extractor_overlap if mark else None
        schema = RecordSchema.from_json(row["schema"].encode())
        names = tuple(field.name for field in schema.fields)
        query = ObjectQuery(event.object, names, since if stamp_of(names) else None, key=key_of(schema))
        strategy, part = strategy_of(query, 0, settings.extractor_bulk_threshold_rows), "records"
    await unit.execute(sql.begin_pass, row["task_id"], event.wanted, part, strategy, since)
    return True


def next_part(claim: TaskClaim) -> Part | None:
    """What comes after the part that was read to its end; None if the pass is over."""
    if claim.part == "records":
        due = claim.purpose == "reading" and claim.census_due
        # Salesforce keeps no list of what was deleted of a big object.
        return ("census" if claim.schema.key else "deletions") if due else None
    return "census" if claim.part == "deletions" else None


async def begin_part(db: Database, claim: TaskClaim, part: Part, settings: ExtractorSettings) -> TaskClaim:
    """Make it durable that a part is over and the next one begins; the claim as it then is.

    Raises:
        HoldfastError: FENCED when the lease is lost.
    """

    async def work(unit: Unit) -> tuple[int, Strategy]:
        _, next_seq = await store.lock_task(unit, claim)
        strategy = _listing(claim.object, await unit.fetchval(sql.records_of_task, claim.key), settings)
        found = (claim.deleted_until, list(claim.noted))
        await unit.execute(sql.begin_part, claim.key, "census", part, strategy, *found)
        return next_seq, strategy

    next_seq, strategy = await db.run(PART_BEGUN, work)
    return replace(
        claim,
        purpose="census",
        part=part,
        strategy=strategy,
        part_from_seq=next_seq,
        next_seq=next_seq,
        drained=False,
        bulk_job=None,
        bulk_locator=None,
        bulk_restarts=0,
        after=None,
        deleted_until=None,
        noted=(),
        legs=(),
    )


def _listing(object_name: str, records: int, settings: ExtractorSettings) -> Strategy:
    """How all ids of an object come out of the org; REST changes to Bulk by itself when there are many."""
    many = records >= settings.extractor_bulk_threshold_rows
    return "bulk2" if many and in_bulk(object_name) else "rest"


def listable(object_name: str) -> bool:
    """Whether all living records of an object can be listed by one query."""
    return not uncountable(object_name) or is_big(object_name)


def require_listable(claim: TaskClaim) -> None:
    """Check that all living records of the object can be listed.

    Raises:
        HoldfastError: INVALID with the reason if they cannot.
    """
    if not listable(claim.object):
        raise HoldfastError(Kind.INVALID, f"{claim.object} cannot be listed as a whole. {uncountable(claim.object)}")


async def deletions(db: Database, client: SalesforceClient, claim: TaskClaim, clock: Clock) -> DeletionsSource:
    """The org's list of deleted records since it was last read, as a source of pages."""
    since = await db.fetchval(sql.deleted_until, claim.run.job_id, claim.object)
    stamp = stamp_of([field.name for field in claim.schema.fields])
    return DeletionsSource(client, claim.object, stamp=stamp, since=since, now=client.org_now() or clock.now())
