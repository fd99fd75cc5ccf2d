"""Big objects, whose records have no id: read by their index, written over, deleted, interrupted. The ledger judges."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator
from typing import Any
from uuid import uuid4
from xml.sax.saxutils import escape

import pytest

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.launcher.demo.proof import prove_object
from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import Installation, installed, wait_until
from .tables import assert_nothing_twice, query

pytestmark = pytest.mark.integration
RIDE, KEY = "Ride__b", ("Rider__c", "Start__c", "Leg__c")
SCHEMA = {
    "objects": [
        {
            "name": RIDE,
            "index": ["Rider__c", "Start__c DESC", "Leg__c"],
            "fields": [
                {"name": "Rider__c", "type": "string", "length": 60, "required": True},
                {"name": "Start__c", "type": "datetime", "required": True},
                {"name": "Leg__c", "type": "double", "scale": 0, "required": True},
                {"name": "Note__c", "type": "string", "length": 255},
                {"name": "Cost__c", "type": "currency", "scale": 2},
            ],
        }
    ]
}
# What a key can hold that a query cannot ask for, or compares otherwise than it is stored.
RIDERS = ("anna", "Anna", " anna", "anna ", "O'Hara", "back\\slash", "Zoë", "日本", "a,b\nc", "1:x", "-")


@pytest.fixture
def org() -> Iterator[RunningOrg]:
    with start_org() as running:
        running.schema(SCHEMA)
        yield running


@pytest.fixture
def session(org: RunningOrg) -> Iterator[OrgSession]:
    with OrgSession(org.url, org.client_id, org.client_secret) as opened:
        yield opened


@pytest.fixture(scope="module")
def holdfast(
    kafka_servers: str, postgres_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    dsn = postgres_server.ensure_database(f"big_{uuid4().hex[:12]}")
    env = {"HOLDFAST_EXTRACTOR_BULK_THRESHOLD_ROWS": "5000", "HOLDFAST_EXTRACTOR_PAGE_BYTES": "100000"}
    with installed(tmp_path_factory.mktemp("big"), kafka=kafka_servers, dsn=dsn, env=env) as running:
        yield running


def ride(rider: str, hour: int, leg: int = 1, **more: object) -> dict[str, object]:
    return {"Rider__c": rider, "Start__c": f"2026-01-01T{hour:02}:30:00.000Z", "Leg__c": leg, **more}


def job_of(holdfast: Installation, org: RunningOrg) -> str:
    name = uuid4().hex[:8]
    return holdfast.create_job(holdfast.connect(org, name), [RIDE], name=name)


def known_as(row: dict[str, Any]) -> str:
    """The id of a record in the backup, worked out as the format says, by no code of Holdfast's."""
    texts = [row["Rider__c"], row["Start__c"], str(int(float(row["Leg__c"])))]
    whole = "".join(f"{len(text.encode())}:{text}" for text in texts)
    return "key-" + hashlib.sha256(whole.encode()).hexdigest()[:16]


def assert_as_the_ledger_says(
    holdfast: Installation, org: RunningOrg, session: OrgSession, job: str, gone: frozenset[str] = frozenset()
) -> None:
    truth = {known_as(row): row for row in org.state(RIDE).values()}
    assert len(truth) == org.objects()[RIDE]["rows"]
    found = prove_object(RIDE, session.field_types(RIDE), truth, holdfast.vault / job / "records" / RIDE, gone)
    assert found.holds, (found.differences, holdfast.log)
    assert found.live == len(truth)
    assert_nothing_twice(holdfast.vault, job, [RIDE])


def ops(holdfast: Installation, job: str, run: int) -> dict[str, int]:
    rows = query(
        holdfast.vault / job / "records" / RIDE,
        f"SELECT _op, count(*) AS n FROM events WHERE _run = {run} GROUP BY _op",
    )
    return {row["_op"]: row["n"] for row in rows}


