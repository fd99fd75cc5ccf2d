"""Makes durable how an object is read on: another way, another job, other fields, another range of ids."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

import structlog

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.postgres import Database, Record, Unit
from holdfast.extractor import store
from holdfast.extractor.legs import WHOLE, halves
from holdfast.extractor.planning import Strategy, record_schema
from holdfast.extractor.steps import READING_MOVED
from holdfast.extractor.store import TaskClaim, sql
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.composite import query_part
from holdfast.salesforce.models import Describe, RestPage
from holdfast.vault.schema import RecordSchema

log = structlog.get_logger(__name__)


class Mover:
    """Changes of the way in which a leased object is read; each is one unit, and fenced."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def begin(
        self,
        claim: TaskClaim,
        strategy: Strategy,
        *,
        bulk_job: str | None = None,
        restarts: int,
        created_at: datetime | None = None,
    ) -> TaskClaim:
        """Begin the object, or its present range, anew in another way; the claim as it then is."""

        async def work(unit: Unit) -> int:
            _, next_seq = await store.lock_task(unit, claim)
            legs = json.dumps(claim.legs)
            await unit.execute(sql.move_reading, claim.key, strategy, bulk_job, restarts, created_at, legs)
            return next_seq

        next_seq = await self._db.run(READING_MOVED, work)
        return replace(
            claim,
            strategy=strategy,
            bulk_job=bulk_job,
            bulk_locator=None,
            bulk_restarts=restarts,
            after=None,
            next_seq=next_seq,
        )

    async def split(
        self, client: SalesforceClient, claim: TaskClaim, strategy: Strategy, restarts: int, error: HoldfastError
    ) -> TaskClaim:
        """Read the present range as two.

        Raises:
            HoldfastError: `error`, with the range that is too much for the org, if it cannot be made smaller.
        """
        leg = claim.query.leg
        ends = await self._ends(client, claim)
        parts = halves(leg, *ends) if ends else None
        if parts is None:
            where = "the object as a whole" if leg == WHOLE and not ends else f"records {leg}"
            if ends:
                where = f"the record {ends[0]}" if ends[0] == ends[1] else f"the records from {ends[0]} to {ends[1]}"
            message = f"{error.message} It could not be read in smaller parts either: this fails for {where}."
            raise HoldfastError(Kind.DAMAGED, message, code="range-unreadable", detail=error.detail)
        log.info("reading_split", object=claim.object, run_id=str(claim.run.run_id), at=parts[0].high)
        return await self.begin(replace(claim, legs=(*parts, *claim.legs[1:])), strategy, restarts=restarts)

    async def _ends(self, client: SalesforceClient, claim: TaskClaim) -> tuple[str, str] | None:
        """First and last id of the present range; None if the org does not say."""
        parts = [query_part(soql, all_rows=True, fields=["Id"]) for soql in claim.query.ends()]
        ids = [
            page.table.column("Id")[0].as_py()
            for page in await client.composite(parts)
            if isinstance(page, RestPage) and page.table.num_rows
        ]
        return (ids[0], ids[1]) if len(ids) == len(parts) else None

    async def onward(self, claim: TaskClaim) -> TaskClaim | None:
        """The next range once the source has no more pages of the present one; None if that was the last."""
        if not claim.legs:
            return None

        async def work(unit: Unit) -> Record | None:
            await store.lock_task(unit, claim)
            # A last page with rows in it has moved on already.
            await unit.execute(sql.next_leg, claim.key, len(claim.legs))
            return await unit.fetchrow(sql.reading_position, claim.key)

        row = await self._db.run(READING_MOVED, work)
        if row is None or not store.legs_of(row["legs"]):
            return None
        return replace(
            claim,
            legs=store.legs_of(row["legs"]),
            bulk_job=None,
            bulk_locator=None,
            after=None,
            next_seq=row["next_seq"],
        )

    async def with_new_fields(self, client: SalesforceClient, claim: TaskClaim, error: HoldfastError) -> TaskClaim:
        """Go on with the fields that the object has now: one was taken away since the run was planned."""
        described = await client.describe(claim.object)
        schema = _left(claim, described) if isinstance(described, Describe) else claim.schema
        if schema == claim.schema:
            raise error

        async def work(unit: Unit) -> int:
            _, next_seq = await store.lock_task(unit, claim)
            await unit.execute(sql.renew_schema, claim.key, schema.to_json().decode())
            return next_seq

        log.info("schema_changed", object=claim.object, run_id=str(claim.run.run_id))
        next_seq = await self._db.run(READING_MOVED, work)
        renewed = replace(claim, schema=schema, next_seq=next_seq)
        return await self.begin(renewed, claim.strategy, restarts=claim.bulk_restarts)


def _left(claim: TaskClaim, described: Describe) -> RecordSchema:
    """The fields to go on with.

    One that came meanwhile is taken only if all records are read with it. Else the next run would count it among the
    fields that were read, and its values in all other records would never be asked for.
    """
    now = _as_it_is_now(claim, described)
    if claim.mode != "incremental" and claim.pass_number == 1 and not claim.legs:
        return now
    names = {field.name for field in now.fields}
    return replace(claim.schema, fields=tuple(field for field in claim.schema.fields if field.name in names))


def _as_it_is_now(claim: TaskClaim, described: Describe) -> RecordSchema:
    """The schema as the org has it, with the key that the object is known by."""
    now = record_schema(described, claim.schema.fields)
    key = claim.schema.key
    if not key:
        return now
    if not now.names.issuperset(key):
        return claim.schema  # without a field of its key a record cannot be told from others
    fields = tuple(field for field in now.fields if field.type != "id")
    return RecordSchema(now.object, fields, key, claim.schema.descending)
