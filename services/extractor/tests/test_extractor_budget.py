"""When a run ends that the budget slows down; and the gate: what it costs, and that nothing passes it unasked."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from holdfast.common.clock import ManualClock, SystemClock
from holdfast.common.errors import HoldfastError, Kind
from holdfast.extractor.budget import BudgetSpentError, Gate, Granted, Wish, spend_for
from holdfast.extractor.forecast import Standing, forecast
from holdfast.salesforce.errors import refusal

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ORG = UUID(int=1)


def test_the_budget_decides_when_a_large_baseline_ends() -> None:
    standing = Standing(used=20_000, limit=100_000, own=10_000, ceiling=40_000, left=20_000)
    found = forecast(110_000, 10_000, HOUR, standing, 40, NOW)
    assert found.ends_at == NOW + 3 * DAY, "20,000 now, then 30,000 a day: the others take 10,000 of the 40,000"
    assert found.sentence.startswith("The run ends in about 3 days at 40 %: 110,000 more calls, 20,000 of them now")


def test_a_run_that_fits_ends_by_its_own_rate() -> None:
    standing = Standing(used=0, limit=100_000, own=0, ceiling=80_000, left=80_000)
    assert forecast(300, 100, HOUR, standing, 80, NOW).ends_at == NOW + 3 * HOUR
    assert forecast(300, 0, HOUR, standing, 80, NOW).ends_at is None
    unknown = Standing(used=0, limit=0, own=0, ceiling=0, left=0)
    assert forecast(300, 100, HOUR, unknown, 80, NOW).sentence == ""


def test_nobody_can_tell_when_others_use_it_all() -> None:
    standing = Standing(used=50_000, limit=100_000, own=0, ceiling=40_000, left=0)
    found = forecast(10, 100, HOUR, standing, 40, NOW)
    assert found.ends_at is None and found.sentence.startswith("Others used 50,000 of the org's 100,000 calls")


class Ledger:
    """Grants what the test says, and notes what it is asked."""

    def __init__(self, *answers: Granted | HoldfastError) -> None:
        self.answers = list(answers)
        self.wishes: list[Wish] = []
        self.refused: list[str] = []

    async def reserve(self, wish: Wish) -> Granted:
        self.wishes.append(wish)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, HoldfastError):
            raise answer
        return answer

    def exhausted(self, connection_id: UUID, what: Any) -> None:
        self.refused.append(what)

    async def report(self) -> bool:
        return False

    def unreported(self, connection_id: UUID) -> int:
        return 0


def granted(calls: int, slots: int = 8, **more: Any) -> Granted:
    return Granted(calls, slots, timedelta(minutes=1), **more)


def gate(ledger: Ledger, clock: Any = None) -> Gate:
    return Gate(ledger, clock or ManualClock(NOW), ORG, "me", 8)


async def call(one: Gate, times: int = 1) -> None:
    for _ in range(times):
        async with one.admission("GET", "query"):
            pass


async def test_calls_are_taken_without_a_question_each() -> None:
    ledger = Ledger(granted(20), granted(40), granted(80))
    one = gate(ledger)
    await call(one, 60)
    assert [wish.calls for wish in ledger.wishes] == [20, 40], "a batch that was too small grows"
    spend_for(UUID(int=5), 40, "files")
    await call(one)
    assert ledger.wishes[-1].spending == (UUID(int=5), 40, "files"), "calls of one limit are not those of another"


async def test_the_gate_costs_microseconds() -> None:
    one = gate(Ledger(granted(1_000_000)), SystemClock())
    await call(one)
    began = time.perf_counter()
    await call(one, 20_000)
    each_us = (time.perf_counter() - began) / 20_000 * 1e6
    print(f"gate: {each_us:.1f} us per call")
    assert each_us < 100


async def test_what_is_not_used_in_time_is_given_back_and_not_used() -> None:
    clock = ManualClock(NOW)
    ledger = Ledger(granted(20))
    one = gate(ledger, clock)
    await call(one, 5)
    clock.advance(timedelta(seconds=40))
    one.renewed(clock.monotonic())
    clock.advance(timedelta(seconds=40))
    await call(one, 5)
    assert len(ledger.wishes) == 1, "a report renewed it"
    clock.advance(timedelta(seconds=56))
    await call(one)
    assert [wish.held for wish in ledger.wishes] == [0, 0], "they are free for others"


async def test_a_short_wait_is_waited_out_and_a_long_one_refuses_every_call() -> None:
    clock = ManualClock(NOW)
    short = granted(0, pause=timedelta(seconds=2))
    ledger = Ledger(
        short, granted(1), granted(0, pause=15 * timedelta(minutes=1), reason="Used up.", free_at=NOW + DAY)
    )
    one = gate(ledger, clock)
    await call(one)
    assert clock.now() == NOW + timedelta(seconds=2)
    for _ in range(3):
        with pytest.raises(BudgetSpentError) as spent:
            await call(one)
        assert (spent.value.kind, spent.value.message, spent.value.free_at) == (Kind.LIMIT, "Used up.", NOW + DAY)
        assert spent.value.retry_after is not None and spent.value.retry_after > timedelta(minutes=14)
    assert len(ledger.wishes) == 3, "the refusal holds without asking again"
    ledger.answers = [granted(5)]
    clock.advance(timedelta(minutes=15))
    await call(one, 5)


async def test_slots_are_never_passed_and_everybody_gets_a_turn() -> None:
    one = gate(Ledger(granted(500, slots=3)), SystemClock())
    under_way, most = 0, 0

    async def work() -> None:
        nonlocal under_way, most
        async with one.admission("GET", "query"):
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.001)
            under_way -= 1

    async with asyncio.timeout(20):
        await asyncio.gather(*(work() for _ in range(50)))
        # Whoever is cancelled while it waits takes nobody's turn.
        tasks = [asyncio.create_task(work()) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[3:6]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(work() for _ in range(10)))
    assert most == 3


async def test_what_the_org_refuses_is_told_and_the_ledger_asked_before_the_next_call() -> None:
    ledger = Ledger(granted(20))
    one = gate(ledger)
    error = refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    with pytest.raises(HoldfastError):
        async with one.admission("GET", "query"):
            raise error
    await call(one)
    assert (ledger.refused, len(ledger.wishes), ledger.wishes[1].held) == (["calls"], 2, 0)
    with pytest.raises(HoldfastError):
        async with one.admission("POST", "jobs/query"):
            raise refusal(400, "EXCEEDEDQUOTA", "Max bulk v2 query jobs (10000) per 24 hrs has been reached")
    assert ledger.refused == ["calls", "bulk-jobs"]
    ledger.answers = [granted(20, bulk_wait=timedelta(minutes=9))]
    await call(one)
    with pytest.raises(BudgetSpentError):
        async with one.admission("POST", "jobs/query"):
            pass
    await call(one)


async def test_while_the_ledger_cannot_be_asked_a_process_calls_on_credit_but_not_for_ever() -> None:
    down = HoldfastError(Kind.UNAVAILABLE, "connections is down.")
    ledger = Ledger(granted(1, left=5000), down)
    one = gate(ledger)
    await call(one, 101)
    with pytest.raises(HoldfastError) as refused:
        await call(one)
    assert refused.value is down
    unknown = gate(Ledger(down))
    with pytest.raises(HoldfastError):
        await call(unknown)


async def test_near_the_limit_a_process_does_not_wait_for_what_it_holds_itself() -> None:
    ledger = Ledger(granted(20), granted(0, pause=timedelta(seconds=2)), granted(5))
    one = gate(ledger)
    await call(one)
    spend_for(UUID(int=5), 40)
    await call(one)
    assert [wish.held for wish in ledger.wishes] == [0, 19, 0]


async def test_short_waits_without_end_become_one_that_people_see() -> None:
    clock = ManualClock(NOW)
    one = gate(Ledger(granted(0, pause=timedelta(seconds=2), reason="Others hold the rest.")), clock)
    with pytest.raises(BudgetSpentError) as spent:
        await call(one)
    assert spent.value.message == "Others hold the rest."
    assert timedelta(seconds=18) <= clock.now() - NOW < timedelta(seconds=30)
