"""Settings of the connections service, beside those that every service has."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from holdfast.common.settings import Settings


class ConnectionsSettings(Settings):
    """How patient the service is with an org that refuses it, and how often it speaks of budgets."""

    connections_broken_pause: timedelta = Field(
        default=timedelta(minutes=15),
        ge=timedelta(0),
        le=timedelta(days=1),
        description="After refused credentials, how long until they are tried once more without anyone "
        "asking. Salesforce locks users out after repeated wrong sign-ins, so this is not short.",
    )
    connections_budget_interval: timedelta = Field(
        default=timedelta(minutes=1),
        ge=timedelta(0),
        le=timedelta(hours=1),
        description="At most one budget event per org in this time: a run reports usage every few calls.",
    )
    connections_budget_recheck: timedelta = Field(
        default=timedelta(minutes=15),
        ge=timedelta(seconds=1),
        le=timedelta(hours=1),
        description="How often an org whose calls are used up is asked whether there are some again: the window of "
        "24 hours rolls, so that some come back all the time, and 96 calls a day are a fair price to know.",
    )
    connections_restore_reserve_percent: int = Field(
        default=5,
        ge=0,
        le=50,
        description="Share of an org's daily calls that is kept from everything but restores: a restore is needed "
        "when things went wrong, and must not wait for a day.",
    )
