"""The org's schema changes between runs: the vault follows, old values stay, the run says so, and nothing fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import Installation, assert_agree, installed
from .tables import assert_nothing_twice, query

pytestmark = pytest.mark.integration
PICKLIST = [{"value": value, "active": True} for value in ("A", "B")]
FIELDS = [
    {"name": "Old__c", "type": "string"},
    {"name": "Gone__c", "type": "string"},
    {"name": "Number__c", "type": "double", "scale": 2},
    {"name": "Kind__c", "type": "picklist", "picklistValues": PICKLIST},
    {"name": "Cased__c", "type": "string"},
]


@pytest.fixture(scope="module")
def org() -> Iterator[RunningOrg]:
    with start_org() as running:
        yield running


@pytest.fixture(scope="module")
def holdfast(
    kafka_servers: str, postgres_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    database = postgres_server.ensure_database(f"drift_{uuid4().hex[:12]}")
    with installed(tmp_path_factory.mktemp("drift"), kafka=kafka_servers, dsn=database) as running:
        yield running


@pytest.fixture
def thing(org: RunningOrg) -> Iterator[str]:
    name = f"T{uuid4().hex[:8]}__c"
    rows = [
        {"Name": f"{n}", "Old__c": f"o{n}", "Gone__c": f"g{n}", "Number__c": n, "Kind__c": "A", "Cased__c": f"c{n}"}
        for n in range(20)
    ]
    org.define(name, FIELDS, rows)
    yield name
    org.clear_faults()
    org.restrict()


def _change(org: RunningOrg, thing: str, **change: Any) -> None:
    """Changes the schema as the next run asks for the org's objects."""
    effect = {"describe": {"object": thing, **change}}
    org.faults({"path": "/sobjects$", "count": 1, "effect": effect})


def _agrees(holdfast: Installation, org: RunningOrg, job: str, *objects: str) -> None:
    assert_agree(holdfast.vault, job, org, list(objects))
    assert_nothing_twice(holdfast.vault, job, list(objects))


def _notes(run: dict[str, Any]) -> list[str]:
    return [note for each in run["objects"] for note in each["notes"]]


def test_fields_that_come_go_and_change_are_said_and_followed(
    holdfast: Installation, org: RunningOrg, thing: str
) -> None:
    job = holdfast.create_job(holdfast.connect(org, thing), [thing], name=thing)
    assert holdfast.run(job)["state"] == "completed"
    _change(
        org,
        thing,
        rename={"name": "Old__c", "to": "New__c"},
        remove="Gone__c",
        add={"name": "More__c", "type": "string"},
        retype={"name": "Number__c", "type": "string"},
    )
    values = [{"value": value, "active": True} for value in ("B", "C")]
    org.schema({"objects": [{"name": thing, "fields": [{"name": "Kind__c", "picklistValues": values}]}]})
    run = holdfast.run(job)
    assert (run["state"], run["missing"]) == ("completed", []), run
    assert _notes(run) == [
        f"Old__c of {thing} was renamed New__c: its values until now stay under the old name.",
        f"Gone__c of {thing} no longer exists in the org; its last values are kept.",
        f"More__c of {thing} is backed up from now on: new, or visible for the first time.",
        f"Number__c of {thing} changed its type from double to string; older values stay.",
        f"Values of Kind__c of {thing} changed: “C” added; “A” no longer offered.",
    ]
    with OrgSession(org.url, org.client_id, org.client_secret) as session:
        ids = [row["Id"] for row in session.query(f"SELECT Id FROM {thing} ORDER BY Id LIMIT 2")]
        session.update(thing, [{"id": each, "More__c": "filled", "Number__c": "1.5 or so"} for each in ids])
    again = holdfast.run(job)
    assert (again["state"], _notes(again)) == ("completed", [])
    _agrees(holdfast, org, job, thing)
    before = query(
        holdfast.vault / job / "records" / thing,
        "SELECT count(DISTINCT Old__c) AS old, count(DISTINCT Gone__c) AS gone FROM events",
    )
    assert before == [{"old": 20, "gone": 20}], "what was backed up before stays readable"


