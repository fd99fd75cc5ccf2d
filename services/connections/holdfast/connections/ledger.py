"""The budgets in the database: what orgs said, what is granted. Statements are in `queries.sql`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.common.postgres import Unit
from holdfast.connections.budget import Budget
from holdfast.connections.store import SQL


@dataclass(frozen=True)
class Grant:
    """What a process holds of an org."""

    calls: int
    slots: int
    wanted_slots: int


@dataclass(frozen=True)
class Org:
    """An org's budget, locked until the unit ends.

    Attributes:
        grants: By caller.
        bulk_until: The org takes no new Bulk query job before; None: it does.
    """

    budget: Budget
    long_requests: int
    grants: dict[str, Grant]
    bulk_until: datetime | None


async def lock_org(unit: Unit, organization_id: str, now: datetime, fresh_for: timedelta, caller: str = "") -> Org:
    """The budget of an org as it stands now; grants that expired, or that `caller` had in an earlier life, are gone."""
    row = await unit.fetchrow(SQL.lock_budget, organization_id)
    await unit.execute(SQL.drop_expired_grants, organization_id, now)
    await unit.execute(SQL.drop_grants_of_earlier_lives, organization_id, caller)
    grants = {
        found["caller"]: Grant(found["calls"], found["slots"], found["wanted_slots"])
        for found in await unit.fetch(SQL.grants, organization_id, now)
    }
    held = sum(grant.calls for grant in grants.values())
    if row is None:
        return Org(Budget(0, 0, held, fresh=False), 25, grants, None)
    own = [(found["hour"], found["calls"]) for found in await unit.fetch(SQL.own_hours, organization_id, now)]
    fresh = bool(row["observed_at"] > now - fresh_for)
    budget = Budget(row["used_calls"], row["limit_calls"], held, fresh, own)
    return Org(budget, row["long_requests"], grants, row["bulk_until"])


async def put_grant(unit: Unit, organization_id: str, caller: str, grant: Grant, until: datetime) -> None:
    """The caller holds this until then."""
    await unit.execute(SQL.put_grant, organization_id, caller, grant.calls, grant.slots, grant.wanted_slots, until)


async def use_grant(unit: Unit, organization_id: str, caller: str, calls: int, until: datetime, now: datetime) -> None:
    """The caller made calls; what it still holds, it holds until then."""
    await unit.execute(SQL.use_grant, organization_id, caller, calls, until, now)


async def may_ask(unit: Unit, organization_id: str, now: datetime, pause: timedelta) -> bool:
    """Whether the org's limits may be asked for now; if so, nobody else may for `pause`."""
    return bool(await unit.fetchval(SQL.note_asked, organization_id, now, pause))


async def add_unseen_calls(unit: Unit, organization_id: str, calls: int) -> None:
    """Calls were made, and no answer told the usage."""
    await unit.execute(SQL.add_unseen_calls, organization_id, calls)


async def exhaust(unit: Unit, organization_id: str, now: datetime) -> None:
    """The org refused a call because its calls are used up."""
    await unit.execute(SQL.exhaust_calls, organization_id, now)


async def exhaust_bulk_jobs(unit: Unit, organization_id: str, until: datetime) -> None:
    """The org takes no new Bulk query job."""
    await unit.execute(SQL.exhaust_bulk_jobs, organization_id, until)


async def set_long_requests(unit: Unit, organization_id: str, long_requests: int) -> None:
    """How many requests the org takes at once."""
    await unit.execute(SQL.set_long_requests, organization_id, long_requests)
