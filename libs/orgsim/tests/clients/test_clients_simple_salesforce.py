"""simple-salesforce, unmodified, at Salesforce's own host names: only the CA file and the proxy lead it to the org."""

import csv
import io
from typing import Any

import pytest

from holdfast.orgsim.testing import RunningOrg

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("client-simple-salesforce")]


@pytest.fixture(scope="module")
def client(python_client: Any, reached: dict[str, str]) -> Any:
    return python_client("simple-salesforce", "simple_salesforce_client.py", **reached)


def live(org: RunningOrg, name: str) -> dict[str, dict[str, str | None]]:
    return {key: row for key, row in org.state(name).items() if row["IsDeleted"] != "true"}


def test_it_signs_in_in_five_ways(client: Any, served: RunningOrg) -> None:
    answer = client("login")
    contacts = len(live(served, "Contact"))
    for way in ("soap", "soap_with_organization", "password", "jwt", "client_credentials"):
        assert answer[way] == {"counted": contacts, "instance": served.domain}, way
    assert answer["direct"].startswith("005")
    assert {way: (error["kind"], error["code"]) for way, error in answer["refused"].items()} == {
        "soap": ("SalesforceAuthenticationFailed", "INVALID_LOGIN"),
        "password": ("SalesforceAuthenticationFailed", "invalid_grant"),
        "jwt": ("SalesforceAuthenticationFailed", "invalid_grant"),
        "secret": ("SalesforceAuthenticationFailed", "invalid_client"),
        "client": ("SalesforceAuthenticationFailed", "invalid_client_id"),
    }
    assert answer["refused"]["soap"]["text"].startswith("Authentication failed (code: INVALID_LOGIN)")
    assert "response_type=code&client_id=" in answer["warned"][0]  # the user has not approved this consumer


def test_it_pages_through_everything(client: Any, served: RunningOrg) -> None:
    ids = sorted(live(served, "Contact"))
    answer = client("read")
    assert [len(page) for page in answer["pages"]] == [2000, len(ids) - 2000]
    assert [each for page in answer["pages"] for each in page] == ids == answer["lazily"]
    assert answer["total"] == len(ids) and answer["with_deleted"] == len(served.state("Contact"))
    same = [row for row in live(served, "Contact").values() if row["LastName"].lower() == answer["name"].lower()]
    assert answer["formatted"] == len(same)
    assert answer["usage"][1] == served.limits()["max"] and 0 < answer["usage"][0] <= served.limits()["used"]


def test_it_reads_what_the_org_is_made_of(client: Any) -> None:
    answer = client("describe")
    assert {"Account", "Contact", "Thing__c"} <= set(answer["objects"])
    assert {"Id", "LastName", "SystemModstamp"} <= set(answer["fields"])
    assert answer["metadata"] == answer["restful"] == ["objectDescribe", "recentItems"]
    assert {"buttonLayoutSection", "detailLayoutSections", "editLayoutSections", "id"} <= set(answer["layout"])
    assert {"DailyApiRequests", "DailyBulkApiBatches"} <= set(answer["limits"])
    assert answer["sandbox"] is False and answer["tooling"] == []
    assert answer["search"]["answer"]["searchRecords"]
    assert "sobjects" in answer["versions"]["answer"]


def test_it_writes_and_is_told_what_was_refused(client: Any, served: RunningOrg) -> None:
    before = len(served.ledger())
    answer = client("write")
    accounts = served.state("Account")
    made = accounts[answer["made"]["id"]]
    assert (
        made["Name"] == "One & only <Ltd>" and made["Description"] == 'ünïcode — "quoted"' and made["Phone"] == "0123"
    )
    assert answer["read"] == made["Description"] and answer["by_key"] == "second"
    assert answer["changed"] == 204 and answer["upserts"][1] == 200 and answer["deleted"] == 204
    assert accounts[answer["gone"]]["IsDeleted"] == "true"
    refused = answer["refused"]
    assert {name: (error["kind"], error["code"]) for name, error in refused.items()} == {
        "field": ("SalesforceMalformedRequest", 400),
        "missing": ("SalesforceResourceNotFound", 404),
        "deleted": ("SalesforceResourceNotFound", 404),
        "several": ("SalesforceMoreThanOneRecord", 300),
        "query": ("SalesforceMalformedRequest", 400),
        "session": ("SalesforceExpiredSession", 401),
    }
    assert refused["field"]["content"] == [
        {
            "message": "Required fields are missing: [Name]",
            "errorCode": "REQUIRED_FIELD_MISSING",
            "fields": ["Name"],
        }
    ]
    assert len(refused["several"]["content"]) == 2
    written = [(entry["object"], entry["op"]) for entry in served.ledger(since=before)]
    assert written == [
        ("Account", "insert"), ("Account", "update"), ("Thing__c", "insert"), ("Thing__c", "update"),
        ("Account", "insert"), ("Account", "delete"),
    ]  # fmt: skip


