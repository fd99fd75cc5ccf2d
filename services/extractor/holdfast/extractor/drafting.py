"""Makes the plan of a run: asks the org what it holds, and decides how each object is read. Writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from holdfast.common.clock import Clock
from holdfast.common.postgres import Database
from holdfast.extractor import store
from holdfast.extractor.describing import describe_all
from holdfast.extractor.drift import Drift
from holdfast.extractor.drifting import Findings, look, under_known_names
from holdfast.extractor.estimates import Facts
from holdfast.extractor.files.fields import FileField, file_fields
from holdfast.extractor.identities import Failure, keys_of
from holdfast.extractor.org import Orgs
from holdfast.extractor.paces import looks_at_jobs, paces
from holdfast.extractor.passes import listable
from holdfast.extractor.planning import Chosen, Known, ObjectPlan, choose, plan_object
from holdfast.extractor.schedule import census_due, scan_due
from holdfast.extractor.settings import ExtractorSettings
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.definitions import IndexField
from holdfast.salesforce.models import Describe

log = structlog.get_logger(__name__)

NOTHING_SELECTED = (
    "The org has no recommended object with records, so there is nothing to back up. "
    "Select objects by name, or check what the connected user may see."
)


@dataclass(frozen=True)
class Wanted:
    """What a run is to read: objects by name, or all that are recommended."""

    job_id: UUID
    connection_id: UUID
    selection: tuple[str, ...]
    full: bool


@dataclass
class Plan:
    """What a run reads, what it cannot read, and describes worth keeping.

    Attributes:
        counts: Salesforce's cached counts; empty if nothing depends on them.
    """

    objects: dict[str, ObjectPlan] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)
    describes: list[tuple[UUID, str, str, str]] = field(default_factory=list)
    found: Findings = field(default_factory=Findings)
    files: dict[str, list[FileField]] = field(default_factory=dict)
    censuses: set[str] = field(default_factory=set)
    counts: Mapping[str, int] = field(default_factory=dict)


class Drafter:
    """Makes plans, for runs and for people."""

    def __init__(self, db: Database, orgs: Orgs, settings: ExtractorSettings, clock: Clock) -> None:
        self._db = db
        self._orgs = orgs
        self._settings = settings
        self._clock = clock

    async def draft(self, wanted: Wanted) -> Plan:
        """What a run would read that began now.

        Raises:
            HoldfastError: When the org does not answer.
        """
        client = await self._orgs.client(wanted.connection_id, ask_again=True)
        plan = await self._drafted(client, wanted)
        plan.found.notes += self._orgs.said_of_version(wanted.connection_id)
        return plan

    async def _drafted(self, client: SalesforceClient, wanted: Wanted) -> Plan:
        known = await store.known_objects(self._db, wanted.job_id)
        whole = self._due(wanted, known)
        offered, counts = await asyncio.gather(client.describe_global(), self._counts(client, wanted, known, whole))
        there = {entry.name.lower() for entry in offered}
        silent = {name for name in await store.vanished_objects(self._db, wanted.job_id) if name.lower() not in there}
        chosen = choose(wanted.selection, offered, counts, [name for name in known if name not in silent])
        plan = Plan(failed={name: Failure(why, "not-readable") for name, why in chosen.failed.items()}, counts=counts)
        described = await self._describe(client, wanted.connection_id, chosen, plan)
        described, spelled = under_known_names(described, known)
        keys = await keys_of(client, described, {name: before.key for name, before in known.items()})
        for describe in described:
            if reason := keys.refused.get(describe.name):
                plan.failed[describe.name] = reason
                continue
            index = keys.indexes.get(describe.name, ())
            self._add(plan, describe, wanted.full or describe.name in whole, known.get(describe.name), index)
        plan.censuses = self._censuses(wanted, plan, known)
        await self._look(client, wanted, plan, described, known, spelled)
        return plan

    async def facts(self, wanted: Wanted, counts: Mapping[str, int]) -> Facts:
        """What the cost of a plan is estimated by."""
        settings = self._settings
        return Facts(
            page_bytes=settings.extractor_page_bytes,
            bulk_threshold_rows=settings.extractor_bulk_threshold_rows,
            parallel_from_pages=settings.extractor_parallel_from_pages,
            slots=settings.extractor_fetches,
            counts=counts,
            paces=await paces(self._db, wanted.job_id),
            looks=await looks_at_jobs(self._db, wanted.connection_id),
        )

    async def _look(
        self,
        client: SalesforceClient,
        wanted: Wanted,
        plan: Plan,
        described: Sequence[Describe],
        known: Mapping[str, Known],
        spelled: Mapping[str, str],
    ) -> None:
        """Note what became of objects and fields. An object that the org no longer has is no failure."""
        read_before = {name.lower() for name in known}
        plan.found = await look(
            self._db,
            client,
            job_id=wanted.job_id,
            connection_id=wanted.connection_id,
            described=[describe for describe in described if describe.name in plan.objects],
            missing=[name for name in plan.failed if name.lower() in read_before],
            known=known,
            by_itself=not wanted.selection,
        )
        for name in plan.found.vanished:
            del plan.failed[name]
        for name, note in spelled.items():
            drift = plan.found.drifts.get(name, Drift())
            plan.found.drifts[name] = Drift((note, *drift.notes), drift.gone)

    def _due(self, wanted: Wanted, known: Mapping[str, Known]) -> set[str]:
        """Objects whose turn it is to be read whole."""
        now, every = self._clock.now(), self._settings.extractor_scan_every
        return {name for name, before in known.items() if scan_due(wanted.job_id, name, before.whole_at, now, every)}

    def _censuses(self, wanted: Wanted, plan: Plan, known: Mapping[str, Known]) -> set[str]:
        """Objects that are to be listed whole after their reading; none while the org's calls are short."""
        used = self._orgs.ledger.percent_used(wanted.connection_id)
        if used > self._settings.extractor_census_up_to_percent:
            log.info("censuses_put_off", job_id=str(wanted.job_id), percent_used=round(used))
            return set()
        now, every = self._clock.now(), self._settings.extractor_census_every
        return {
            name
            for name in plan.objects.keys() & known.keys()
            if listable(name) and census_due(wanted.job_id, name, known[name].census_at, now, every)
        }

    async def _counts(
        self, client: SalesforceClient, wanted: Wanted, known: Mapping[str, Known], whole: set[str]
    ) -> Mapping[str, int]:
        """Salesforce's cached counts; not asked for where no object will be read whole or be found by them."""
        named = {name.strip().lower() for name in wanted.selection}
        marked = {name.lower() for name, before in known.items() if before.watermark is not None and name not in whole}
        if named and named <= marked and not wanted.full:
            return {}
        return await client.record_counts()

    def _add(
        self, plan: Plan, describe: Describe, full: bool, known: Known | None, index: Sequence[IndexField]
    ) -> None:
        if held := file_fields(describe):
            plan.files[describe.name] = held
        plan.objects[describe.name] = plan_object(
            describe,
            known=known,
            full=full,
            estimated_rows=plan.counts.get(describe.name, 0),
            overlap=self._settings.extractor_overlap,
            bulk_threshold_rows=self._settings.extractor_bulk_threshold_rows,
            index=index,
        )

    async def _describe(
        self, client: SalesforceClient, connection_id: UUID, chosen: Chosen, plan: Plan
    ) -> Sequence[Describe]:
        cached = await store.cached_describes(self._db, connection_id, chosen.readable)
        found = await describe_all(client, chosen.readable, cached, self._settings.extractor_describes)
        plan.failed |= {name: Failure(error.message, error.code) for name, error in found.gone.items()}
        for describe in found.objects:
            if describe.name in found.fresh and describe.etag:
                text = describe.model_dump_json(by_alias=True)
                plan.describes.append((connection_id, describe.name, describe.etag, text))
        return found.objects
