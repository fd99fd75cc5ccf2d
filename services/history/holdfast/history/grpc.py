"""History's gRPC interface: what it knows from events, and what the vault says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from grpc.aio import ServicerContext

from holdfast.common.clock import Clock, Ids
from holdfast.common.contracts.history import IntegrityVerified
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.meta import Meta
from holdfast.common.objectstore import ObjectStore
from holdfast.common.postgres import Database, Unit
from holdfast.common.rpc.history.v1 import history_pb2 as pb
from holdfast.common.rpc.history.v1 import history_pb2_grpc
from holdfast.history import handlers, store
from holdfast.history.messages import object_changes
from holdfast.history.past import Past
from holdfast.history.peers import Peers
from holdfast.history.steps import VERIFIED
from holdfast.history.verification import Verdict, Verification, compare_witnesses

Context = ServicerContext[Any, Any]


class HistoryServicer(history_pb2_grpc.HistoryServiceServicer):
    """The past, for the gateway."""

    def __init__(
        self,
        db: Database,
        objects: ObjectStore,
        peers: Peers,
        key: Ed25519PublicKey,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        """`key` is that of the signer of the chain."""
        self._db = db
        self._objects = objects
        self._past = Past(objects)
        self._peers = peers
        self._key = key
        self._clock = clock
        self._ids = ids

    async def SummarizeChanges(
        self, request: pb.SummarizeChangesRequest, context: Context
    ) -> pb.SummarizeChangesResponse:
        """Changes per object of a run, as far as they are known."""
        run = await self._run(request.run_id)
        rows = await store.run_objects(self._db, run.run_id)
        return pb.SummarizeChangesResponse(
            run_id=str(run.run_id),
            job_id=str(run.job_id),
            run=run.number,
            objects=[object_changes(row) for row in rows],
        )

    async def ListChanges(self, request: pb.ListChangesRequest, context: Context) -> pb.ListChangesResponse:
        """Changed records of one object in a run."""
        run = await self._run(request.run_id)
        known = [row["object"] for row in await store.run_objects(self._db, run.run_id)]
        _require(request.object, known, "this run")
        return await self._past.changes(run, request)

    async def GetRecordHistory(
        self, request: pb.GetRecordHistoryRequest, context: Context
    ) -> pb.GetRecordHistoryResponse:
        """Every version of one record."""
        job_id = await self._job(request.job_id)
        _require(request.object, list(await store.table_heads(self._db, job_id)), "this job")
        return await self._past.history(job_id, request.object, request.record_id)

    async def VerifyJob(self, request: pb.VerifyJobRequest, context: Context) -> AsyncIterator[pb.VerifyJobResponse]:
        """Progress per object, then one message that is `done`, with all damage."""
        job_id = await self._job(request.job_id)
        kept = await self._peers.tables(job_id)
        expected = compare_witnesses(str(job_id), kept, await store.table_heads(self._db, job_id))
        verification = Verification(self._objects, self._key, str(job_id))
        async for name, progress in verification.steps(expected):
            yield pb.VerifyJobResponse(
                object=name,
                files_done=progress.done_files,
                files_total=progress.files,
                bytes_done=progress.bytes,
            )
        yield await self._conclude(job_id, verification.verdict)

    async def _conclude(self, job_id: UUID, verdict: Verdict) -> pb.VerifyJobResponse:
        event = handlers.verified(job_id, verdict, self._clock.now())
        await self._announce(event)
        return pb.VerifyJobResponse(
            files_done=verdict.files,
            files_total=verdict.files,
            bytes_done=verdict.bytes,
            done=True,
            damage=[pb.Damage(path=one.path, reason=one.reason) for one in verdict.damage],
        )

    async def _announce(self, event: IntegrityVerified) -> None:
        verification_id, meta = self._ids.new(), Meta(self._ids.new(), None, "api")

        async def work(unit: Unit) -> None:
            await handlers.record_verification(unit, verification_id, event, meta)

        await self._db.run(VERIFIED, work)

    async def _run(self, run_id: str) -> store.Run:
        try:
            run = await store.get_run(self._db, UUID(run_id))
        except ValueError:
            run = None
        if run is None:
            raise HoldfastError(Kind.NOT_FOUND, f"There is no run {run_id!r}.", code="unknown-run")
        return run

    async def _job(self, id_or_name: str) -> UUID:
        job_id = await store.find_job(self._db, id_or_name)
        if job_id is None:
            raise HoldfastError(Kind.NOT_FOUND, f"There is no job {id_or_name!r}.", code="unknown-job")
        return job_id


def _require(name: str, known: list[str], where: str) -> None:
    """The object's name becomes part of a path in the vault: only names that events brought are taken.

    Raises:
        HoldfastError: NOT_FOUND, naming the objects that there are.
    """
    if name in known:
        return
    there_are = f"It has {', '.join(known)}." if known else "It has none yet."
    raise HoldfastError(
        Kind.NOT_FOUND, f"{where.capitalize()} has no object {name!r}. {there_are}", code="unknown-object"
    )
