"""Kill -9 before and after every durable step, restart, and compare the vault with the org's ledger.

The registry of durable steps is the list: a step that is added is covered the day it is added, or this test fails
because nothing here passes it. `make test` kills once at each step, on alternating sides; `make soak` on both sides.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaProducer

from holdfast.common.contracts.extractor import PageStaged
from holdfast.common.failpoints import registered_steps
from holdfast.launcher.compose import load
from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg, start_org

from . import stories_of_loss, stories_of_orders
from .harness import Installation, assert_agree, wait_until
from .zygote import Zygote

pytestmark = pytest.mark.integration
load(["all"])
STEPS = [step for step in registered_steps() if not step.startswith("test.")]
SIDES = ("before", "after")
THINGS = 1_600  # two Bulk pages of 1,000
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

    wait_until(ran, 75, lambda: f"{found}\n{holdfast.log}")
    assert [run["number"] for run in reversed(found)] == list(range(1, len(found) + 1))


def poison(world: World) -> None:
    """A message that cannot be read is parked; replayed, it is parked again; dropped, it is gone."""
    _publish(world, b"\xff not json")
    for message in _parked(world):
        if message["state"] == "parked":
            _cli(world, "parked", "replay", "differ", str(message["id"]))
        wait_until(lambda: "replaying" not in _states(world), 30, lambda: world.holdfast.log)
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
    wait_until(lambda: bool(_rows(world, early, key) or _rows(world, seen, key)), 30, lambda: world.holdfast.log)
    _cli(world, "outbox", "resend", "extractor")
    _send(world, key, number=1, event_type=nobodys)
    wait_until(lambda: [row[0] for row in _rows(world, seen, key)] == [2], 30, lambda: world.holdfast.log)
    wait_until(lambda: not _rows(world, early, key), 30, lambda: world.holdfast.log)
    waiting = "SELECT id FROM extractor.outbox WHERE published_at IS NULL"
    wait_until(lambda: not _rows(world, waiting), 30, lambda: world.holdfast.log)


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
        found[:] = [dict(row) for row in _rows(world, query, f"poison/{world.tag}")]
        return len(found) >= world.published

    wait_until(all_there, 30, lambda: f"{found} of {world.published}\n{world.holdfast.log}")
    assert len(found) == world.published
    return found


def _states(world: World) -> list[str]:
    return [message["state"] for message in _parked(world)]


def _cli(world: World, *words: str) -> None:
    done = subprocess.run(  # noqa: PLW1510 - a kill is expected
        [sys.executable, "-m", "holdfast.launcher.main", *words],
        env={**world.holdfast.env, **world.holdfast.trial_env},
        capture_output=True,
        text=True,
    )
    if done.returncode < 0:
        raise ProcessLookupError("the command was killed")
    assert done.returncode == 0, done.stderr


def _rows(world: World, query: str, *args: object) -> list[asyncpg.Record]:
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
    "history.run_cancelled": stories_of_orders.ordered,
    "scheduler.job_changed": stories_of_orders.ordered,
    "scheduler.run_ordered": stories_of_orders.ordered,
    "extractor.run_ordered": stories_of_orders.ordered,
    "extractor.abort_written": stories_of_orders.ordered,
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


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as running:
        yield running


@pytest.fixture(scope="module")
def org() -> Iterator[RunningOrg]:
    with start_org() as running:
        things = [{"Name": f"T{n}", "Amount__c": f"{n}.25", "Note__c": "0012"} for n in range(THINGS)]
        running.define("Thing__c", COUNT_FIELDS, things)
        running.define("Other__c", [], [{"Name": f"O{n}"} for n in range(5)])
        yield running


class Databases:
    """A fresh database per installation."""

    def __init__(self, server: Any) -> None:
        self._server, self._numbers = server, itertools.count()

    def new(self) -> str:
        return str(self._server.ensure_database(f"sweep_{os.getpid()}_{next(self._numbers)}"))


@pytest.fixture(scope="module")
def installations(
    tmp_path_factory: pytest.TempPathFactory, kafka_servers: str, postgres_server: Any, zygote: Zygote
) -> Iterator[Callable[[bool], Installation]]:
    """The installation that most trials share, or a new one for those that need a first start."""
    databases = Databases(postgres_server)
    made: list[Installation] = []
    shared: list[Installation] = []

    def give(fresh: bool) -> Installation:
        if fresh or not shared:
            folder = tmp_path_factory.mktemp("installation")
            installation = Installation(folder, kafka=kafka_servers, dsn=databases.new(), zygote=zygote)
            installation.env |= {"HOLDFAST_DIFFER_LEASE_S": "1", "HOLDFAST_LOG_LEVEL": "warning"} | stories_of_loss.ENV
            installation.env |= {
                "HOLDFAST_EXTRACTOR_LEASE": "PT1S",
                "HOLDFAST_EXTRACTOR_BULK_THRESHOLD_ROWS": "1000",
                "HOLDFAST_EXTRACTOR_PAGE_BYTES": "100000",
            }
            made.append(installation)
            if fresh:
                return installation
            shared.append(installation)
        return shared[0]

    yield give
    for installation in made:
        installation.stop(9)


def targets(sides: Callable[[int], tuple[str, ...]]) -> list[str]:
    return [f"{step}:{side}" for number, step in enumerate(STEPS) for side in sides(number)]


@pytest.mark.parametrize("target", targets(lambda number: (SIDES[number % 2],)))
def test_killed_at_a_step(
    target: str, org: RunningOrg, kafka_servers: str, installations: Callable[[bool], Installation], tmp_path: Path
) -> None:
    _trial(target, org, kafka_servers, installations, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("target", targets(lambda number: (SIDES[1 - number % 2],)))
def test_killed_at_the_other_side_of_a_step(
    target: str, org: RunningOrg, kafka_servers: str, installations: Callable[[bool], Installation], tmp_path: Path
) -> None:
    _trial(target, org, kafka_servers, installations, tmp_path)


def _trial(
    target: str, org: RunningOrg, kafka: str, installations: Callable[[bool], Installation], tmp_path: Path
) -> None:
    step = target.partition(":")[0]
    story, fired = STORIES.get(step, backup), tmp_path / "fired"
    holdfast = installations(step in STARTUP)
    world = World(holdfast, org, kafka, tag=target.replace(":", "."))
    holdfast.trial_env = {
        "HOLDFAST_FAILPOINT": target, "HOLDFAST_FAILPOINT_LOG": str(fired), **EXTRA_ENV.get(step, {})
    }  # fmt: skip
    try:
        _tell_until_killed(story, world)
    finally:
        holdfast.stop(9)
        org.clear_faults()
    assert fired.exists() and fired.read_text() == f"{target}\n", f"{target} never fired\n{holdfast.log}"
    durable = _durable_pages(world)
    fetched = _fetched(org)

    holdfast.trial_env = {}
    holdfast.start()
    try:
        story(world)
        _nothing_durable_is_fetched_again(durable, fetched, _fetched(org))
        _every_run_has_ended(world)
    finally:
        holdfast.stop()


def _tell_until_killed(story: Story, world: World) -> None:
    """Tell the story to services that will die in the middle of it."""
    world.holdfast.start(world.holdfast.trial_env)
    try:
        if world.holdfast.alive:
            story(world)
            wait_until(lambda: not world.holdfast.alive, 5, lambda: "")
    except (httpx.HTTPError, AssertionError, FileNotFoundError, ProcessLookupError):
        if world.holdfast.alive and not _fired(world):
            raise


def _fired(world: World) -> bool:
    return Path(world.holdfast.trial_env["HOLDFAST_FAILPOINT_LOG"]).exists()


def _durable_pages(world: World) -> set[tuple[str, str]]:
    """(job, locator) of every Bulk page that was durable when the process died."""
    if not _rows(world, "SELECT 1 FROM pg_tables WHERE schemaname = 'extractor' AND tablename = 'page'"):
        return set()
    rows = _rows(world, "SELECT bulk_job, bulk_locator FROM extractor.page WHERE bulk_job IS NOT NULL")
    return {(row["bulk_job"], row["bulk_locator"] or "") for row in rows}


def _fetched(org: RunningOrg) -> dict[tuple[str, str], int]:
    pages = org.calls()["bulk_pages"]
    return {(page["job"], page["locator"] or ""): page["fetched"] for page in pages}


def _nothing_durable_is_fetched_again(
    durable: set[tuple[str, str]], before: dict[tuple[str, str], int], after: dict[tuple[str, str], int]
) -> None:
    again = {page for page in durable if after.get(page, 0) > before.get(page, 0)}
    assert not again, f"fetched again although durable: {again}"


def _every_run_has_ended(world: World) -> None:
    open_runs = [run for run in world.holdfast.get("/runs")["items"] if run["state"] in ("requested", "running")]
    assert not [run for run in open_runs if run["trigger"] != "slot"], open_runs
