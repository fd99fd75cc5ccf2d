"""What the sweep tells of a page that was damaged, and of a database that was restored to an older state."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import asyncpg

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg

from .harness import Installation, assert_agree

# A page that is damaged is tried a few times all the same.
ENV = {"HOLDFAST_DIFFER_GIVE_UP_AFTER": "PT0S"}
OBJECTS = ["Other__c", "Thing__c"]
# The extractor may hear of the loss only after it planned the next run; that one then says so.
MOST_RUNS_UNTIL_WHOLE = 3


class World(Protocol):
    """What these stories play with."""

    holdfast: Installation
    org: RunningOrg
    tag: str
    edited: bool


def damaged(world: World) -> None:
    """A page is damaged before it is in the vault: its run says so, and a later run makes it good."""
    job = _baseline(world)
    with held(world, f"table/{job}/Other__c"):
        run_id = world.holdfast.request_run(job, key=f"{world.tag}.2")
        path = _staged(world, run_id)
        path.write_bytes(b"damaged")
    run = world.holdfast.wait_run(run_id, 45)
    assert run["state"] == "partial", run
    ((name, reason),) = [(gap["object"], gap["reason"]) for gap in run["missing"]]
    assert name == "Other__c" and path.name in reason, run
    for number in range(MOST_RUNS_UNTIL_WHOLE):
        run = world.holdfast.wait_run(world.holdfast.request_run(job, key=f"{world.tag}.3.{number}"), 45)
        if run["state"] == "completed":
            break
        assert [gap["object"] for gap in run["missing"]] == ["Other__c"], run
    assert run["state"] == "completed", run
    assert_agree(world.holdfast.vault, job, world.org, OBJECTS)


def restored(world: World) -> None:
    """The differ's row of a table goes back to an older state: the next run goes on from the table."""
    job = _baseline(world)
    known = "SELECT commit_seq, version, chain_head, records, fed_seq FROM differ.vault_table"
    (before,) = rows(world, f"{known} WHERE job_id::text = $1 AND object = 'Other__c'", job)
    _completed(world, job, "2")
    rows(
        world,
        "UPDATE differ.vault_table SET commit_seq = $2, version = $3, chain_head = $4, records = $5, fed_seq = $6, "
        "pending_page = NULL WHERE job_id::text = $1 AND object = 'Other__c'",
        job,
        *before,
    )
    _completed(world, job, "3")
    assert_agree(world.holdfast.vault, job, world.org, OBJECTS)
    verification = world.holdfast.post(f"/jobs/{job}/verifications", {})
    while verification["state"] == "running":
        verification = world.holdfast.get(f"/verifications/{verification['id']}")
    assert verification["state"] == "intact", verification


def _baseline(world: World) -> str:
    """A job with a first run, then a change in the org, once however often the story is told."""
    holdfast, tag = world.holdfast, world.tag
    job = holdfast.create_job(holdfast.connect(world.org, tag), OBJECTS, name=tag)
    _completed(world, job, "1")
    if not world.edited:
        world.edited = True
        with OrgSession(world.org.url, world.org.client_id, world.org.client_secret) as session:
            session.insert("Other__c", [{"Name": tag}])
    return job


def _completed(world: World, job: str, number: str) -> None:
    run = world.holdfast.wait_run(world.holdfast.request_run(job, key=f"{world.tag}.{number}"), 45)
    assert run["state"] == "completed", run


@contextmanager
def held(world: World, lease: str) -> Iterator[None]:
    """Keep the differ from working on a table."""
    take = "UPDATE differ.lease SET holder = 'test', epoch = epoch + 1, expires_at = now() + interval '1 hour'"
    rows(world, f"{take} WHERE name = $1", lease)
    try:
        yield
    finally:
        rows(world, "UPDATE differ.lease SET expires_at = now() WHERE name = $1", lease)


def _staged(world: World, run_id: str) -> Path:
    """Where the run's page of the object lies, once the differ knows of it."""
    query = "SELECT path FROM differ.page WHERE run_id::text = $1 AND object = 'Other__c'"
    world.holdfast.until(lambda: bool(rows(world, query, run_id)), 45)
    return world.holdfast.vault / str(rows(world, query, run_id)[0]["path"])


def rows(world: World, query: str, *args: object) -> list[asyncpg.Record]:
    async def read() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(world.holdfast.env["HOLDFAST_POSTGRES"])
        try:
            return list(await connection.fetch(query, *args))
        finally:
            await connection.close()

    return asyncio.run(read())
