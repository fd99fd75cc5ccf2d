"""aiosalesforce, unmodified: it takes nothing but https My Domain hosts, which the CA file and the proxy lead here."""

from typing import Any

import pytest

from holdfast.orgsim.testing import RunningOrg

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("client-aiosalesforce")]


@pytest.fixture(scope="module")
def client(python_client: Any, reached: dict[str, str], served: RunningOrg) -> Any:
    return python_client("aiosalesforce", "aiosalesforce_client.py", ORG_URL=f"https://{served.domain}", **reached)


def live(org: RunningOrg, name: str) -> dict[str, dict[str, str | None]]:
    return {key: row for key, row in org.state(name).items() if row["IsDeleted"] != "true"}


def test_it_signs_in_in_three_ways(client: Any) -> None:
    answer = client("login")
    for way in ("soap", "jwt", "client_credentials"):
        assert "DailyApiRequests" in answer["limits"][way]
    assert {way: (error["kind"], error["code"]) for way, error in answer["refused"].items()} == {
        "soap": ("AuthenticationError", "INVALID_LOGIN"),
        "jwt": ("AuthenticationError", "invalid_grant"),
        "client_credentials": ("AuthenticationError", "invalid_client"),
    }


def test_it_pages_through_everything(client: Any, served: RunningOrg) -> None:
    contacts = live(served, "Contact")
    answer = client("read")
    assert answer["ids"] == sorted(contacts) and len(contacts) > 2000
    assert answer["everything"] == len(served.state("Contact"))
    assert answer["sample"]["attributes"]["type"] == "Contact" and answer["sample"]["Account"]["Name"]
    assert (answer["refused"]["kind"], answer["refused"]["code"]) == ("SalesforceError", "INVALID_FIELD")


def test_it_signs_in_again_when_the_session_ends_between_two_pages(client: Any, served: RunningOrg) -> None:
    served.faults({"path": "/query/0r8", "effect": {"expire_sessions": True}})
    answer = client("read")
    met = served.faults()[0]["applied"]
    served.clear_faults()
    assert met == 1 and answer["ids"] == sorted(live(served, "Contact"))


def test_it_tries_again_when_the_org_is_away(client: Any, served: RunningOrg) -> None:
    served.faults({"path": "/query", "count": 2, "effect": {"status": 503, "html": True}})
    answer = client("read")
    served.clear_faults()
    assert answer["ids"] == sorted(live(served, "Contact"))


def test_it_writes_and_is_told_what_was_refused(client: Any, served: RunningOrg) -> None:
    before = len(served.ledger())
    answer = client("write")
    accounts = served.state("Account")
    assert accounts[answer["made"]]["Name"] == "Äsync & <co>" and accounts[answer["made"]]["Phone"] == "0123"
    assert answer["read"]["Name"] == "Äsync & <co>" and answer["by_key"]["Name"] == "second"
    assert accounts[answer["gone"]]["IsDeleted"] == "true"
    thing = answer["by_key"]["Id"]
    assert answer["upserts"] == [[thing, True], [thing, False]]
    assert {name: (error["kind"], error["code"]) for name, error in answer["refused"].items()} == {
        "field": ("SalesforceError", "REQUIRED_FIELD_MISSING"),
        "missing": ("NotFoundError", "NOT_FOUND"),
        "several": ("MoreThanOneRecordError", None),
    }
    assert [entry["op"] for entry in served.ledger(since=before)] == [
        "insert", "update", "insert", "update", "insert", "delete",
    ]  # fmt: skip


def test_batch_and_composite_requests(client: Any, served: RunningOrg) -> None:
    answer = client("composite")
    account, found, status, refused = answer["batch"]
    assert served.state("Account")[account]["Name"] == "Batch" and found == 3
    assert status == 400 and refused[0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    parent, child, names = answer["composite"]
    assert served.state("Contact")[child]["AccountId"] == parent and names == ["Composite"]


def test_bulk_2(client: Any, served: RunningOrg) -> None:
    answer = client("bulk")
    [inserted] = answer["inserted"]
    assert inserted["state"] == "JobComplete" and inserted["unprocessed"] == []
    assert [row["LastName"] for row in inserted["good"]] == ['A "quoted", one', "Two"]
    assert inserted["bad"][0]["sf__Error"].startswith("REQUIRED_FIELD_MISSING:")
    contacts = served.state("Contact")
    assert contacts[inserted["good"][0]["sf__Id"]]["LastName"] == 'A "quoted", one'
    assert contacts[inserted["good"][1]["sf__Id"]]["IsDeleted"] == "true"
    assert [len(each["good"]) for each in answer["several"]] == [20, 20, 10] or len(answer["several"]) == 3
    keys = {row["Key__c"] for row in live(served, "Thing__c").values()}
    assert {f"b{n}" for n in range(50)} <= keys
    job, opened, aborted, listed = answer["job"]
    assert job.startswith("750") and (opened, aborted, listed) == ("Open", "Aborted", True)
    assert answer["after"]["kind"] == "NotFoundError"
