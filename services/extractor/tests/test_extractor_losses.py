"""What was read and then lost on its way into the vault is read again, and whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from holdfast.common.contracts.differ import ObjectGivenUp
from holdfast.extractor import store
from holdfast.extractor.steps import LOSS_NOTED
from holdfast.orgsim.testing import RunningOrg

pytestmark = pytest.mark.integration
Make = Callable[..., Any]


def define(org: RunningOrg, name: str) -> None:
    org.define(name, [], [{"Name": f"{n}"} for n in range(5)])


async def read(one: Any, thing: str) -> tuple[str, int]:
    """Run the job; mode and rows of the object."""
    events = await one.run(thing)
    body = next(body for kind, body in events if kind == "object.extracted")
    return body["mode"], body["rows"]


async def lose(one: Any, thing: str, run: int) -> None:
    event = ObjectGivenUp(job_id=one.job_id, run_id=UUID(int=run), run=run, object=thing, reason="r", code="damaged")
    for _ in range(2):  # Kafka may deliver it twice
        await one.db.run(LOSS_NOTED, lambda unit: store.note_loss(unit, event))


async def test_after_a_lost_incremental_everything_is_read_once(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing)
    one = harness()
    assert [(await read(one, thing))[0] for _ in range(2)] == ["baseline", "incremental"]
    await lose(one, thing, 2)
    assert await read(one, thing) == ("full", 5)
    assert (await read(one, thing))[0] == "incremental"


async def test_a_lost_baseline_is_one_again(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing)
    one = harness()
    await read(one, thing)
    await lose(one, thing, 1)
    assert await read(one, thing) == ("baseline", 5)
    await lose(one, thing, 2)
    assert await read(one, thing) == ("baseline", 5)
    assert (await read(one, thing))[0] == "incremental"


async def test_a_loss_that_is_heard_of_a_run_too_late_is_made_good_all_the_same(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing)
    one = harness()
    assert [(await read(one, thing))[0] for _ in range(3)] == ["baseline", "incremental", "incremental"]
    await lose(one, thing, 2)
    assert (await read(one, thing))[0] == "full"
    await lose(one, thing, 4)
    assert (await read(one, thing))[0] == "full", "that whole reading was lost too"
    assert (await read(one, thing))[0] == "incremental"


async def test_a_loss_before_the_reading_is_over_counts(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing)
    one = harness()
    await lose(one, thing, 1)
    assert (await read(one, thing))[0] == "baseline"
    assert (await read(one, thing))[0] == "baseline"


async def test_other_objects_and_jobs_keep_their_marks(
    org: RunningOrg, harness: Make, own: Callable[[str], str]
) -> None:
    for name in (own("Lost"), own("Kept")):
        define(org, name)
    one = harness()
    await one.run(own("Lost"), own("Kept"))
    await lose(one, own("Lost"), 1)
    events = await one.run(own("Lost"), own("Kept"))
    modes = {body["object"]: body["mode"] for kind, body in events if kind == "object.extracted"}
    assert modes == {own("Lost"): "baseline", own("Kept"): "incremental"}
