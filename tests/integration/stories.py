"""What the sweep tells: small stories that pass every durable step. Each may be told again after a crash.

A new durable step that `backup` does not pass needs a row in `STORIES`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaProducer

from holdfast.common.contracts.extractor import PageStaged
from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg

from . import (
    stories_of_absence,
    stories_of_budgets,
    stories_of_files,
    stories_of_loss,
    stories_of_orders,
    stories_of_proof,
)
from .harness import Installation, assert_agree

THINGS = 1_600  # two Bulk pages of 1,000
LARGE = 20_500  # from 20,000 records on an index is stored
COUNT_FIELDS = [{"name": "Amount__c", "type": "currency"}, {"name": "Note__c", "type": "string"}]


@dataclass
class World:
    """What a trial has to play with."""

    holdfast: Installation
    org: RunningOrg
    kafka: str
    tag: str
    edited: bool = False
    published: int = 0

    @property
    def objects(self) -> list[str]:
        return ["Thing__c", "Other__c"]


Story = Callable[[World], None]


def backup(world: World) -> None:
    """Connect, baseline, edits, second run, verification. May be told again from the start after a crash."""
    holdfast, tag = world.holdfast, world.tag
    job = holdfast.create_job(holdfast.connect(world.org, tag), world.objects, name=tag)
    _completed(holdfast, holdfast.request_run(job, key=f"{tag}.1"))
    _edit(world)
    _completed(holdfast, holdfast.request_run(job, key=f"{tag}.2"))
    assert_agree(holdfast.vault, job, world.org, world.objects)
    verification = holdfast.post(f"/jobs/{job}/verifications", {})
    while verification["state"] == "running":
        verification = holdfast.get(f"/verifications/{verification['id']}")
    assert verification["state"] == "intact", verification


def _completed(holdfast: Installation, run_id: str) -> None:
    run = holdfast.wait_run(run_id, 45)
    assert run["state"] == "completed", run


def _edit(world: World) -> None:
    """Change the org once: the second run of a story told again may have ended before the crash."""
    if world.edited:
        return
    world.edited = True
    with OrgSession(world.org.url, world.org.client_id, world.org.client_secret) as session:
        rows = list(session.query("SELECT Id, Note__c FROM Thing__c ORDER BY Id DESC LIMIT 12"))
        session.update("Thing__c", [{"id": row["Id"], "Note__c": world.tag} for row in rows[:6]])
        session.delete([row["Id"] for row in rows[6:8]])
        session.insert("Thing__c", [{"Name": world.tag, "Note__c": "new", "Amount__c": 1.5}])
        session.insert("Other__c", [{"Name": world.tag}])


def startup(world: World) -> None:
    """Steps of the first start on an empty database: answering is all there is to do."""
    world.holdfast.get("/jobs")


def partial(world: World) -> None:
    """An object that the user loses sight of."""
    holdfast, tag = world.holdfast, world.tag
    job = holdfast.create_job(holdfast.connect(world.org, tag), ["Other__c", "Thing__c"], name=tag)
    world.org.restrict(hidden_objects=["Other__c"])
    try:
        run = holdfast.wait_run(holdfast.request_run(job, key=tag), 45)
    finally:
        world.org.restrict(hidden_objects=[])
    assert run["state"] == "partial", run
    assert [gap["object"] for gap in run["missing"]] == ["Other__c"]
    assert_agree(holdfast.vault, job, world.org, ["Thing__c"])


def widened(world: World) -> None:
    """A field that the user may not see at first."""
    holdfast, tag = world.holdfast, world.tag
    world.org.restrict(hidden_fields=["Other__c.Hidden__c"])
    try:
        job = holdfast.create_job(holdfast.connect(world.org, tag), ["Other__c"], name=tag)
        _completed(holdfast, holdfast.request_run(job, key=f"{tag}.1"))
    finally:
        world.org.restrict(hidden_fields=[])
    _completed(holdfast, holdfast.request_run(job, key=f"{tag}.2"))
    assert_agree(holdfast.vault, job, world.org, ["Other__c"])


def indexed(world: World) -> None:
    """A table with so many records that its index is stored beside it."""
    holdfast, tag = world.holdfast, world.tag
    job = holdfast.create_job(holdfast.connect(world.org, tag), ["Large__c"], name=tag)
    _completed(holdfast, holdfast.request_run(job, key=f"{tag}.1"))
    assert_agree(holdfast.vault, job, world.org, ["Large__c"])


def refused(world: World) -> None:
    """An org that shows nothing of what is to be backed up: the run fails, and says why."""
    holdfast, tag = world.holdfast, world.tag
    job = holdfast.create_job(holdfast.connect(world.org, tag), [], name=tag)
    world.org.faults({"path": r"/sobjects/?$", "count": None, "effect": _refusal("INSUFFICIENT_ACCESS", 403)})
    try:
        run = holdfast.wait_run(holdfast.request_run(job, key=tag), 45)
    finally:
        world.org.clear_faults()
    assert run["state"] == "failed" and run["reason"], run


def _refusal(code: str, status: int) -> dict[str, Any]:
    return {"status": status, "body": [{"message": code, "errorCode": code}], "content_type": "application/json"}


def broken_connection(world: World) -> None:
    """Credentials that the org refuses, then accepts again."""
    holdfast, tag = world.holdfast, world.tag
    connection = holdfast.connect(world.org, tag)
    grant = {"status": 400, "body": {"error": "invalid_client"}, "content_type": "application/json"}
    world.org.faults({"path": r"/oauth2/token", "count": None, "effect": grant})
    try:
        refusal = holdfast.http.post(f"/connections/{connection}/tests")
        assert refusal.is_error
    finally:
        world.org.clear_faults()
    assert holdfast.get(f"/connections/{connection}")["status"] == "broken"
    holdfast.post(f"/connections/{connection}/tests", {})
    assert holdfast.get(f"/connections/{connection}")["status"] == "ok"


def slot(world: World) -> None:
    """A slot that came due while the services were down is caught up once."""
    holdfast, tag = world.holdfast, world.tag
    body = {"name": tag, "connection": holdfast.connect(world.org, tag), "objects": ["Other__c"], "cron": "* * * * *"}
    job = str(holdfast.post("/jobs", body, key=tag)["id"])
    found: list[dict[str, Any]] = []

    def ran() -> bool:
        found[:] = holdfast.get(f"/jobs/{job}/runs")["items"]
        return bool(found) and found[-1]["state"] == "completed"

    world.holdfast.until(ran, 75, lambda: found)
    assert [run["number"] for run in reversed(found)] == list(range(1, len(found) + 1))


def poison(world: World) -> None:
    """A message that cannot be read is parked; replayed, it is parked again; dropped, it is gone."""
    _publish(world, b"\xff not json")
    for message in _parked(world):
        if message["state"] == "parked":
            _cli(world, "parked", "replay", "differ", str(message["id"]))
        world.holdfast.until(lambda: "replaying" not in _states(world), 30)
    _drop_all(world)


def bug(world: World) -> None:
    """A message on which handling fails as it would on a bug is tried a few times, then parked."""
    page = PageStaged(
        page_id=world.tag, run_id=uuid4(), job_id=uuid4(), run=10**30, object="Thing__c", mode="full", seq=1,
        path="nowhere", rows=0, bytes=0, sha256="", schema_id="",
    )  # fmt: skip
    _publish(world, page.model_dump_json().encode())
    _parked(world)
    _drop_all(world)


def lost(world: World) -> None:
    """A message that came before one that Kafka lost waits; sent again, both are taken in their order."""
    key, nobodys = f"lost/{world.tag}", "holdfast.extractor.page.nobodys.v1"
    _send(world, key, number=2, event_type=nobodys)
    seen = "SELECT number FROM differ.stream_seen WHERE key = $1"
    early = "SELECT number FROM differ.early WHERE key = $1"
    world.holdfast.until(lambda: bool(rows(world, early, key) or rows(world, seen, key)), 30)
    _cli(world, "outbox", "resend", "extractor")
    _send(world, key, number=1, event_type=nobodys)
    world.holdfast.until(lambda: [row[0] for row in rows(world, seen, key)] == [2], 30)
    world.holdfast.until(lambda: not rows(world, early, key), 30)
    waiting = "SELECT id FROM extractor.outbox WHERE published_at IS NULL"
    world.holdfast.until(lambda: not rows(world, waiting), 30)


def _drop_all(world: World) -> None:
    for message in _parked(world):
        if message["state"] == "parked":
            _cli(world, "parked", "drop", "differ", str(message["id"]), "--yes")
    assert set(_states(world)) == {"dropped"}


def _publish(world: World, value: bytes) -> None:
    """Send the next message of a key of its own."""
    world.published += 1
    _send(world, f"poison/{world.tag}", number=world.published, event_type=PageStaged.TYPE, value=value)


def _send(world: World, key: str, *, number: int, event_type: str, value: bytes = b"{}") -> None:
    headers = {
        "ce_id": str(uuid4()), "ce_type": event_type, "ce_subject": key, "ce_sequence": str(number),
        "correlation_id": str(uuid4()),
    }  # fmt: skip

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=world.kafka)
        await producer.start()
        try:
            topic = world.holdfast.env["HOLDFAST_KAFKA_PREFIX"] + PageStaged.topic()
            pairs = [(name, text.encode()) for name, text in headers.items()]
            await producer.send_and_wait(topic, value, key.encode(), headers=pairs)
        finally:
            await producer.stop()

    asyncio.run(send())


def _parked(world: World) -> list[dict[str, Any]]:
    """The key's parked messages, once every one that was published is there."""
    query = "SELECT id, state FROM differ.parked WHERE message_key = convert_to($1, 'UTF8') ORDER BY id"
    found: list[dict[str, Any]] = []

    def all_there() -> bool:
        found[:] = [dict(row) for row in rows(world, query, f"poison/{world.tag}")]
        return len(found) >= world.published

    world.holdfast.until(all_there, 30, lambda: f"{found} of {world.published}")
    assert len(found) == world.published
    return found


