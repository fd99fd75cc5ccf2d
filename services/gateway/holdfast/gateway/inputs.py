"""What a client may send, as types: names, ids, keys. Each is bounded and free of control characters."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Header, Path
from pydantic import StringConstraints

from holdfast.common.errors import HoldfastError, Kind

# A name stands in URLs and in `JOB#3`, hence no slash, hash or question mark; no blank at either end.
_NAME = r"^[^\x00-\x20\x7f/#?\u00a0]([^\x00-\x1f\x7f/#?]*[^\x00-\x20\x7f/#?\u00a0])?$"
_OBJECT = r"^[A-Za-z][A-Za-z0-9_]*$"
_RECORD = r"^([A-Za-z0-9]{15}([A-Za-z0-9]{3})?|key-[0-9a-f]{16})$"
_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"

Name = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=_NAME)]
ObjectName = Annotated[str, StringConstraints(max_length=100, pattern=_OBJECT)]
Line = Annotated[str, StringConstraints(max_length=255, pattern=_PRINTABLE)]

ConnectionRef = Annotated[str, Path(min_length=1, max_length=80, pattern=_NAME, description="Id or name.")]
JobRef = Annotated[str, Path(min_length=1, max_length=80, pattern=_NAME, description="Id or name.")]
RunRef = Annotated[str, Path(min_length=1, max_length=80, pattern=_PRINTABLE, description="Id of a run.")]
VerificationRef = Annotated[str, Path(min_length=1, max_length=80, pattern=_PRINTABLE)]
ObjectRef = Annotated[str, Path(max_length=100, pattern=_OBJECT, description="API name of an object.")]
RecordRef = Annotated[str, Path(pattern=_RECORD, description="Salesforce id, or `key-…` of a big object's record.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Repeat a command with the same key and body, and it happens once.",
    ),
]


def run_id(ref: str) -> str:
    """The id of a run as the services write it.

    Raises:
        HoldfastError: NOT_FOUND: no run can have this id.
    """
    try:
        return str(UUID(ref))
    except ValueError:
        raise HoldfastError(Kind.NOT_FOUND, f"There is no run '{ref}'.", code="run-not-found") from None
