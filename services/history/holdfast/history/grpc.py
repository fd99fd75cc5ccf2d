"""History's gRPC interface: what it knows from events, and what the vault says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from grpc.aio import ServicerContext

from holdfast.common.clock import Clock, Ids
from holdfast.common.contracts.history import IntegrityVerified
from holdfast.common.meta import Meta
from holdfast.common.objectstore import ObjectStore
from holdfast.common.postgres import Database, Unit
from holdfast.common.rpc.history.v1 import history_pb2 as pb
from holdfast.common.rpc.history.v1 import history_pb2_grpc
from holdfast.history import handlers, store
from holdfast.history.messages import last_proven, object_changes
from holdfast.history.past import Past
from holdfast.history.peers import Peers
from holdfast.history.runs import Runs
from holdfast.history.steps import VERIFIED
from holdfast.history.verification import Proofs, Verdict, Verification, compare_witnesses
from holdfast.vault.verify_proofs import proof_files

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
        self._runs = Runs(db, peers, clock)
        self._key = key
        self._clock = clock
        self._ids = ids

    async def SummarizeChanges(
        self, request: pb.SummarizeChangesRequest, context: Context
    ) -> pb.SummarizeChangesResponse:
        """Changes per object of a run, as far as they are known."""
        run = await self._runs.run(request.run_id)
        rows = await self._runs.settled_objects(run)
        return pb.SummarizeChangesResponse(
            run_id=str(run.run_id),
            job_id=str(run.job_id),
            run=run.number,
            objects=[object_changes(row) for row in rows],
        )

    async def ListChanges(self, request: pb.ListChangesRequest, context: Context) -> pb.ListChangesResponse:
        """Changed records of one object in a run."""
        run = await self._runs.run(request.run_id)
        await self._runs.require_in_run(run, request.object)
        return await self._past.changes(run, request)

    async def GetRecordHistory(
        self, request: pb.GetRecordHistoryRequest, context: Context
    ) -> pb.GetRecordHistoryResponse:
        """Every version of one record."""
        job_id = await self._runs.job(request.job_id)
        await self._runs.require_in_job(job_id, request.object)
        answer = await self._past.history(job_id, request.object, request.record_id)
        proven = await store.last_proven(self._db, job_id, request.object)
        if proven:
            answer.last_proven.CopyFrom(last_proven(proven))
        return answer

    async def ReadFile(self, request: pb.ReadFileRequest, context: Context) -> AsyncIterator[pb.ReadFileResponse]:
        """The body of a file, checked before its last bytes are handed out."""
        job_id = await self._runs.job(request.job_id)
        await self._runs.require_in_job(job_id, request.object)
        async for message in self._past.file(job_id, request):
            yield message

    async def VerifyJob(self, request: pb.VerifyJobRequest, context: Context) -> AsyncIterator[pb.VerifyJobResponse]:
        """Progress per object, then one message that is `done`, with all damage."""
        job_id = await self._runs.job(request.job_id)
        told = await store.proofs_of_job(self._db, job_id)
        proofs = Proofs(told, await asyncio.to_thread(proof_files, self._objects, str(job_id)))
        kept = await self._peers.tables(job_id)
        expected = compare_witnesses(str(job_id), kept, await store.table_heads(self._db, job_id))
        verification = Verification(self._objects, self._key, str(job_id), proofs)
        async with aclosing(verification.steps(expected)) as steps:
            async for name, progress in steps:
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
            proofs=verdict.proofs,
            done=True,
            damage=[pb.Damage(path=one.path, reason=one.reason) for one in verdict.damage],
        )

    async def _announce(self, event: IntegrityVerified) -> None:
        verification_id, meta = self._ids.new(), Meta(self._ids.new(), None, "api")

        async def work(unit: Unit) -> None:
            await handlers.record_verification(unit, verification_id, event, meta)

        await self._db.run(VERIFIED, work)
