"""A list of all that lives, after a reading in ranges of ids: the ranges were the reading's own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from test_extractor_passes import CENSUS_DUE, Make, again, define, extracted, pages_of, read

from holdfast.common.errors import HoldfastError, Kind
from holdfast.extractor import worker
from holdfast.extractor.steps import PASS_BEGUN
from holdfast.orgsim.testing import RunningOrg

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("killed", [False, True], ids=["in one go", "taken over"])
async def test_a_census_after_a_reading_in_ranges_lists_all(
    org: RunningOrg, harness: Make, thing: str, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    define(org, thing, 40)
    one = harness(**CENSUS_DUE, extractor_overlap=timedelta(days=1))
    await one.run(thing)
    # Asked for together with others, then alone.
    org.faults({"path": f"queryAll.*(%2C|,).*{thing}", "count": 2, "effect": {"error": "QUERY_TIMEOUT"}})
    if killed:
        real = worker.begin_part

        async def dies(db: Any, claim: Any, part: Any, settings: Any) -> Any:
            begun = await real(db, claim, part, settings)
            if part == "census":
                monkeypatch.setattr(worker, "begin_part", real)
                raise HoldfastError(Kind.UNAVAILABLE, "Killed.")
            return begun

        monkeypatch.setattr(worker, "begin_part", dies)
    events = await one.run(thing, full=True)
    (due,) = extracted(events)
    assert len(pages_of(events, "full")) > 1, "read in ranges"
    assert due["census"]["records"] == due["count"]["records"] == 40


async def test_a_delta_that_broke_off_among_ranges_leaves_none_to_the_census(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 40)
    one = harness(extractor_overlap=timedelta(days=1))
    async with one.running():
        run_id = await read(one, thing)
        left = """UPDATE task SET legs = '[["", "001000000000001"], ["zzz", ""]]'"""
        await one.db.run(PASS_BEGUN, lambda unit: unit.execute(left))
        events = await again(one, run_id, thing, "census")
    assert extracted(events)[-1]["census"]["records"] == 40
