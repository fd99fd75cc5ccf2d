"""The extractor's gRPC face: how far a run is, what the next one costs, what an org offers. Thin; only reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import grpc.aio

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.postgres import Database, Record
from holdfast.common.rpc.extractor.v1 import extractor_pb2 as messages
from holdfast.common.rpc.extractor.v1.extractor_pb2_grpc import ExtractorServiceServicer
from holdfast.extractor import store
from holdfast.extractor.classification import classify, namespace_of
from holdfast.extractor.drafting import Wanted
from holdfast.extractor.files.queueing import files_of_run
from holdfast.extractor.org import Orgs, count_calls
from holdfast.extractor.plans import Plans
from holdfast.extractor.progress import Outlook, state_of
from holdfast.extractor.visibility import check

# Describes at a time while somebody waits for the answer.
DESCRIBES = 4


class ExtractorService(ExtractorServiceServicer):
    """Implements `holdfast.extractor.v1.ExtractorService`."""

    def __init__(
        self, db: Database, orgs: Orgs, live_calls: Callable[[UUID], int], outlook: Outlook, plans: Plans
    ) -> None:
        """Make the servicer.

        Args:
            live_calls: Calls of an object being read in this process that the database does not hold yet.
        """
        self._db = db
        self._orgs = orgs
        self._live_calls = live_calls
        self._outlook = outlook
        self._plans = plans

    async def GetProgress(
        self, request: messages.GetProgressRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> messages.GetProgressResponse:
        """How far a run is."""
        found = await store.run_progress(self._db, _id(request.run_id, "run_id"))
        if found is None:
            raise HoldfastError(Kind.NOT_FOUND, "No extraction of this run is known.", code="unknown-run")
        run, rows = found
        objects = [self._object(row) for row in rows]
        calls = run["plan_calls"] + sum(item.api_calls for item in objects)
        waiting = self._outlook.waiting(run, rows)
        return messages.GetProgressResponse(
            state=state_of(run["state"], objects, waiting),
            waiting=waiting,
            forecast=await self._outlook.forecast(run, rows, calls),
            objects=objects,
            api_calls=calls,
            rows=sum(item.rows for item in objects),
            estimated_rows=sum(max(item.estimated_rows, item.rows) for item in objects),
            bytes=sum(item.bytes for item in objects),
            **await files_of_run(self._db, _id(request.run_id, "run_id")),
        )

    def _object(self, row: Record) -> messages.ObjectRead:
        return messages.ObjectRead(
            object=row["object"],
            state=_object_state(row["state"], row["holder"]),
            strategy=row["strategy"],
            estimated_rows=row["estimated_rows"],
            rows=row["rows"],
            bytes=row["bytes"],
            pages=row["pages"],
            api_calls=row["api_calls"] + self._live_calls(row["task_id"]),
        )

    async def ListObjects(
        self, request: messages.ListObjectsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> messages.ListObjectsResponse:
        """What an org offers to a backup; costs two API calls."""
        client = await self._orgs.client(_id(request.connection_id, "connection_id"))
        offered, counts = await asyncio.gather(client.describe_global(), client.record_counts())
        listed = []
        for entry in sorted(offered, key=lambda entry: entry.name):
            verdict = classify(entry)
            listed.append(
                messages.OrgObject(
                    name=entry.name,
                    label=entry.label,
                    recommended=verdict.recommended,
                    reason=verdict.reason,
                    rows=counts.get(entry.name, 0),
                    unreadable=not verdict.readable,
                    strategy=verdict.strategy,
                    strategy_detail=verdict.detail,
                    namespace=namespace_of(entry.name),
                    custom=entry.custom,
                )
            )
        return messages.ListObjectsResponse(objects=listed)

    async def CheckVisibility(
        self, request: messages.CheckVisibilityRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> messages.CheckVisibilityResponse:
        """What the user cannot see; about one call for a dozen objects."""
        connection_id = _id(request.connection_id, "connection_id")
        counter = count_calls()
        client = await self._orgs.client(connection_id)
        sight = await check(self._db, client, connection_id, list(request.objects), slots=DESCRIBES)
        return messages.CheckVisibilityResponse(warnings=sight.warnings, api_calls=counter.calls)

    async def PlanJob(
        self, request: messages.PlanJobRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> messages.PlanJobResponse:
        """How the next run of a job would read the org; three calls for a dozen small objects."""
        wanted = Wanted(
            _id(request.job_id, "job_id"),
            _id(request.connection_id, "connection_id"),
            tuple(request.objects),
            request.full,
        )
        return await self._plans.plan(wanted, request.api_limit_percent)


def _id(text: str, field: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise HoldfastError(Kind.INVALID, f"{field} is not an id.", field=field) from None


def _object_state(state: str, holder: str | None) -> str:
    if state != "waiting":
        return state
    return "reading" if holder else "waiting"
