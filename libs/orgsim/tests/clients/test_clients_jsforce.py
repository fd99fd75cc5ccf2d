"""jsforce, and the sf CLI's edition of it, run unmodified under their own pinned Node."""

import hashlib
import json
import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from holdfast.orgsim.testing import RunningOrg

PACKAGES = ("jsforce", "@jsforce/jsforce-node")
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("client-jsforce")]


@pytest.fixture(scope="module", params=PACKAGES)
def jsforce(request: pytest.FixtureRequest, served: RunningOrg, node_client: Any) -> Any:
    """The client at the org's plain http address."""
    return node_client(
        "jsforce",
        "jsforce_client.mjs",
        PACKAGE=request.param,
        KEY=f"key-{PACKAGES.index(request.param)}-",  # both write to the same org
        LOGIN_URL=served.url,
        INSTANCE_URL=served.url,
        CLIENT_ID=served.client_id,
        CLIENT_SECRET=served.client_secret,
        ORG_USERNAME=served.username,
        ORG_PASSWORD=served.password + served.security_token,
        ACCESS_TOKEN=served.token(),
    )


def live(org: RunningOrg, name: str) -> dict[str, dict[str, str | None]]:
    return {key: row for key, row in org.state(name).items() if row["IsDeleted"] != "true"}


def test_it_pages_through_everything_in_four_ways(jsforce: Any, served: RunningOrg) -> None:
    contacts = live(served, "Contact")
    answer = jsforce("read")
    assert answer["all"] == sorted(contacts) and answer["streamed"] == sorted(contacts)
    assert answer["total"] == len(contacts) > 2000
    assert not answer["done"] and answer["pages"] == [200, 200]
    names = sorted(
        (row["LastName"] for row in contacts.values() if row["LastName"].lower().startswith("s")), key=str.lower
    )
    assert answer["found"] == names[::-1][:5]
    assert answer["several"] == sorted(contacts)[:3]
    assert all(child["Contacts"]["done"] and child["Contacts"]["records"] for child in answer["children"])
    assert [record["attributes"] for record in answer["grouped"]] == [{"type": "AggregateResult"}] * 2
    account = served.state("Account")[contacts[answer["all"][0]]["AccountId"]]
    assert answer["parent"]["Name"] == account["Name"] and answer["parent"]["attributes"]["type"] == "Account"
    assert answer["usage"]["apiUsage"]["limit"] == served.limits()["max"]


def test_it_reads_what_the_org_is_made_of(jsforce: Any, served: RunningOrg) -> None:
    answer = jsforce("describe")
    assert {"Account", "Contact", "Thing__c"} <= set(answer["objects"])
    assert {"Id", "LastName", "SystemModstamp"} <= set(answer["fields"]) and answer["same"]
    assert {"DailyApiRequests", "DailyBulkApiBatches"} <= set(answer["limits"])
    assert answer["versions"][-1].keys() == {"label", "url", "version"}
    assert answer["updated"].keys() == {"ids", "latestDateCovered"}
    assert answer["deleted"].keys() == {"deletedRecords", "earliestDateAvailable", "latestDateCovered"}
    assert isinstance(answer["recent"], list)
    for link in ("tabs", "theme", "layouts", "compact", "actions"):
        assert "answer" in answer[link], (link, answer[link])


