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
        default=timedelta(seconds=20),
        description="Deadline of one internal call; adding a connection signs in at Salesforce first.",
    )
    verify_timeout: timedelta = Field(
        default=timedelta(hours=12),
        description="Deadline of one verification, which reads every byte of a job.",
    )
