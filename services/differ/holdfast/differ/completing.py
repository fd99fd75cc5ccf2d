"""When an object is complete: its manifest is matched, the table is held against the org, and the outcome is told."""

from __future__ import annotations

import asyncio
from functools import reduce
from uuid import uuid5

import structlog
from prometheus_client import Counter

from holdfast.common.clock import Clock
from holdfast.common.contracts.differ import ChangeCounts, ObjectDiffed, ObjectDoubted, Proof
from holdfast.common.contracts.manifest import manifest_hash
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.leases import Lease
from holdfast.common.meta import Meta
from holdfast.common.objectstore import ObjectStore
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Unit
from holdfast.differ import store
from holdfast.differ.adopting import up_to_date
from holdfast.differ.outcomes import gaps_of, proof_of
from holdfast.differ.proving import Doubt, Facts, MassRule, Vanished, Verdict, judge
from holdfast.differ.store import DiffedPage, ManifestRow, OwnPage, TableKey
from holdfast.differ.tables import Tables
from holdfast.differ.weighing import Scales, Weighed
from holdfast.vault.absence import Place, stage_absence
from holdfast.vault.proofs import ProofFile, keep_proof
from holdfast.vault.table import RecordTable

OBJECT_DIFFED = durable_step("differ.object_diffed")
OBJECT_DOUBTED = durable_step("differ.object_doubted")
ABSENCE_NOTED = durable_step("differ.absence_noted")
STAGING_CLEARED = durable_step("differ.staging_cleared")
PROOFS = Counter("holdfast_proofs_total", "Objects by the outcome of their comparison with the org", ["state"])
HELD = Counter(
    "holdfast_disappearances_held_total", "Objects of which too many records disappeared at once to be believed"
)
log = structlog.get_logger(__name__)