def test_it_writes_one_and_many_and_is_told_what_was_refused(jsforce: Any, served: RunningOrg) -> None:
    before = len(served.ledger())
    answer = jsforce("write")
    accounts = served.state("Account")
    made = accounts[answer["created"]["id"]]
    assert (
        made["Name"] == "One & only <Ltd>" and made["Description"] == 'ünïcode — "quoted"' and made["Phone"] == "0123"
    )
    assert answer["read"]["Name"] == made["Name"] and answer["read"]["attributes"]["type"] == "Account"
    assert len(set(answer["many"])) == 450 and set(answer["many"]) <= accounts.keys()
    assert answer["updated"]["success"] and [row["success"] for row in answer["updatedMany"]] == [True] * 3
    assert [row["created"] for row in answer["upserted"]] == [True, False]
    assert [row["created"] for row in answer["upsertedMany"]] == [False, True]
    things = {row["Key__c"]: row["Name"] for row in live(served, "Thing__c").values()}
    assert things[jsforce.variables["KEY"] + "1"] == "third" and things[jsforce.variables["KEY"] + "2"] == "new"
    assert [accounts[each]["IsDeleted"] for each in answer["many"][:5]] == ["true"] * 4 + ["false"]
    assert [row["success"] for row in answer["mixed"]] == [True, False]
    assert answer["mixed"][1]["errors"][0] | {"message": ""} == {
        "statusCode": "REQUIRED_FIELD_MISSING", "message": "", "fields": ["Name"],
    }  # fmt: skip
    assert "not saved" not in {row["Name"] for row in accounts.values()}
    assert answer["missing"] == {
        "name": "REQUIRED_FIELD_MISSING", "code": "REQUIRED_FIELD_MISSING",
        "message": "Required fields are missing: [Name]", "fields": ["Name"],
    }  # fmt: skip
    assert answer["unknown"]["code"] == "NOT_FOUND" and answer["deleted"]["code"] == "ENTITY_IS_DELETED"
    mine = [entry for entry in served.ledger()[before:] if entry["object"] == "Account"]
    assert [entry["op"] for entry in mine].count("insert") == 452 and [entry["op"] for entry in mine].count(
        "delete"
    ) == 4


def test_refusals_reach_the_user_by_their_code(jsforce: Any) -> None:
    answer = jsforce("errors")
    assert {name: error["code"] for name, error in answer.items()} == {
        "field": "INVALID_FIELD",
        "type": "INVALID_TYPE",
        "syntax": "MALFORMED_QUERY",
        "path": "NOT_FOUND",
        "locator": "INVALID_QUERY_LOCATOR",
        "session": "INVALID_SESSION_ID",
        "session_bulk": "InvalidSessionId",
        "session_soap": "sf:INVALID_SESSION_ID",
    }


def test_bulk_1(jsforce: Any, served: RunningOrg) -> None:
    answer = jsforce("bulk1")
    assert [row["success"] for row in answer["loaded"]] == [True, False, True]
    assert [row["created"] for row in answer["loaded"]] == [True, False, True]
    assert answer["loaded"][1]["errors"][0].startswith("REQUIRED_FIELD_MISSING:")
    contacts = served.state("Contact")
    first, last = contacts[answer["loaded"][0]["id"]], contacts[answer["loaded"][2]["id"]]
    assert (first["LastName"], first["FirstName"]) == ('Bulk "one", with comma', "Changed")
    assert last["IsDeleted"] == "true" and answer["deleted"][0]["success"]
    assert sorted(answer["records"]) == sorted(live(served, "Contact"))
    assert answer["sample"].keys() >= {"Id", "LastName", "Account.Name"}
    assert answer["none"] == []
    assert "Nope__c" in answer["malformed"]["message"]
    assert answer["opened"]["state"] == "Open" and answer["opened"]["id"].startswith("750")
    assert answer["state"] == "Open" and answer["aborted"] == "Aborted"
    assert answer["object"]["code"] == "InvalidJob"


def test_bulk_2(jsforce: Any, served: RunningOrg) -> None:
    before = sorted(live(served, "Contact"))
    answer = jsforce("bulk2")
    assert sorted(answer["records"]) == before
    assert answer["sample"].keys() >= {"Id", "LastName", "Account.Name"}
    good, bad = answer["loaded"]["successfulResults"], answer["loaded"]["failedResults"]
    assert [row["LastName"] for row in good] == ['Two "one", with comma', "Two"] and answer["loaded"][
        "unprocessedRecords"
    ] == []
    assert {row["sf__Created"] for row in good} == {"true"}
    assert bad[0]["sf__Error"].startswith("REQUIRED_FIELD_MISSING:") and bad[0]["FirstName"] == "nameless"
    contacts = served.state("Contact")
    assert [contacts[row["sf__Id"]]["FirstName"] for row in good] == ["Changed", "Changed"]
    assert contacts[good[1]["sf__Id"]]["IsDeleted"] == "true"
    assert answer["opened"]["state"] == "Open" and answer["aborted"] == "Aborted"
    assert "Nope__c" in answer["malformed"]["message"]
    assert answer["after"]["code"] == "NOT_FOUND"


