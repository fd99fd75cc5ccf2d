"""What cannot be read any more is said, and what Kafka has lost is sent again: real processes, real servers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import Installation, assert_agree, installed, wait_until

pytestmark = pytest.mark.integration
THING = "Thing__c"
PUBLISHERS = ("connections", "scheduler", "extractor", "differ", "history")


@pytest.fixture
def org() -> Iterator[RunningOrg]:
    with start_org() as running:
        fields = [{"name": "Note__c", "type": "string"}, {"name": "Amount__c", "type": "currency"}]
        running.define(THING, fields, [{"Name": f"T{n}", "Note__c": f"N{n}", "Amount__c": "1.25"} for n in range(40)])
        yield running


def test_a_hidden_field_makes_one_run_partial_and_its_values_stay(
    org: RunningOrg, tmp_path: Path, kafka_servers: str, postgres_dsn: str
) -> None:
    with installed(tmp_path, kafka=kafka_servers, dsn=postgres_dsn) as holdfast:
        job = holdfast.create_job(holdfast.connect(org), [THING])
        assert holdfast.run(job)["state"] == "completed"
        org.restrict(hidden_fields=[f"{THING}.Note__c"])
        run = holdfast.run(job, full=True)
        assert run["state"] == "partial", run
        (missing,) = run["missing"]
        assert missing["object"] == THING
        assert missing["reason"] == (f"The user can no longer read Note__c of {THING}; its last known values are kept.")
        assert sum(run["counts"][kind] for kind in ("created", "updated", "deleted")) == 0, "no value was taken away"
        assert holdfast.run(job)["state"] == "completed", "said once"
        org.restrict()
        assert holdfast.run(job)["state"] == "completed"
        assert_agree(holdfast.vault, job, org, [THING])


def test_a_run_whose_events_kafka_lost_goes_on_once_they_are_sent_again(
    org: RunningOrg, tmp_path: Path, kafka_servers: str, postgres_dsn: str
) -> None:
    holdfast = Installation(
        tmp_path, kafka=kafka_servers, dsn=postgres_dsn, groups=[["connections", "scheduler", "extractor", "gateway"]]
    )
    try:
        holdfast.start()
        job = holdfast.create_job(holdfast.connect(org), [THING])
        run_id = holdfast.request_run(job)
        sent = "SELECT count(*) FROM extractor.outbox WHERE topic LIKE '%object' AND published_at IS NOT NULL"
        wait_until(lambda: _value(postgres_dsn, sent) == 1, 30, lambda: holdfast.log)
        holdfast.stop()
        asyncio.run(_delete_topics(kafka_servers, holdfast.env["HOLDFAST_KAFKA_PREFIX"]))
        holdfast.start()
        with holdfast.beside(["differ", "history"], {"HOLDFAST_INSTANCE": "late"}):
            time.sleep(2)
            assert holdfast.get(f"/runs/{run_id}")["state"] == "running"
            for service in PUBLISHERS:
                _resend(holdfast, service)
            assert holdfast.wait_run(run_id)["state"] == "completed"
            assert_agree(holdfast.vault, job, org, [THING])
            assert holdfast.run(job)["state"] == "completed"
            for service in PUBLISHERS:  # everything again, though nothing was lost
                _resend(holdfast, service)
            assert holdfast.run(job)["state"] == "completed"
            assert_agree(holdfast.vault, job, org, [THING])
            assert [run["number"] for run in holdfast.get(f"/jobs/{job}/runs")["items"]] == [3, 2, 1]
    finally:
        holdfast.stop()


async def _delete_topics(kafka: str, prefix: str) -> None:
    """All topics of an installation, with what was read of them; returns when they are gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        while lost := [name for name in await admin.list_topics() if name.startswith(prefix)]:
            await admin.delete_topics(lost)
            await asyncio.sleep(0.2)
    finally:
        await admin.close()


def _resend(holdfast: Installation, service: str) -> None:
    command = [sys.executable, "-m", "holdfast.launcher.main", "outbox", "resend", service]
    done = subprocess.run(command, env=holdfast.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _value(dsn: str, query: str) -> object:
    async def read() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(read())
