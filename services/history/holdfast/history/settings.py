"""Settings of the history service, beside those that every service has."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from holdfast.common.settings import Settings


class HistorySettings(Settings):
    """How long history waits for its peers."""

    history_peer_timeout: timedelta = Field(
        default=timedelta(seconds=15),
        gt=timedelta(0),
        le=timedelta(minutes=5),
        description="Wait for an answer of differ or scheduler; both read rows of Postgres only.",
    )