def test_files_come_back_as_they_went(jsforce: Any, served: RunningOrg) -> None:
    answer = jsforce("blobs")
    assert answer["back"] == [True, True] and answer["body"] == "hällo"
    content = bytes((i * 7) % 256 for i in range(70000))
    for row in answer["rows"]:
        assert row["ContentSize"] == 70000 and row["Checksum"] == hashlib.md5(content).hexdigest() and row["IsLatest"]
    assert {row["ContentDocumentId"] for row in answer["rows"]} <= served.state("ContentDocument").keys()
    assert answer["link"]["success"]


def test_soap_calls(jsforce: Any, served: RunningOrg) -> None:
    answer = jsforce("soap")
    assert answer["info"]["organizationId"] == served.org_id and answer["info"]["userName"] == served.username
    assert answer["time"]["timestamp"]
    first, refused = answer["created"]
    assert first["success"] and not refused["success"]
    assert refused["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    for call in ("updated", "upserted", "deleted", "undeleted", "emptied"):
        assert answer[call][0]["success"], (call, answer[call])
    assert answer["upserted"][0]["created"]
    entries = [entry for entry in served.ledger("Account") if entry["op"] != "loaded"]
    operations = [entry["op"] for entry in entries if entry["id"] == first["id"]]
    assert operations[:2] == ["insert", "update"]
    assert operations[-4:] == ["delete", "undelete", "delete", "harddelete"]
    [merged] = [entry["id"] for entry in entries if (entry["values"] or {}).get("MasterRecordId") == first["id"]][:1]
    assert merged in str(answer["merged"])


def test_composite_requests(jsforce: Any, served: RunningOrg) -> None:
    answer = jsforce("composite")
    parent, child = (part["body"]["id"] for part in answer["composite"]["compositeResponse"])
    assert served.state("Contact")[child]["AccountId"] == parent
    assert not answer["tree"]["hasErrors"]
    tree = {row["referenceId"]: row["id"] for row in answer["tree"]["results"]}
    assert served.state("Contact")[tree["c"]]["AccountId"] == tree["a"]
    assert answer["graph"]["graphs"][0]["isSuccessful"]
    assert answer["batch"] == [200, 400] and answer["hasErrors"]


def test_it_signs_in_by_soap(jsforce: Any, served: RunningOrg) -> None:
    answer = jsforce("login_soap")
    assert answer["user"]["organizationId"] == served.org_id and answer["identity"] == answer["user"]["id"]
    assert answer["instanceUrl"] == served.url and answer["counted"] == len(live(served, "Contact"))
    assert answer["refused"]["message"].startswith("INVALID_LOGIN: Invalid username, password, security token")


def test_it_signs_in_by_username_and_password(jsforce: Any, served: RunningOrg) -> None:
    answer = jsforce("login_password")
    assert answer["user"]["organizationId"] == served.org_id
    assert answer["identity"]["username"] == served.username
    assert answer["refused"]["name"] == "invalid_client"


def test_it_signs_in_through_the_browser_and_renews_its_session(jsforce: Any, served: RunningOrg) -> None:
    back = "http://localhost:1717/OauthRedirect"
    with jsforce.start("login_web", redirect_uri=back) as program:
        code = consented(json.loads(program.stdout.readline())["address"], served)
        out, error = program.communicate(code, timeout=60)
    assert program.returncode == 0, error
    answer = json.loads(out.splitlines()[-1])
    assert answer["user"]["organizationId"] == served.org_id and answer["refreshToken"]
    assert answer["again"]["name"] == "invalid_grant"  # a code is good once
    assert answer["refreshed"] == [True] and answer["counted"] == len(live(served, "Contact"))


def consented(address: str, org: RunningOrg) -> str:
    """What a person does in the browser: log in, allow; the code that the redirect carries."""
    with httpx.Client(base_url=org.url, trust_env=False) as browser:
        answer = browser.get(address)
        if urlsplit(answer.headers["location"]).path == "/login":
            start = filled(browser.get(answer.headers["location"]).text)["startURL"]
            form = {"un": org.username, "pw": org.password, "startURL": start}
            answer = browser.get(browser.post("/login", data=form).headers["location"])
        if answer.status_code == 200:
            form = {**filled(answer.text), "save": "Allow"}
            answer = browser.post("/setup/secur/RemoteAccessAuthorizationPage.apexp", data=form)
    return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]


def filled(page: str) -> dict[str, str]:
    found = re.findall(r'<input[^>]*?name="([^"]*)"[^>]*?value="([^"]*)"', page)
    return {unescape(name): unescape(value) for name, value in found}
