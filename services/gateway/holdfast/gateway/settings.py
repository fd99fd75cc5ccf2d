"""Settings of the gateway."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from holdfast.common.settings import Settings


class GatewaySettings(Settings):
    """What the gateway needs beyond the settings of every service."""

    max_body_bytes: int = Field(
        default=1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        description="Largest request body, bytes. The largest command names 2,000 objects (200 KB).",
    )
    call_timeout: timedelta = Field(
        default=timedelta(seconds=15),
        description="Deadline of one internal call, which waits for Postgres or reads files.",
    )
    org_timeout: timedelta = Field(
        default=timedelta(seconds=90),
        description="Deadline of one internal call that waits for Salesforce, whose own time-outs end before this.",
    )
    verify_timeout: timedelta = Field(
        default=timedelta(hours=23),
        description="Deadline of one verification, which reads every byte of a job; services refuse over 24 h.",
    )