def delete(session: OrgSession, *rows: dict[str, object]) -> None:
    """What Apex's deleteImmediate does, by the call that SOAP has for it."""
    for row in rows:
        fields = "".join(f"<{name}>{escape(str(row[name]))}</{name}>" for name in KEY)
        session._soap(f"<urn:deleteByExample><urn:sObjects><sobj:type>{RIDE}</sobj:type>{fields}</urn:sObjects>"
                      "</urn:deleteByExample>")  # fmt: skip


def many(org: RunningOrg, rows: int) -> None:
    """So many rides by few riders; a page ends in the middle of one's."""
    each = ({"Rider__c": RIDERS[n % 3], "Start__c": f"2026-01-0{1 + n % 5}T00:00:00.000Z", "Leg__c": str(n)}
            for n in range(rows))  # fmt: skip
    org.define(RIDE, [], [{**row, "Note__c": "NA"} for row in each])


def proof_of(holdfast: Installation, run: dict[str, Any]) -> dict[str, Any]:
    return holdfast.get(f"/runs/{run['id']}/objects/{RIDE}/proof")


def test_baseline_overwritten_new_and_deleted_rows(
    holdfast: Installation, org: RunningOrg, session: OrgSession
) -> None:
    rows = [ride(rider, hour, leg, Note__c="NA", Cost__c=0.1) for rider in RIDERS for hour in (1, 2) for leg in (1, 2)]
    session.insert(RIDE, rows)
    job = job_of(holdfast, org)
    (planned,) = holdfast.get(f"/jobs/{job}/plan")["objects"]
    assert planned["strategy"] == f"big object keyset ({', '.join(KEY)}); then all keys", planned
    first = holdfast.run(job)
    assert first["state"] == "completed", (first, holdfast.log)
    assert first["objects"][0]["api_calls"] == planned["api_calls"] + 1, "and one to see who looks"
    assert ops(holdfast, job, 1) == {"captured": len(rows)}
    assert_as_the_ledger_says(holdfast, org, session, job)
    assert (proof_of(holdfast, first)["state"], proof_of(holdfast, first)["checked"]) == ("proven", "ids")

    org.advance(3600)
    session.insert(RIDE, [ride("anna", 1, 1, Note__c="over"), ride("Zoë", 2, 2, Cost__c=7), ride("new", 1)])
    second = holdfast.run(job)
    assert ops(holdfast, job, 2) == {"updated": 2, "created": 1}, (second, holdfast.log)
    assert_as_the_ledger_says(holdfast, org, session, job)
    assert (second["state"], second["objects"][0]["mode"]) == ("completed", "full")
    assert proof_of(holdfast, second)["reason"] == "Salesforce does not count big objects."

    lost = [ride("anna", 2, 1), ride("new", 1)]
    gone = frozenset(known_as(row) for row in org.state(RIDE).values() if any(same(row, each) for each in lost))
    delete(session, *lost)
    third = holdfast.run(job)
    assert len(gone) == 2 and ops(holdfast, job, 3) == {"deleted": 2}, (third, holdfast.log)
    assert_as_the_ledger_says(holdfast, org, session, job, gone)
    assert (third["state"], proof_of(holdfast, third)["checked"]) == ("completed", "ids"), third

    (known,) = {known_as(row) for row in org.state(RIDE).values() if row["Note__c"] == "over"}
    history = holdfast.get(f"/jobs/{job}/records/{RIDE}/{known}")
    assert [version["operation"] for version in history["versions"]] == ["captured", "updated"], history

    session.insert(RIDE, lost[:1])
    fourth = holdfast.run(job)
    assert ops(holdfast, job, 4) == {"undeleted": 1}, (fourth, holdfast.log)
    assert_as_the_ledger_says(holdfast, org, session, job, gone)


def same(row: dict[str, Any], other: dict[str, Any]) -> bool:
    return known_as(row) == known_as(other)