def _states(world: World) -> list[str]:
    return [message["state"] for message in _parked(world)]


def _cli(world: World, *words: str) -> None:
    code, printed = world.holdfast.command(*words)
    if code < 0:
        raise ProcessLookupError("the command was killed")
    assert code == 0, printed


def rows(world: World, query: str, *args: object) -> list[asyncpg.Record]:
    async def read() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(world.holdfast.env["HOLDFAST_POSTGRES"])
        try:
            return list(await connection.fetch(query, *args))
        finally:
            await connection.close()

    return asyncio.run(read())


STARTUP = {
    "common.migrated", "common.store_probed", "common.store_probe_cleared",
    "gateway.admin_token_written", "gateway.admin_token_stored",
}  # fmt: skip
STORIES: dict[str, Story] = {
    **dict.fromkeys(STARTUP, startup),
    "scheduler.loss_folded": partial,
    "history.run_partial": partial,
    "differ.failure_noted": stories_of_loss.damaged,
    "differ.object_given_up": stories_of_loss.damaged,
    "scheduler.giving_up_folded": stories_of_loss.damaged,
    "extractor.loss_noted": stories_of_loss.damaged,
    "differ.head_adopted": stories_of_loss.restored,
    "scheduler.refusal_folded": refused,
    "history.run_failed": refused,
    "connections.limits_asked": stories_of_budgets.spent,
    "history.run_cancelled": stories_of_orders.ordered,
    "scheduler.job_changed": stories_of_orders.ordered,
    "scheduler.run_ordered": stories_of_orders.ordered,
    "extractor.run_ordered": stories_of_orders.ordered,
    "extractor.abort_written": stories_of_orders.ordered,
    "scheduler.files_noted": stories_of_files.filed,
    "differ.bodies_given_up": stories_of_files.lost,
    "extractor.bodies_lost": stories_of_files.lost,
    "extractor.bodies_set_back": stories_of_files.lost,
    "extractor.file_leased": stories_of_files.filed,
    "extractor.blob_stored": stories_of_files.filed,
    "extractor.file_settled": stories_of_files.filed,
    "extractor.bodies_gathered": stories_of_files.filed,
    "extractor.bodies_stored": stories_of_files.filed,
    "extractor.bodies_announced": stories_of_files.filed,
    "extractor.files_settled": stories_of_files.filed,
    "vault.absence_put": stories_of_absence.forgotten,
    "vault.absence_schema_put": stories_of_absence.forgotten,
    "differ.absence_noted": stories_of_absence.forgotten,
    "extractor.pass_begun": stories_of_proof.vanished,
    "extractor.part_begun": stories_of_proof.vanished,
    "differ.object_doubted": stories_of_proof.vanished,
    "vault.table_widen": widened,
    "vault.index_put": indexed,
    "connections.broken_marked": broken_connection,
    "connections.sign_in_noted": broken_connection,
    "scheduler.slot_fired": slot,
    "common.message_parked": poison,
    "common.parked_replay_asked": poison,
    "common.parked_replayed": poison,
    "common.parked_dropped": poison,
    "common.message_attempted": bug,
    "common.message_set_aside": lost,
    "common.early_settled": lost,
    "common.outbox_resent": lost,
}
# A heartbeat needs a lease that is held for longer than a third of its term.
EXTRA_ENV = {"common.lease_extended": {"HOLDFAST_DIFFER_LEASE_S": "0.25"}}
# Upkeep waits for many files and for days; so that it comes in a story, it waits for two and for a second.
_SOON = {
    "HOLDFAST_DIFFER_COMPACT_FILES": "2",
    "HOLDFAST_DIFFER_REPLACED_GRACE": "PT0S",
    "HOLDFAST_DIFFER_INDEX_CHECK": "PT1S",
}
_UPKEEP = (
    "vault.merged_file_put", "vault.table_compact", "vault.replaced_deleted",
    "differ.compaction_recorded", "differ.replaced_cleared", "differ.index_checked",
)  # fmt: skip
EXTRA_ENV |= dict.fromkeys(_UPKEEP, _SOON)
