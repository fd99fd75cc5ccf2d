"""The record feed and the commit events, as a consumer outside Holdfast sees them on Kafka."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from holdfast.common.contracts.differ import ChangesCommitted, RecordChanged
from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import Installation, installed, wait_until
from .tables import query

pytestmark = pytest.mark.integration
OBJECT = "Thing__c"
ROWS = 60
PARTITIONS = 2  # as the harness sets them
SECRET = "value-that-stays-out-of-kafka"
EDITED, SAVED_AGAIN = 5, 2
CHANGES = {"created": 3, "updated": EDITED + SAVED_AGAIN, "deleted": 2, "undeleted": 1}


@dataclass
class World:
    """An installation after a baseline, a run that saw a deletion, and a run that saw one change of each kind."""

    holdfast: Installation
    org: RunningOrg
    job: str
    runs: list[dict[str, Any]]
    feed: list[dict[str, Any]]
    commits: list[dict[str, Any]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, kafka_servers: str, postgres_server: Any) -> Iterator[World]:
    folder, dsn = tmp_path_factory.mktemp("feed"), postgres_server.ensure_database("feed")
    with start_org() as org, installed(folder, kafka=kafka_servers, dsn=dsn) as holdfast:
        ids = org.define(
            OBJECT, [{"name": "Note__c"}], [{"Name": f"{SECRET} {n}", "Note__c": "a"} for n in range(ROWS)]
        )
        job = holdfast.create_job(holdfast.connect(org), [OBJECT])
        runs = [holdfast.run(job)]
        with OrgSession(org.url, org.client_id, org.client_secret) as session:
            session.delete([ids[0]])
            runs.append(holdfast.run(job))
            _one_of_each(session, ids)
            runs.append(holdfast.run(job))
        expected = 1 + sum(CHANGES.values())
        topics = {"feed": RecordChanged.topic(), "commits": ChangesCommitted.topic()}
        read: dict[str, list[dict[str, Any]]] = {}

        def all_there() -> bool:
            for name, topic in topics.items():
                read[name] = asyncio.run(_messages(kafka_servers, holdfast.env["HOLDFAST_KAFKA_PREFIX"] + topic))
            return len({each["event_id"] for each in read["feed"]}) >= expected and len(read["commits"]) >= 3

        wait_until(all_there, 20, lambda: f"{read}\n{holdfast.log}")
        yield World(holdfast, org, job, runs, read["feed"], read["commits"])


def _one_of_each(session: OrgSession, ids: list[str]) -> None:
    session.undelete([ids[0]])
    session.insert(OBJECT, [{"Name": SECRET, "Note__c": "b"}] * CHANGES["created"])
    session.update(OBJECT, [{"id": each, "Note__c": SECRET} for each in ids[1 : 1 + EDITED]])
    session.update(OBJECT, [{"id": each, "Note__c": "a"} for each in ids[20 : 20 + SAVED_AGAIN]])
    session.delete(ids[30 : 30 + CHANGES["deleted"]])


async def _messages(servers: str, topic: str) -> list[dict[str, Any]]:
    """Everything on a topic, from its beginning to its end."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, isolation_level="read_committed")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[dict[str, Any]] = []
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                batch = await consumer.getmany(partition, timeout_ms=1000)
                for record in batch.get(partition, []):
                    found.append(
                        {**json.loads(record.value), "_key": record.key.decode(), "_raw": record.value.decode()}
                    )
        return found
    finally:
        await consumer.stop()


def test_the_feed_has_each_changed_record_once(world: World) -> None:
    assert [run["state"] for run in world.runs] == ["completed"] * 3
    by_event = {each["event_id"]: each for each in world.feed}
    table = world.holdfast.vault / world.job / "records" / OBJECT
    stored = query(table, "SELECT _event_id, _record_id, _op, _run FROM events WHERE _op <> 'captured'")
    assert by_event.keys() == {row["_event_id"] for row in stored}
    for row in stored:
        message = by_event[row["_event_id"]]
        assert (message["record_id"], message["operation"], message["run"]) == (
            row["_record_id"],
            row["_op"],
            row["_run"],
        )
    last = Counter(each["operation"] for each in by_event.values() if each["run"] == 3)
    assert last == CHANGES
    records = [each["record_id"] for each in by_event.values() if each["run"] == 3]
    assert len(records) == len(set(records)), "a record twice in one run"


def test_the_feed_has_no_baseline_and_no_values(world: World) -> None:
    assert world.runs[0]["counts"]["captured"] == ROWS
    assert all(each["run"] > 1 for each in world.feed)
    assert not [each for each in world.feed + world.commits if SECRET in each["_raw"]]
    updated = {each["event_id"]: each["changed_fields"] for each in world.feed if each["operation"] == "updated"}
    assert sum("Note__c" in fields for fields in updated.values()) == EDITED
    assert sum(fields == ["LastModifiedDate"] for fields in updated.values()) == SAVED_AGAIN


def test_the_key_of_the_feed_is_the_record_in_its_org(world: World) -> None:
    assert all(each["_key"] == f"{world.org.org_id}/{each['record_id']}" for each in world.feed)


def test_a_commit_event_names_a_version_at_which_the_rows_can_be_read(world: World) -> None:
    table = world.holdfast.vault / world.job / "records" / OBJECT
    commits = sorted({each["commit_seq"]: each for each in world.commits}.values(), key=lambda each: each["commit_seq"])
    assert [each["commit_seq"] for each in commits] == list(range(1, len(commits) + 1))
    rows_before = 0
    for each in commits:
        assert each["table"] == f"{world.job}/records/{OBJECT}" or table.as_posix().endswith(each["table"])
        rows = query(table, "SELECT count(*) AS n FROM events", each["version"])[0]["n"]
        counted = sum(number for operation, number in each["counts"].items() if operation != "unseen")
        assert rows == rows_before + counted
        rows_before = rows
    in_feed = {each["event_id"]: each["version"] for each in world.feed}
    for event_id, version in in_feed.items():
        assert query(table, f"SELECT 1 FROM events WHERE _event_id = '{event_id}'", version)
