"""Settings of the scheduler, beside those that every service has."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from holdfast.common.settings import Settings


class SchedulerSettings(Settings):
    """How the scheduler looks for due slots and how long it waits for its peers."""

    scheduler_slot_poll: timedelta = Field(
        default=timedelta(seconds=1),
        gt=timedelta(0),
        le=timedelta(minutes=1),
        description="How often due slots are looked for. Slots are whole minutes: a second late is on time.",
    )
    scheduler_slot_lease: timedelta = Field(
        default=timedelta(seconds=15),
        ge=timedelta(seconds=3),
        le=timedelta(minutes=5),
        description="How long a dead scheduler keeps others from firing slots; a live one renews it.",
    )
    scheduler_peer_timeout: timedelta = Field(
        default=timedelta(seconds=30),
        gt=timedelta(0),
        le=timedelta(minutes=5),
        description="Wait for an answer of a peer. Listing an org's objects asks Salesforce for a describe.",
    )
    scheduler_run_silence: timedelta = Field(
        default=timedelta(hours=24),
        gt=timedelta(0),
        le=timedelta(days=365),
        description="A run that has not ended and of which nothing was heard for so long is named in log and health.",
    )
