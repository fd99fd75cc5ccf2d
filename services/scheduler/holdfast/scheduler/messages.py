"""Rows of the read models as the messages of the gRPC interface."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.common.contracts.differ import Proof
from holdfast.common.rpc.scheduler.v1 import scheduler_pb2 as pb
from holdfast.scheduler.store import Row

_ACTIVE = frozenset({"requested", "running"})
_RECORDS_WHOLE = frozenset({"completed", "partial"})


def job_message(job: Row, last_run: Row | None) -> pb.Job:
    """A job with its last run; its status is that of the run."""
    return pb.Job(
        id=str(job["job_id"]),
        name=job["name"],
        connection_id=str(job["connection_id"]),
        objects=list(job["objects"]),
        cron=job["cron"],
        time_zone=job["time_zone"],
        created_at=_stamp(job["created_at"]),
        next_run_at=_stamp(job["next_run_at"]),
        status=_status(last_run),
        last_run=run_message(last_run) if last_run else None,
        api_limit_percent=job["api_limit_percent"],
        warnings=list(job["warnings"]),
    )


def run_message(run: Row, objects: Iterable[Row] = ()) -> pb.Run:
    """A run, with its objects where they are asked for."""
    return pb.Run(
        id=str(run["run_id"]),
        job_id=str(run["job_id"]),
        number=run["number"],
        state=_state(run),
        trigger=run["trigger"],
        label=run["label"],
        requested_at=_stamp(run["requested_at"]),
        completed_at=_stamp(run["completed_at"]),
        counts=_counts(run),
        missing=[pb.Gap(object=gap["object"], reason=gap["reason"]) for gap in json.loads(run["missing"])],
        reason=run["reason"],
        objects=[_object_message(one) for one in objects],
        proof=pb.ProofSummary(proven=run["proven"], not_proven=run["not_proven"], mismatch=run["mismatched"]),
        notes=list(run["notes"]),
        api_limit_percent=run["api_limit_percent"],
        files=_files(run),
    )


def _object_message(row: Row) -> pb.ObjectProgress:
    return pb.ObjectProgress(
        object=row["object"],
        state=row["state"],
        mode=row["mode"],
        strategy=row["strategy"],
        estimated_rows=row["estimated_rows"],
        rows=row["rows"],
        api_calls=row["api_calls"],
        counts=_counts(row),
        reason=row["reason"],
        proof=_proof(row["proof"]),
        notes=list(row["notes"]),
    )


def _proof(body: str | None) -> pb.Proof | None:
    if body is None:
        return None
    proof = Proof.model_validate_json(body)
    return pb.Proof(**proof.model_dump(exclude={"at"}), at=_stamp(proof.at))


def _files(run: Row) -> pb.Files:
    return pb.Files(
        queued=run["files_queued"],
        stored=run["files_stored"],
        failed=run["files_failed"],
        bytes=run["files_bytes"],
        missing=list(run["files_missing"]),
        doubted=list(run["files_doubted"]),
    )


def _counts(row: Row) -> pb.Counts:
    return pb.Counts(
        captured=row["captured"],
        created=row["created"],
        updated=row["updated"],
        touched=row["touched"],
        deleted=row["deleted"],
        undeleted=row["undeleted"],
    )


def _status(last_run: Row | None) -> str:
    if last_run is None:
        return "pending first run"
    state = _state(last_run)
    if state in _RECORDS_WHOLE and last_run["files_stored"] + last_run["files_failed"] < last_run["files_queued"]:
        return "record data complete"
    return "running" if state in _ACTIVE else state


def _state(run: Row) -> str:
    return "paused" if run["paused"] else str(run["state"])


def _stamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
