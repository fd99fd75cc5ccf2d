"""Versions of records and rows of the read models as the messages of the gRPC interface."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.common.rpc.history.v1 import history_pb2 as pb
from holdfast.history.labels import label_of
from holdfast.history.store import Row
from holdfast.vault.reading import RecordVersion, Values


def object_changes(row: Row) -> pb.ObjectChanges:
    """What a run did to one object."""
    return pb.ObjectChanges(
        object=row["object"],
        captured=row["captured"],
        created=row["created"],
        updated=row["updated"],
        touched=row["touched"],
        deleted=row["deleted"],
        undeleted=row["undeleted"],
        unseen=row["unseen"],
        rows_read=row["rows_read"],
        bytes_written=row["bytes_written"],
        table=row["table_path"],
        version=row["version"],
    )


def last_proven(row: Row) -> pb.LastProven:
    """When an object was last proven."""
    return pb.LastProven(run=row["run"], checked=row["checked"], at=_stamp(row["at"]))


def record_version(version: RecordVersion) -> pb.RecordVersion:
    """One event of a record, with the fields that it is about."""
    return pb.RecordVersion(
        event_id=version.event_id,
        record_id=version.record_id,
        operation=version.operation,
        run=version.run,
        observed_at=_stamp(version.observed_at),
        modified_at=_stamp(version.modified_at) if version.modified_at else None,
        fields=list(_fields(version)),
        merged_into=version.merged_into or "",
        label=label_of(version.after) or label_of(version.before or {}),
    )


def file_head(sha256: str, size: int, stamp: datetime | None) -> pb.ReadFileResponse:
    """What a file is, before its bytes."""
    return pb.ReadFileResponse(sha256=sha256, bytes=size, modified_at=_stamp(stamp) if stamp else None)


def _fields(version: RecordVersion) -> Iterable[pb.FieldChange]:
    """A new record shows its values, a deleted one what it had, any other what moved; nulls are left out."""
    if version.operation == "deleted":
        return (pb.FieldChange(field=name, before=text) for name, text in _shown(version.before or version.after))
    if version.before is None:
        return (pb.FieldChange(field=name, after=text) for name, text in _shown(version.after))
    names = version.changed or _moved(version.before, version.after)
    return (
        pb.FieldChange(field=name, before=version.before.get(name), after=version.after.get(name)) for name in names
    )


def _shown(values: Values) -> list[tuple[str, str]]:
    """What there is to show of a record, without its id, which is shown anyway."""
    return [(name, text) for name, text in sorted(values.items()) if text is not None and name != "Id"]


def _moved(before: Values, after: Values) -> list[str]:
    """Fields that differ; of a record that was only touched those are its stamps."""
    return [name for name in sorted(after) if after[name] != before.get(name)]


def _stamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