def test_a_short_answer_deletes_nobody_and_a_mass_disappearance_is_held(
    holdfast: Installation, org: RunningOrg, session: OrgSession
) -> None:
    rows = [ride("a", hour, leg) for hour in range(20) for leg in (1, 2)]
    session.insert(RIDE, rows)
    job = job_of(holdfast, org)
    holdfast.run(job)
    records, keys = r"/query\?q=SELECT.{1,3}Cost__c", r"/query\?q=SELECT.{1,3}Rider__c"
    for faults in ([records], [records, keys]):
        org.faults(*({"path": path, "effect": {"lie": {"drop": 3 + n}}} for n, path in enumerate(faults)))
        short = holdfast.run(job)
        assert {fault["applied"] for fault in org.faults()} == {1}, org.faults()
        org.clear_faults()
        assert_as_the_ledger_says(holdfast, org, session, job)
        assert "deleted" not in ops(holdfast, job, short["number"])
    assert short["state"] == "partial" and proof_of(holdfast, short)["unseen"] == 4, (short, holdfast.log)

    delete(session, *rows[:30])
    held = holdfast.run(job)
    assert held["state"] == "partial" and proof_of(holdfast, held)["unseen"] == 30, (held, holdfast.log)
    assert "deleted" not in ops(holdfast, job, held["number"])


def test_a_crash_between_two_pages_reads_nothing_durable_again(
    holdfast: Installation, org: RunningOrg, session: OrgSession
) -> None:
    many(org, 4_500)
    job = job_of(holdfast, org)
    org.faults({"path": r"/query/0r8", "effect": {"latency_s": 20}})
    run = holdfast.request_run(job)
    baseline = holdfast.vault / job / "records" / RIDE / "1"
    wait_until(lambda: any(baseline.glob("*.parquet")), 30, lambda: holdfast.log)
    holdfast.stop(signal.SIGKILL)
    org.clear_faults()
    org.reset_calls()
    holdfast.start()
    ended = holdfast.wait_run(run)
    assert ended["state"] == "completed", (ended, holdfast.log)
    assert ops(holdfast, job, 1) == {"captured": 4_500}
    assert_as_the_ledger_says(holdfast, org, session, job)
    assert ended["objects"][0]["rows"] <= 4_501, (ended, "the record at the place comes once more, and no other")


def test_a_lost_cursor_and_a_large_object_by_bulk(holdfast: Installation, org: RunningOrg, session: OrgSession) -> None:
    many(org, 4_500)
    job = job_of(holdfast, org)
    org.faults({"path": r"/query/0r8", "effect": {"expire_cursors": True}})
    first = holdfast.run(job)
    assert first["state"] == "completed" and proof_of(holdfast, first)["checked"] == "ids", (first, holdfast.log)
    assert_as_the_ledger_says(holdfast, org, session, job)

    org.define(RIDE, [], [{"Rider__c": "more", "Start__c": "2026-01-01T00:00:00.000Z", "Leg__c": f"{n}"}
                          for n in range(1_500)])  # fmt: skip
    second = holdfast.run(job)
    assert ops(holdfast, job, second["number"]) == {"created": 1_500}, (second, holdfast.log)
    assert_as_the_ledger_says(holdfast, org, session, job)
    assert org.calls()["bulk_pages"], "no page came by Bulk"


def test_without_the_index_the_object_fails_in_words(
    holdfast: Installation, org: RunningOrg, session: OrgSession
) -> None:
    session.insert(RIDE, [ride("a", 1)])
    org.permit(permissions={"ViewSetup": False})
    failed = holdfast.run(job_of(holdfast, org))
    assert "View Setup and Configuration" in failed["objects"][0]["reason"], failed
    org.permit(permissions={"ViewSetup": True})
    org.faults({"path": r"/tooling/query.*EntityParticle", "count": None, "effect": {"lie": {"drop": 3}}})
    failed = holdfast.run(job_of(holdfast, org))
    org.clear_faults()
    assert "does not tell the index" in failed["objects"][0]["reason"], failed
    job = job_of(holdfast, org)
    assert holdfast.run(job)["state"] == "completed", holdfast.log
    org.schema({"objects": [{"name": RIDE, "index": ["Start__c", "Rider__c", "Leg__c"]}]})
    failed = holdfast.run(job)
    assert "a job of its own" in failed["objects"][0]["reason"], failed
    org.restrict(hidden_fields=[f"{RIDE}.Leg__c"])
    failed = holdfast.run(job_of(holdfast, org))
    assert "Leg__c" in failed["objects"][0]["reason"], failed