def test_it_asks_what_changed(client: Any, served: RunningOrg) -> None:
    written = client("write")
    served.advance(300)
    answer = client("changes", now=served.now())
    assert written["gone"] in [row["id"] for row in answer["deleted"]["deletedRecords"]]
    assert written["made"]["id"] in answer["updated"]["ids"] and written["gone"] not in answer["updated"]["ids"]
    for part in answer.values():
        assert part["latestDateCovered"] > "2"


def test_it_signs_in_again_when_the_session_ends_between_two_pages(client: Any, served: RunningOrg) -> None:
    served.faults({"path": "/query/0r8", "effect": {"expire_sessions": True}})
    answer = client("session_ends")
    served.clear_faults()
    assert answer == {"counted": len(live(served, "Contact")), "signed_in_again": True}


def test_bulk_1(client: Any, served: RunningOrg) -> None:
    answer = client("bulk1")
    first, refused, last = answer["inserted"]
    assert first["success"] and first["created"] and first["errors"] == [] and last["success"]
    assert not refused["success"] and refused["id"] is None
    assert refused["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    contacts = served.state("Contact")
    assert contacts[first["id"]]["LastName"] == 'Bulk "one", with comma'
    assert contacts[first["id"]]["FirstName"] == "Changed" and contacts[last["id"]]["IsDeleted"] == "true"
    assert answer["updated"][0]["success"] and not answer["updated"][0]["created"]
    assert answer["upserted"][0]["created"] and answer["deleted"][0]["success"]
    assert {*answer["queried"], answer["detailed"][0]["id"]} == live(served, "Contact").keys()
    assert answer["sample"]["attributes"]["type"] == "Contact"
    assert answer["everything"] == len(served.state("Contact")) - 1
    assert answer["none"] == []
    assert answer["malformed"]["code"] == "Failed" and "Nope__c" in answer["malformed"]["content"]
    assert answer["object"]["content"]["exceptionCode"] == "InvalidJob"


def test_bulk_2(client: Any, served: RunningOrg) -> None:
    answer = client("bulk2")
    assert answer["inserted"][0] | {"job_id": ""} == {
        "numberRecordsFailed": 1, "numberRecordsProcessed": 2, "numberRecordsTotal": 2, "job_id": "",
    }  # fmt: skip
    good, bad = (list(csv.DictReader(io.StringIO(answer["results"][name]))) for name in ("good", "bad"))
    assert good[0]["LastName"] == 'Two "one", with comma' and good[0]["sf__Created"] == "true"
    assert bad[0]["sf__Error"].startswith("REQUIRED_FIELD_MISSING:") and bad[0]["FirstName"] == "nameless"
    made = served.state("Contact")[good[0]["sf__Id"]]
    assert made["FirstName"] == "Changed" and made["IsDeleted"] == "true"
    read = [row["Id"] for page in answer["pages"] for row in csv.DictReader(io.StringIO(page))]
    assert set(read) == live(served, "Contact").keys() and len(answer["pages"]) == -(-len(read) // 1000) > 2
    assert answer["downloaded"] == [1000] * (len(read) // 1000) + [len(read) % 1000]
    assert answer["everything"] == len(served.state("Contact")) + 1
    assert "Nope__c" in str(answer["malformed"])


def test_files_come_back_as_they_went(client: Any) -> None:
    answer = client("blobs")
    assert answer["same"] == [True, True] and answer["size"] == 70000
    assert answer["replaced"] == 204 and answer["other"] == "other"
    assert answer["missing"]["kind"] == "SalesforceResourceNotFound"
