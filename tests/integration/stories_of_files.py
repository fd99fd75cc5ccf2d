"""What the sweep tells of files: their records come first, then each body once, whatever dies in between."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, Protocol

import asyncpg

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg
from holdfast.vault.blobs import BlobRef, read_blob
from holdfast.vault.events import Events
from holdfast.vault.location import VaultRoot
from holdfast.vault.reading import state_at

from .harness import Installation, assert_agree
from .stories_of_loss import held

_GIVEN_UP = "SELECT count(*) FROM differ.page WHERE job_id = $1 AND mode = 'bodies' AND given_up IS NOT NULL"
CONTENTS = [b"one", b"one", b"two" * 1000]


class World(Protocol):
    """What this story plays with."""

    holdfast: Installation
    org: RunningOrg
    tag: str
    edited: bool


def filed(world: World) -> None:
    """Attachments, two of them equal, are in the vault in the end: each once, byte for byte."""
    holdfast, tag = world.holdfast, world.tag
    _upload(world)
    job = holdfast.create_job(holdfast.connect(world.org, tag), ["Attachment"], name=tag)
    run = holdfast.wait_run(holdfast.request_run(job, key=f"{tag}.1"), 45)
    assert run["state"] == "completed", run
    _assert_all_in_the_end(world, job, run["id"])


def lost(world: World) -> None:
    """The page that says which files came in is damaged before the differ takes it: another one says it in the end."""
    holdfast, tag, org = world.holdfast, world.tag, world.org
    _upload(world)
    job = holdfast.create_job(holdfast.connect(org, tag), ["Attachment"], name=tag)
    org.faults({"path": r"/Attachment/\w+/Body", "count": None, "effect": {"status": 500}})
    run = holdfast.wait_run(holdfast.request_run(job, key=f"{tag}.1"), 45)
    assert run["state"] == "completed", run
    with held(world, f"table/{job}/Attachment"):
        org.clear_faults()
        _damage_first_page(world, job)
    holdfast.until(lambda: bool(_count(world, _GIVEN_UP, job)), 45)
    _assert_all_in_the_end(world, job, run["id"])


def _damage_first_page(world: World, job: str) -> None:
    """Once: a story that is told again finds that it was given up."""
    page = "SELECT path FROM differ.page WHERE job_id = $1 AND mode = 'bodies' AND NOT committed"
    world.holdfast.until(lambda: bool(_count(world, page, job) or _count(world, _GIVEN_UP, job)), 45)
    if not _count(world, _GIVEN_UP, job):
        (world.holdfast.vault / _count(world, page, job)).write_bytes(b"damaged")


def _assert_all_in_the_end(world: World, job: str, run_id: str) -> None:
    holdfast = world.holdfast
    holdfast.until(lambda: _all_in(world, job), 45)
    holdfast.until(lambda: _files(world, run_id) == ("done", []), 20, lambda: _files(world, run_id))
    assert_agree(holdfast.vault, job, world.org, ["Attachment"])
    _assert_bodies(world, job)


def _files(world: World, run_id: str) -> tuple[str, list[str]]:
    files = world.holdfast.get(f"/runs/{run_id}")["files"]
    return files["state"], files["missing"]


def _upload(world: World) -> None:
    """Once: a story that is told again finds what it uploaded."""
    if world.edited:
        return
    world.edited = True
    with OrgSession(world.org.url, world.org.client_id, world.org.client_secret) as session:
        (parent,) = session.insert("Account", [{"Name": world.tag}])
        rows = [{"ParentId": parent, "Name": world.tag, "Body": base64.b64encode(data).decode()} for data in CONTENTS]
        session.insert("Attachment", rows)


def _all_in(world: World, job: str) -> bool:
    """Every file that was queued is attached, and the differ has committed the pages that say so."""
    open_files = "SELECT count(*) FROM extractor.file WHERE job_id = $1 AND state <> 'attached'"
    unsaid = "SELECT count(*) FROM extractor.file_run f JOIN extractor.extraction e USING (run_id) WHERE NOT said"
    attached = "SELECT count(*) FROM extractor.file WHERE job_id = $1 AND state = 'attached'"
    pages = "SELECT coalesce(sum(rows), 0) FROM differ.page WHERE job_id = $1 AND mode = 'bodies' AND committed"
    return (
        _count(world, open_files, job) == 0
        and _count(world, unsaid + " AND e.job_id = $1", job) == 0
        and _count(world, attached, job) == _count(world, pages, job) > 0
    )


def _assert_bodies(world: World, job: str) -> None:
    root = VaultRoot.local(world.holdfast.vault)
    truth = {i: row["Body"] for i, row in world.org.state("Attachment").items() if row["IsDeleted"] != "true"}
    state = state_at(root, job, "Attachment", 1_000)
    assert dict(zip(state["Id"].to_pylist(), state["Body"].to_pylist(), strict=True)) == truth
    for text in {text for text in truth.values() if text}:
        assert sum(len(piece) for piece in read_blob(root, job, BlobRef.of(text))) == BlobRef.of(text).bytes
    with Events(root, job, "Attachment") as events:
        ids = events.table("SELECT _event_id FROM events").column(0).to_pylist()
    assert len(ids) == len(set(ids)), "an event is there twice"


def _count(world: World, query: str, *args: object) -> Any:
    async def read() -> Any:
        connection = await asyncpg.connect(world.holdfast.env["HOLDFAST_POSTGRES"])
        try:
            return await connection.fetchval(query, *args)
        finally:
            await connection.close()

    return asyncio.run(read())
