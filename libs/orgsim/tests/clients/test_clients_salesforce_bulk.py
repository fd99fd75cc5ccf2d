"""salesforce-bulk, the Bulk API 1.0 client under CumulusCI, unmodified."""

from typing import Any

import pytest

from holdfast.orgsim.testing import RunningOrg

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("client-salesforce-bulk")]


@pytest.fixture(scope="module")
def client(python_client: Any, reached: dict[str, str], served: RunningOrg) -> Any:
    at = {"ORG_URL": f"https://{served.domain}", "ACCESS_TOKEN": served.token()}
    return python_client("salesforce-bulk", "salesforce_bulk_client.py", **at, **reached)


def live(org: RunningOrg, name: str) -> dict[str, dict[str, str | None]]:
    return {key: row for key, row in org.state(name).items() if row["IsDeleted"] != "true"}


def test_it_signs_in(client: Any, served: RunningOrg) -> None:
    assert client("login") == {"endpoint": f"https://{served.domain}/services/async/40.0", "state": "Open"}


def test_it_queries(client: Any, served: RunningOrg) -> None:
    contacts = live(served, "Contact")
    answer = client("query")
    assert sorted(answer["ids"]) == sorted(contacts) and len(contacts) > 2000
    assert list(answer["sample"]) == ["Id", "LastName", "Account.Name"]
    assert answer["sample"]["LastName"] == contacts[answer["sample"]["Id"]]["LastName"]
    assert answer["asked"] == "SELECT Id, LastName, Account.Name FROM Contact"
    assert answer["nothing"].strip().strip('"') == "Records not found for this query"
    assert len(answer["json"]) == 3 and answer["json"][0]["attributes"]["type"] == "Contact"
    status = answer["status"]
    assert status["state"] == "Closed" and status["numberRecordsProcessed"] == str(len(contacts))
    assert status["numberBatchesCompleted"] == status["numberBatchesTotal"] == "1"


def test_chunks_of_ids(client: Any, served: RunningOrg) -> None:
    answer = client("chunked")
    assert answer["first"] == "NotProcessed" and len(answer["chunks"]) >= 3
    assert sorted(each for chunk in answer["chunks"] for each in chunk) == sorted(live(served, "Contact"))


def test_it_writes(client: Any, served: RunningOrg) -> None:
    answer = client("write")
    made, refused, gone = answer["inserted"]  # id, success, created, error
    assert made[1:] == ["true", "true", ""] and gone[1] == "true"
    assert refused[:3] == ["", "false", "false"] and refused[3].startswith("REQUIRED_FIELD_MISSING:")
    [batch] = answer["listed"]
    assert (batch["state"], batch["numberRecordsProcessed"], batch["numberRecordsFailed"]) == ("Completed", "3", "1")
    contacts = served.state("Contact")
    assert contacts[made[0]]["LastName"] == 'Bulk "one", with comma\nand line'
    assert contacts[made[0]]["FirstName"] == "Changed" and contacts[gone[0]]["IsDeleted"] == "true"
    assert answer["updated"][0][1:3] == ["true", "false"] and answer["upserted"][0][1:3] == ["true", "true"]
    assert answer["deleted"][0][1] == "true" and answer["state"] == "Closed"


def test_refusals_reach_the_user(client: Any) -> None:
    answer = client("errors")
    for name, code in {"session": "InvalidSessionId", "object": "InvalidJob", "job": "InvalidJob"}.items():
        assert answer[name]["status"] == 400 and f"<exceptionCode>{code}</exceptionCode>" in answer[name]["text"], name
    assert "<exceptionCode>InvalidJobState</exceptionCode>" in answer["closed"]["text"]
    assert answer["query"]["kind"] == "BulkBatchFailed" and "Nope__c" in answer["query"]["text"]
    assert answer["aborted"] == "Aborted"