def test_a_field_name_in_another_case_breaks_nothing(holdfast: Installation, org: RunningOrg, thing: str) -> None:
    job = holdfast.create_job(holdfast.connect(org, thing), [thing], name=thing)
    holdfast.run(job)
    _change(org, thing, rename={"name": "Cased__c", "to": "CASED__c"})
    run = holdfast.run(job)
    assert (run["state"], run["missing"]) == ("completed", []), run
    assert _notes(run) == [f"Cased__c of {thing} is now written CASED__c."]
    assert run["counts"] == {**run["counts"], "updated": 0, "created": 0}
    with OrgSession(org.url, org.client_id, org.client_secret) as session:
        first = next(session.query(f"SELECT Id FROM {thing} ORDER BY Id LIMIT 1"))["Id"]
        session.update(thing, [{"id": first, "CASED__c": "changed"}])
    for full in (False, True):
        run = holdfast.run(job, full=full)
        assert (run["state"], run["missing"], _notes(run)) == ("completed", [], []), run
    values = query(
        holdfast.vault / job / "records" / thing,
        f"SELECT Cased__c FROM events WHERE _record_id = '{first}' ORDER BY _run",
    )
    assert [row["Cased__c"] for row in values] == ["c0", "changed"], "one column, under the name that it has had"


def test_what_is_hidden_is_said_before_the_first_run_and_is_missing_only_once_it_was_seen(
    holdfast: Installation, org: RunningOrg, thing: str
) -> None:
    org.restrict(hidden_fields=[f"{thing}.Old__c"])
    connection = holdfast.connect(org, thing)
    job = holdfast.create_job(connection, [thing], name=thing)
    warning = f"The user cannot see 1 field of {thing}, which will not be backed up: Old__c."
    assert holdfast.get(f"/jobs/{job}")["warnings"] == [warning]
    assert holdfast.run(job)["state"] == "completed"
    org.restrict(hidden_fields=[f"{thing}.Old__c", f"{thing}.Gone__c"])
    run = holdfast.run(job)
    assert run["state"] == "partial"
    assert [(gap["object"], "Gone__c" in gap["reason"]) for gap in run["missing"]] == [(thing, True)]
    assert _notes(run) == []


def test_objects_that_join_and_vanish_are_said(holdfast: Installation) -> None:
    with start_org() as org:
        org.define("Account", [], [{"Name": "x"}])
        org.define("Leaving__c", FIELDS, [{"Name": "x"}])
        job = holdfast.create_job(holdfast.connect(org, "joins"), name="joins")
        assert holdfast.run(job)["state"] == "completed"
        org.define("Joining__c", FIELDS, [{"Name": "x"}])
        _change(org, "Leaving__c", drop=True)
        run = holdfast.run(job)
        assert (run["state"], run["missing"]) == ("completed", []), run
        assert run["notes"] == [
            "The org no longer has the object Leaving__c; its records stay in the backup as they were."
        ]
        joined = "Joining__c is backed up from now on: it is new in the org, or had no records until now."
        assert joined in _notes(run)
        _agrees(holdfast, org, job, "Account", "Joining__c")
        assert holdfast.run(job)["notes"] == []


def test_compound_fields_by_parts_polymorphic_lookups_as_sent_and_long_text_in_full(holdfast: Installation) -> None:
    with start_org() as org, OrgSession(org.url, org.client_id, org.client_secret) as session:
        address = {"BillingStreet": "Am Wehr 1\r\n2. Stock", "BillingCity": "Köln", "BillingCountry": "Germany"}
        (account,) = session.insert("Account", [{"Name": "A", "Description": "z\n" * 15_000, **address}])
        (contact,) = session.insert("Contact", [{"LastName": "C", "MailingCity": "Bonn", "AccountId": account}])
        (lead,) = session.insert("Lead", [{"LastName": "L", "Company": "K"}])
        tasks = [{"Subject": "s", "WhoId": contact, "WhatId": account}, {"Subject": "t", "WhoId": lead}]
        session.insert("Task", tasks)
        objects = ["Account", "Contact", "Lead", "Task"]
        job = holdfast.create_job(holdfast.connect(org, "shapes"), objects, name="shapes")
        run = holdfast.run(job)
        assert (run["state"], run["missing"]) == ("completed", []), run
        _agrees(holdfast, org, job, *objects)
        (row,) = query(
            holdfast.vault / job / "records" / "Account", "SELECT * EXCLUDE (_observed_at, _modified_at) FROM events"
        )
        assert "BillingAddress" not in row and row["BillingStreet"] == address["BillingStreet"]
        assert len(row["Description"]) == 30_000
        who = query(holdfast.vault / job / "records" / "Task", "SELECT WhoId FROM events ORDER BY Subject")
        assert [each["WhoId"] for each in who] == [contact, lead]