class Completer:
    """Settles objects. Callers hold the table's lease."""

    def __init__(
        self, db: Database, tables: Tables, objects: ObjectStore, clock: Clock, rule: MassRule, most_passes: int
    ) -> None:
        self._db, self._tables, self._objects, self._clock = db, tables, objects, clock
        self._scales, self._rule = Scales(db, tables, most_passes, rule.within), rule

    async def complete(self, key: TableKey, lease: Lease, manifest: ManifestRow) -> None:
        """Bring an object whose pages are all committed one step on, once.

        Either `object.diffed` says its outcome, or `object.doubted` asks for another pass, or a page of deletions
        is staged for records that are gone; it is committed like all others, and the object comes back here.

        Raises:
            HoldfastError: DAMAGED if the pages are not those of the manifest, or the table lacks a commit.
        """
        pages = await store.pages_of_object(self._db, manifest.run_id, key.object)
        listed = [page for page in pages if not page.own]
        if manifest_hash(listed) != manifest.sha256:
            raise HoldfastError(
                Kind.DAMAGED,
                f"The pages of {key.object} in run {manifest.run} are not those that were read.",
                code="manifest-mismatch",
            )
        row, table = await up_to_date(self._db, self._tables, key, lease)
        if row.head is not None:
            # Without pages nothing else would notice that the table was rolled back, replaced or lost.
            await asyncio.to_thread(table.require_head, row.head)
        weighed = await self._scales.weigh(key, manifest, listed, table)
        outcome = judge(weighed.facts, self._rule)
        if isinstance(outcome, Doubt):
            await self._doubt(key, lease, manifest, outcome)
        elif isinstance(outcome, Vanished):
            await self._stage_absence(key, lease, manifest, weighed)
        else:
            await self._conclude(key, lease, manifest, pages, weighed.facts, outcome, table)

    async def _doubt(self, key: TableKey, lease: Lease, manifest: ManifestRow, doubt: Doubt) -> None:
        event = ObjectDoubted(
            job_id=key.job_id,
            run_id=manifest.run_id,
            run=manifest.run,
            object=key.object,
            pass_number=manifest.pass_number,
            wanted=doubt.wanted,
            reason=doubt.reason,
        )

        async def work(unit: Unit) -> None:
            await lease.guard(unit)
            if await store.mark_doubted(unit, manifest, key.object):
                await enqueue(unit, event, _meta(manifest))

        await self._db.run(OBJECT_DOUBTED, work)
        log.info("object_doubted", table=str(key), run=manifest.run, wanted=doubt.wanted, reason=doubt.reason)

    async def _stage_absence(self, key: TableKey, lease: Lease, manifest: ManifestRow, weighed: Weighed) -> None:
        listing, said = weighed.listing, manifest.extracted
        # Big objects are not counted: what is absent is known since the second list of them.
        at = said.count.at if said.count else said.closed_at
        assert listing is not None and at is not None  # without them absence is no evidence
        page_id = uuid5(manifest.run_id, f"{key.object}/absence/{manifest.pass_number}").hex
        place = Place(
            job_id=str(key.job_id),
            object=key.object,
            run=manifest.run,
            seq=await store.last_seq(self._db, manifest.run_id, key.object, page_id) + 1,
            page_id=page_id,
            observed_at=at,
        )
        absence = await asyncio.to_thread(stage_absence, self._tables.root, place, listing)
        page = OwnPage(
            page_id=place.page_id,
            seq=place.seq,
            path=absence.path,
            rows=absence.page.rows,
            bytes=absence.page.bytes,
            sha256=absence.page.sha256,
            schema_id=absence.schema.schema_id,
        )

        async def work(unit: Unit) -> None:
            await lease.guard(unit)
            await store.add_own_page(unit, key, manifest, page)

        await self._db.run(ABSENCE_NOTED, work)
        log.info("records_vanished", table=str(key), run=manifest.run, records=page.rows)

    async def _conclude(
        self,
        key: TableKey,
        lease: Lease,
        manifest: ManifestRow,
        pages: list[DiffedPage],
        facts: Facts,
        verdict: Verdict,
        table: RecordTable,
    ) -> None:
        await asyncio.to_thread(table.save_index_if_behind)
        proof = await self._kept(key, manifest, proof_of(facts, verdict, self._clock.now()), table)
        event = ObjectDiffed(
            job_id=key.job_id,
            run_id=manifest.run_id,
            run=manifest.run,
            object=key.object,
            table=table.path,
            version=table.version,
            chain_head=table.head.head,
            rows_read=manifest.rows,
            bytes_written=sum(page.bytes_written for page in pages),
            counts=_total(pages, proof.unseen),
            gaps=[*manifest.gaps, *gaps_of(facts, verdict)],
            notes=manifest.extracted.notes,
            proof=proof,
        )
        await self._publish(key, lease, manifest, event)
        _alert(key, manifest, verdict)
        await self._clear_staging(key, pages)

    async def _kept(self, key: TableKey, manifest: ManifestRow, proof: Proof, table: RecordTable) -> Proof:
        """The proof as it stands in the vault: durable before anybody hears of it, and never written twice."""
        file = ProofFile(
            job_id=str(key.job_id),
            object=key.object,
            run=manifest.run,
            version=table.version,
            chain_head=table.head.head,
            written_by="differ",
            written_at=proof.at.isoformat(),
            proof=proof.model_dump(mode="json"),
        )
        kept = await asyncio.to_thread(keep_proof, self._tables.root, file, self._tables.signing_key)
        return Proof.model_validate(kept.proof)

    async def _publish(self, key: TableKey, lease: Lease, manifest: ManifestRow, event: ObjectDiffed) -> None:
        async def work(unit: Unit) -> None:
            await lease.guard(unit)
            if await store.mark_diffed(unit, manifest.run_id, key.object):
                await enqueue(unit, event, _meta(manifest))

        await self._db.run(OBJECT_DIFFED, work)
        log.info("object_diffed", table=str(key), run=manifest.run, counts=event.counts.model_dump())

    async def _clear_staging(self, key: TableKey, pages: list[DiffedPage]) -> None:
        """Compared pages have done their work; baseline pages are the table's own files and stay."""
        prefix = f"{key.job_id}/staging/"
        done = [page.path for page in pages if page.path.startswith(prefix)]
        if done:
            await self._objects.delete(done, STAGING_CLEARED)


def _meta(manifest: ManifestRow) -> Meta:
    return Meta(correlation_id=manifest.correlation_id, causation_id=None, actor="service:differ")


def _alert(key: TableKey, manifest: ManifestRow, verdict: Verdict) -> None:
    PROOFS.labels(verdict.state).inc()
    said = {"table": str(key), "run": manifest.run, "reason": verdict.reason}
    if verdict.held:
        HELD.inc()
        log.error("disappearance_held", **said, records=verdict.unseen.count, ids=verdict.unseen.ids[:5])
    if verdict.state == "mismatch":
        log.error("object_mismatch", **said, missing=verdict.missing.ids[:5], outdated=verdict.outdated.ids[:5])
    elif verdict.state == "not proven":
        log.warning("object_not_proven", **said)


def _total(pages: list[DiffedPage], unseen: int) -> ChangeCounts:
    total = reduce(_add, (page.counts for page in pages), ChangeCounts())
    return total.model_copy(update={"unseen": unseen})


def _add(left: ChangeCounts, right: ChangeCounts) -> ChangeCounts:
    return ChangeCounts(**{name: getattr(left, name) + getattr(right, name) for name in ChangeCounts.model_fields})
