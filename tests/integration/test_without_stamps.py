"""Records that carry another stamp than SystemModstamp, or none: the vault is the org's ledger all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import Installation, assert_agree, installed
from .tables import assert_nothing_twice, query

pytestmark = pytest.mark.integration
FUND, SHARE, HISTORY, BARE, LOGINS = "Fund__c", "Fund__Share", "Fund__History", "Custom__c", "LoginHistory"
DAY_S = 86_400
SCHEMA = {
    "objects": [
        {
            "name": FUND,
            "history": ["Name", "Note__c"],
            "sharing": "Private",
            "fields": [
                {"name": "Note__c", "type": "string", "length": 80, "tracked": True},
                {"name": "On__c", "type": "date"},
                {"name": "Age__c", "type": "double", "scale": 0, "formula": "TODAY() - On__c"},
            ],
        }
    ]
}


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
    dsn = postgres_server.ensure_database(f"stamps_{uuid4().hex[:12]}")
    with installed(tmp_path_factory.mktemp("stamps"), kafka=kafka_servers, dsn=dsn) as running:
        yield running


def job_of(holdfast: Installation, org: RunningOrg, *names: str) -> str:
    name = uuid4().hex[:8]
    return holdfast.create_job(holdfast.connect(org, name), names, name=name)


def proven(holdfast: Installation, org: RunningOrg, job: str, *names: str) -> dict[str, dict[str, Any]]:
    """A run that is completed, proven and right; its objects."""
    ended = holdfast.run(job)
    assert ended["state"] == "completed", (ended, holdfast.log)
    objects = {each["object"]: each for each in ended["objects"]}
    assert {each["proof"]["state"] for each in objects.values()} == {"proven"}, ended
    assert_agree(holdfast.vault, job, org, names)
    assert_nothing_twice(holdfast.vault, job, names)
    return objects


def shares(session: OrgSession, funds: list[str], user: str) -> list[str]:
    rows = [{"ParentId": fund, "UserOrGroupId": user, "AccessLevel": "Read"} for fund in funds]
    return session.insert(SHARE, rows)


def test_shares_histories_and_records_without_any_stamp(
    holdfast: Installation, org: RunningOrg, session: OrgSession
) -> None:
    """LastModifiedDate, CreatedDate, none: made, changed, deleted and deleted for good over four runs."""
    names = (SHARE, HISTORY, BARE)
    other = org.permit(username="other@example.org", permissions={"ViewAllData": False})
    funds = session.insert(FUND, [{"Name": f"{n}"} for n in range(12)])
    given = shares(session, funds[:6], other)
    bare = session.insert(BARE, [{"Name": f"{n}"} for n in range(8)])
    job = job_of(holdfast, org, *names)
    proven(holdfast, org, job, *names)

    org.advance(3600)
    session.update(FUND, [{"Id": fund, "Note__c": "told"} for fund in funds[:5]])
    shares(session, funds[6:9], other)
    session.update(SHARE, [{"Id": given[0], "AccessLevel": "Edit"}])
    session.insert(BARE, [{"Name": "new"}])
    session.update(BARE, [{"Id": bare[0], "Name": "other"}])
    found = proven(holdfast, org, job, *names)
    assert found[BARE]["mode"] == "full", "what has no stamp is read whole each time"
    assert {found[SHARE]["mode"], found[HISTORY]["mode"]} == {"incremental"}

    org.advance(3600)
    session.delete(given[1:3])
    session.delete(bare[1:3])
    session.update(FUND, [{"Id": funds[0], "Note__c": "again"}])
    proven(holdfast, org, job, *names)

    org.advance(3600)
    session.delete(bare[3:4])
    proven(holdfast, org, job, *names)

    session.delete(funds[11:])  # its history goes with it, which no stamp tells: the count does, and the list of ids
    ended = holdfast.run(job)
    assert {each["proof"]["state"] for each in ended["objects"]} == {"proven"}, (ended, holdfast.log)
    gone = sorted(row["Id"] for row in org.state(HISTORY).values() if row["IsDeleted"] == "true")
    events = "SELECT _record_id FROM events WHERE _op = 'deleted' ORDER BY 1"
    rows = query(holdfast.vault / job / "records" / HISTORY, events)
    assert gone and [row["_record_id"] for row in rows] == gone
    assert_agree(holdfast.vault, job, org, [SHARE, BARE])


def test_log_ins_are_known_by_their_time(holdfast: Installation, org: RunningOrg) -> None:
    def log_in(number: int) -> None:
        at = org.now().replace("+00:00", "Z")
        user = org.permit(username="someone@example.org")
        row = {"UserId": user, "LoginTime": at, "LoginType": "Application", "Status": "Success"}
        org.define(LOGINS, [], [row] * number)

    log_in(5)
    job = job_of(holdfast, org, LOGINS)
    proven(holdfast, org, job, LOGINS)
    for _ in range(2):
        org.advance(3600)
        log_in(3)
        assert proven(holdfast, org, job, LOGINS)[LOGINS]["mode"] == "incremental"


def test_a_formula_that_moves_no_stamp_is_found_by_the_full_scan(
    holdfast: Installation, org: RunningOrg, session: OrgSession
) -> None:
    """The age of a fund grows by a day each day and nothing says so: a weekly reading of everything finds it."""
    ids = session.insert(FUND, [{"Name": f"{n}", "On__c": "2020-02-29"} for n in range(5)])
    job = job_of(holdfast, org, FUND)
    proven(holdfast, org, job, FUND)
    org.advance(DAY_S)
    with OrgSession(org.url, org.client_id, org.client_secret) as next_day:
        next_day.insert(FUND, [{"Name": "later"}])  # what is read from now on begins behind the others' stamps
    holdfast.run(job)
    before = updated(holdfast, job)
    stamps = {row["SystemModstamp"] for row in org.state(FUND).values()}
    org.advance(8 * DAY_S)
    unseen = holdfast.run(job)
    assert (unseen["objects"][0]["mode"], updated(holdfast, job)) == ("incremental", before), "nothing told of it"
    with scans_are_due(holdfast):
        found = holdfast.run(job)
    assert (found["state"], found["objects"][0]["mode"]) == ("completed", "full"), (found, holdfast.log)
    assert {row["SystemModstamp"] for row in org.state(FUND).values()} == stamps, "the org stamped nothing"
    assert found["counts"]["updated"] == len(ids), found
    assert sorted(updated(holdfast, job)[len(before) :]) == [(one, ["Age__c"]) for one in sorted(ids)]
    assert_agree(holdfast.vault, job, org, [FUND])


@contextmanager
def scans_are_due(holdfast: Installation) -> Iterator[None]:
    """Every object's turn to be read whole has come; scans go by Holdfast's clock, not by the org's."""
    holdfast.stop()
    holdfast.start({"HOLDFAST_EXTRACTOR_SCAN_EVERY": "PT0.001S"})
    try:
        yield
    finally:
        holdfast.stop()
        holdfast.start()


def updated(holdfast: Installation, job: str) -> list[tuple[str, list[str]]]:
    """Every change so far: record and fields, in order of runs."""
    events = "SELECT _record_id, _changed FROM events WHERE _op = 'updated' ORDER BY _run"
    rows = query(holdfast.vault / job / "records" / FUND, events)
    return [(row["_record_id"], row["_changed"]) for row in rows]
