"""The one ledger of an org's calls: nobody passes a limit, nobody starves, a dead process holds nothing for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.common.errors import HoldfastError
from holdfast.connections.budget import Budget, share_of_slots

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
NOON = NOW.replace(minute=0)


def test_ceilings_keep_the_restore_reserve_and_put_files_last() -> None:
    budget = Budget(used=0, limit=100_000, held=0, fresh=True)
    stops = {purpose: budget.ceiling(purpose, 80, 5) for purpose in ("files", "census", "records", "restore")}
    assert stops == {"files": 72_000, "census": 76_000, "records": 80_000, "restore": 100_000}
    assert budget.ceiling("records", 100, 5) == 95_000, "the reserve is nobody's but the restores'"


@given(
    used=st.integers(0, 2000),
    held=st.integers(0, 2000),
    limit=st.integers(1, 2000),
    percent=st.integers(1, 100),
    wanted=st.integers(0, 500),
    fresh=st.booleans(),
)
def test_what_is_granted_never_passes_the_ceiling(**known: Any) -> None:
    percent, wanted = known.pop("percent"), known.pop("wanted")
    budget = Budget(**known)
    ceiling = budget.ceiling("records", percent, 5)
    granted = budget.granted(wanted, ceiling)
    assert 0 <= granted <= wanted
    assert granted == 0 or budget.used + budget.held + granted <= ceiling


def test_an_org_not_heard_of_is_asked_with_few_calls() -> None:
    assert Budget(used=0, limit=0, held=0, fresh=False).granted(200, 0) == 10
    assert Budget(used=0, limit=100_000, held=0, fresh=False).granted(200, 80_000) == 10
    assert Budget(used=0, limit=100_000, held=0, fresh=True).granted(200, 80_000) == 200


def test_free_again_when_enough_of_our_own_calls_are_older_than_a_day() -> None:
    own = [(NOON - timedelta(hours=20), 30), (NOON - timedelta(hours=5), 100)]
    budget = Budget(used=820, limit=1000, held=0, fresh=True, own=own)
    assert budget.free_at(800, NOW) == NOON + timedelta(hours=5), "21 calls too many: those of 20 hours ago do"
    assert Budget(900, 1000, 0, fresh=True, own=own).free_at(800, NOW) == NOON + timedelta(hours=20)
    assert Budget(990, 1000, 0, fresh=True, own=own).free_at(800, NOW) is None, "the others' calls: nobody knows"
    assert Budget(10, 1000, 0, fresh=True, own=own).free_at(800, NOW) == NOW


@given(st.integers(1, 30), st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_slots_are_shared_and_nobody_starves(limit: int, wants: list[int]) -> None:
    held = [0] * len(wants)
    for _ in range(4):  # each process asks now and then
        for me, wanted in enumerate(wants):
            others = [(wants[n], held[n]) for n in range(len(wants)) if n != me]
            held[me] = share_of_slots(limit, wanted, others)
            assert sum(held) <= limit
    fair = limit // len(wants)
    assert all(got >= min(wanted, fair) for got, wanted in zip(held, wants, strict=True))


# On a real Postgres, with a real org

integration = pytest.mark.integration


async def wish(service: Any, connection: str, caller: str = "a", **values: Any) -> Any:
    asked = {"purpose": "records", "api_limit_percent": 80, "wanted_calls": 20, "wanted_slots": 4} | values
    return await service.ask("ReserveCalls", connection_id=connection, caller=caller, **asked)


@pytest.fixture
async def org_of_1000(service: Any) -> AsyncIterator[str]:
    """A connection to an org that allows 1,000 calls a day, of which 700 are used."""
    connection = (await service.add()).id
    service.org.limits(maximum=1000, used=700)
    await service.ask("ReportUsage", connection_id=connection, calls=1, used=700, limit=1000)
    yield str(connection)
    service.org.limits(maximum=100_000, used=0)


@integration
async def test_many_processes_together_never_pass_the_limit(service: Any, org_of_1000: str) -> None:
    answers = await asyncio.gather(*(wish(service, org_of_1000, f"p{n}", wanted_slots=1) for n in range(30)))
    granted = sum(answer.granted_calls for answer in answers)
    assert 90 <= granted <= 100, "700 used, 80 % of 1,000: hundred are left, and nearly all are given out"
    refused = next(answer for answer in answers if not answer.granted_calls)
    assert refused.ask_again_in_ms == 2000, "others hold them: they are used or free in moments"
    # Those who have calls use them. No answer told the usage: the calls count all the same, and are no longer held.
    for n, answer in enumerate(answers):
        await service.ask("ReportUsage", connection_id=org_of_1000, caller=f"p{n}", calls=answer.granted_calls)
    standing = await service.ask("GetBudget", connection_id=org_of_1000, purpose="records", api_limit_percent=80)
    assert (standing.used_calls, standing.left_calls) == (700 + granted, 100 - granted)


@integration
async def test_at_the_limit_it_says_until_when_and_why(service: Any, org_of_1000: str) -> None:
    service.org.limits(maximum=1000, used=800)  # so says the org when it is asked
    await service.ask("ReportUsage", connection_id=org_of_1000, calls=60, used=800, limit=1000)
    before = await asked_limits(service)
    full = await wish(service, org_of_1000)
    assert (full.granted_calls, full.ask_again_in_ms) == (0, 15 * 60 * 1000)
    assert full.reason.endswith("of the org's 1,000 API calls of 24 hours are used, and the job stops at 80 %.")
    until = full.free_at.ToDatetime(UTC) - service.clock.now()
    assert timedelta(hours=24) < until <= timedelta(hours=25), "when the calls of this hour are a day old"
    assert await asked_limits(service) == before + 1
    await wish(service, org_of_1000)
    assert await asked_limits(service) == before + 1, "the org is asked once in a quarter of an hour"
    restore = await wish(service, org_of_1000, "restorer", purpose="restore")
    assert restore.granted_calls == 20, "restores go on"
    service.clock.ahead = timedelta(minutes=16)
    service.org.limits(maximum=1000, used=100)
    assert (await wish(service, org_of_1000)).granted_calls == 20, "the others' calls are a day old: on it goes"


async def asked_limits(service: Any) -> int:
    return sum(route["calls"] for route in service.org.calls()["routes"] if route["route"].endswith("/limits"))


@integration
async def test_calls_of_a_dead_process_are_free_after_its_term_and_unused_ones_at_once(
    service: Any, org_of_1000: str
) -> None:
    first = await wish(service, org_of_1000, "dead", wanted_calls=50, wanted_slots=5)
    assert (first.granted_calls, first.slots) == (50, 5)
    others = await wish(service, org_of_1000, "b", wanted_calls=100)
    assert (others.granted_calls, others.slots) == (25, 0), "a developer org takes five requests at once"
    service.clock.ahead = timedelta(seconds=61)
    await service.ask("ReportUsage", connection_id=org_of_1000, calls=0, used=700, limit=1000)
    alone = await wish(service, org_of_1000, "b", wanted_calls=100, held_calls=25)
    assert (alone.granted_calls, alone.slots) == (50, 4)
    again = await wish(service, org_of_1000, "b", wanted_calls=100, held_calls=0)
    assert again.granted_calls == 50, "what it no longer holds is there again, were it that an answer got lost"
    kept = await wish(service, org_of_1000, "b", wanted_calls=100, held_calls=50)
    assert kept.granted_calls == 25


@integration
async def test_a_process_that_starts_again_does_not_wait_for_what_it_held_before(
    service: Any, org_of_1000: str
) -> None:
    await wish(service, org_of_1000, "one/first life", wanted_calls=100, wanted_slots=5)
    again = await wish(service, org_of_1000, "one/second life", wanted_calls=100, wanted_slots=5)
    assert (again.granted_calls, again.slots) == (50, 5), "half of what is left, as for a first life"
    other = await wish(service, org_of_1000, "another/first life", wanted_calls=100, wanted_slots=5)
    assert other.slots == 0, "what another process holds stays its own"


@integration
async def test_what_the_org_refuses_is_used_up_until_it_says_otherwise(service: Any, org_of_1000: str) -> None:
    service.org.faults({"path": "/limits/?$", "count": None, "effect": {"error": "REQUEST_LIMIT_EXCEEDED"}})
    await service.ask("ReportUsage", connection_id=org_of_1000, calls=1, exhausted="calls")
    refused = await wish(service, org_of_1000)
    assert refused.granted_calls == 0 and "so that it takes no more" in refused.reason
    await service.ask("ReportUsage", connection_id=org_of_1000, exhausted="bulk-jobs")
    assert (await wish(service, org_of_1000)).bulk_wait_ms > 14 * 60 * 1000
    service.org.clear_faults()


@integration
async def test_an_older_report_does_not_undo_a_newer_one(service: Any, org_of_1000: str) -> None:
    old = service.clock.now() - timedelta(seconds=30)
    await service.ask("ReportUsage", connection_id=org_of_1000, calls=1, used=10, limit=1000, observed_at=old)
    standing = await service.ask("GetBudget", connection_id=org_of_1000, purpose="records", api_limit_percent=80)
    assert (standing.used_calls, standing.ceiling_calls, standing.left_calls) == (700, 800, 100)
    assert standing.own_calls >= 2


@integration
async def test_senseless_wishes_are_refused(service: Any, org_of_1000: str) -> None:
    for wrong in ({"purpose": "fun"}, {"wanted_calls": -1}, {"caller": ""}, {"api_limit_percent": 101}):
        with pytest.raises(HoldfastError):
            await wish(service, org_of_1000, **wrong)
