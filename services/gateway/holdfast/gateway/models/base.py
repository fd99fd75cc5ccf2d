"""What every resource shares."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, ConfigDict


class Command(BaseModel):
    """What a client asks for. An unknown field is a mistake and is refused."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)


class Resource(BaseModel):
    """What the API answers with."""

    model_config = ConfigDict(extra="forbid")


def moment(stamp: Timestamp) -> datetime | None:
    """A protobuf time as an aware UTC time; None where it is not set."""
    if not stamp.seconds and not stamp.nanos:
        return None
    return stamp.ToDatetime(tzinfo=UTC)
