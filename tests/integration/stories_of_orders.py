"""What the sweep tells of a run that is paused, resumed and cancelled while the org works on its Bulk job."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Protocol

import asyncpg

from holdfast.orgsim.testing import RunningOrg

from .harness import Installation, assert_agree

OBJECTS = ["Other__c", "Thing__c"]


class World(Protocol):
    """What this story plays with."""

    holdfast: Installation
    org: RunningOrg
    tag: str


def ordered(world: World) -> None:
    """Told again after a crash, the orders find the run as they left it, and the next run brings everything."""
    holdfast, tag = world.holdfast, world.tag
    job = holdfast.create_job(holdfast.connect(world.org, tag), OBJECTS, name=tag)
    changed = holdfast.http.patch(f"/jobs/{job}", json={"api_limit_percent": 90})
    assert changed.json()["api_limit_percent"] == 90, changed.text
    world.org.faults({"path": "/jobs/query/[^/]+$", "method": "GET", "count": None, "effect": {"job": "stuck"}})
    try:
        run_id = holdfast.request_run(job, key=f"{tag}.1")
        for order in ("pause", "resume"):
            _order(holdfast, run_id, order)
        world.holdfast.until(lambda: _waits_for_the_org(holdfast, run_id), 30)
        _order(holdfast, run_id, "cancel")
        run = holdfast.get(f"/runs/{run_id}")
        # Between a crash and the next start the org's job may come to its end, and the run before it is cancelled.
        assert run["state"] in ("cancelled", "completed"), run
        if run["state"] == "cancelled":
            world.holdfast.until(lambda: _everyone_knows(holdfast, run_id), 30)
    finally:
        world.org.clear_faults()
    run = holdfast.wait_run(holdfast.request_run(job, key=f"{tag}.2"), 45)
    assert run["state"] == "completed", run
    assert run["api_limit_percent"] == 90, run
    assert_agree(holdfast.vault, job, world.org, OBJECTS)


def _order(holdfast: Installation, run_id: str, order: str) -> None:
    answer = holdfast.http.post(f"/runs/{run_id}/{order}")
    if answer.status_code != HTTPStatus.CONFLICT:  # told again, it has ended
        assert answer.status_code == HTTPStatus.OK, answer.text


def _waits_for_the_org(holdfast: Installation, run_id: str) -> bool:
    """Whether the run's Bulk job is made, or the run is over by now."""
    ended: dict[str, Any] = holdfast.get(f"/runs/{run_id}")
    made = "SELECT 1 FROM extractor.task WHERE run_id::text = $1 AND bulk_job IS NOT NULL"
    return ended["state"] in ("cancelled", "completed") or bool(_rows(holdfast, made, run_id))


def _everyone_knows(holdfast: Installation, run_id: str) -> bool:
    """Whether extractor and history have heard of the end, and the org was told to stop its job."""
    extraction = _rows(holdfast, "SELECT state FROM extractor.extraction WHERE run_id::text = $1", run_id)
    past = _rows(holdfast, "SELECT state FROM history.run WHERE run_id::text = $1", run_id)
    left = _rows(holdfast, "SELECT 1 FROM extractor.abandoned_job")
    return not left and [row["state"] for row in [*extraction, *past]] == ["cancelled", "cancelled"]


def _rows(holdfast: Installation, query: str, *args: object) -> list[asyncpg.Record]:
    async def read() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(holdfast.env["HOLDFAST_POSTGRES"])
        try:
            return list(await connection.fetch(query, *args))
        finally:
            await connection.close()

    return asyncio.run(read())
