"""What changed: per object of a run, per record of an object, and over the life of a record."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from holdfast.common.rpc.history.v1 import history_pb2
from holdfast.gateway.models.base import Resource, moment

Operation = Literal["captured", "created", "updated", "touched", "deleted", "undeleted", "unseen"]


class ObjectChanges(Resource):
    """What a run changed in one object."""

    object: str = Field(examples=["Contact"])
    captured: int
    created: int
    updated: int
    touched: int
    deleted: int
    undeleted: int
    unseen: int = Field(description="Not returned by a full read, without evidence that they were deleted.")
    rows_read: int
    bytes_written: int
    table: str = Field(description="Where the Delta table stands.")
    version: int = Field(description="Version of the Delta table that holds this run.")

    @classmethod
    def of(cls, found: history_pb2.ObjectChanges) -> ObjectChanges:
        return cls(
            object=found.object,
            captured=found.captured,
            created=found.created,
            updated=found.updated,
            touched=found.touched,
            deleted=found.deleted,
            undeleted=found.undeleted,
            unseen=found.unseen,
            rows_read=found.rows_read,
            bytes_written=found.bytes_written,
            table=found.table,
            version=found.version,
        )


class RunChanges(Resource):
    """Changes of a run, per object."""

    run_id: str
    job_id: str
    run: int
    objects: list[ObjectChanges]

    @classmethod
    def of(cls, found: history_pb2.SummarizeChangesResponse) -> RunChanges:
        objects = [ObjectChanges.of(each) for each in found.objects]
        return cls(run_id=found.run_id, job_id=found.job_id, run=found.run, objects=objects)


class FieldChange(Resource):
    """A field before and after. Null: empty."""

    field: str = Field(examples=["LastName"])
    before: str | None
    after: str | None


class RecordVersion(Resource):
    """What one run saw happen to one record."""

    event_id: str
    record_id: str = Field(examples=["0035g00000XyZaBAAV"])
    label: str = Field(description="The record's Name, or the nearest thing to it.")
    operation: str = Field(examples=["updated"])
    run: int
    observed_at: datetime | None
    modified_at: datetime | None = Field(description="The record's SystemModstamp.")
    fields: list[FieldChange]
    merged_into: str | None = Field(description="The record that this one was merged into.")

    @classmethod
    def of(cls, found: history_pb2.RecordVersion) -> RecordVersion:
        return cls(
            event_id=found.event_id,
            record_id=found.record_id,
            label=found.label,
            operation=found.operation,
            run=found.run,
            observed_at=moment(found.observed_at),
            modified_at=moment(found.modified_at),
            fields=[_field(each) for each in found.fields],
            merged_into=found.merged_into or None,
        )


class LastProven(Resource):
    """When an object was last held against the org and found whole."""

    run: int
    checked: str = Field(description="`count`, `ids` or `ids and stamps`.")
    at: datetime | None

    @classmethod
    def of(cls, found: history_pb2.LastProven) -> LastProven:
        return cls(run=found.run, checked=found.checked, at=moment(found.at))


class RecordHistory(Resource):
    """Every version of one record, oldest first."""

    job_id: str
    object: str
    record_id: str
    versions: list[RecordVersion]
    last_proven: LastProven | None = Field(default=None, description="Of the record's object; null if it never was.")


def _field(found: history_pb2.FieldChange) -> FieldChange:
    return FieldChange(
        field=found.field,
        before=found.before if found.HasField("before") else None,
        after=found.after if found.HasField("after") else None,
    )
