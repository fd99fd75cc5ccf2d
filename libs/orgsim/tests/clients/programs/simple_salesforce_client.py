"""Runs simple-salesforce as its users do. argv[1] names the scenario; addresses and secrets come from the environment.

The last line printed is JSON for the test to compare with the org.
"""

import base64
import json
import os
import sys
import tempfile
import warnings
from datetime import datetime, timedelta

from simple_salesforce import Salesforce, SFType, exceptions, format_soql
from simple_salesforce.exceptions import SalesforceError

ENV = os.environ
USER, PASSWORD, TOKEN = ENV["ORG_USERNAME"], ENV.get("ORG_PASSWORD", ""), ENV.get("ORG_SECURITY_TOKEN", "")
KEY, SECRET, DOMAIN = ENV["CLIENT_ID"], ENV["CLIENT_SECRET"], ENV["ORG_DOMAIN"]


def connect(**more):
    """By client credentials, which sign in again by themselves when the session ends."""
    return Salesforce(consumer_key=KEY, consumer_secret=SECRET, domain=DOMAIN, **more)


def refusal(work):
    """What a user sees of a refusal."""
    try:
        return {"answer": work()}
    except SalesforceError as error:
        code = getattr(error, "code", getattr(error, "status", None))
        return {
            "kind": type(error).__name__,
            "code": code,
            "content": getattr(error, "content", None),
            "text": str(error),
        }
    except exceptions.SalesforceAuthenticationFailed as error:
        return {"kind": type(error).__name__, "code": error.code, "text": error.message}


def login():
    key_file = ENV["PRIVATE_KEY_FILE"]
    ways = {
        "soap": lambda: Salesforce(username=USER, password=PASSWORD, security_token=TOKEN),
        "soap_with_organization": lambda: Salesforce(
            username=USER, password=PASSWORD + TOKEN, organizationId=ENV["ORG_ID"]
        ),
        "password": lambda: Salesforce(
            username=USER, password=PASSWORD + TOKEN, consumer_key=KEY, consumer_secret=SECRET
        ),
        "jwt": lambda: Salesforce(username=USER, consumer_key=KEY, privatekey_file=key_file),
        "client_credentials": connect,
    }
    answer = {}
    for way, sign_in in ways.items():
        sf = sign_in()
        answer[way] = {"counted": sf.query("SELECT COUNT() FROM Contact")["totalSize"], "instance": sf.sf_instance}
    sf = ways["soap"]()
    answer["direct"] = Salesforce(session_id=sf.session_id, instance=sf.sf_instance).oauth2("userinfo")["user_id"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answer["refused"] = {
            "soap": refusal(lambda: Salesforce(username=USER, password="wrong", security_token="")),
            "password": refusal(
                lambda: Salesforce(username=USER, password="no", consumer_key=KEY, consumer_secret=SECRET)
            ),
            "jwt": refusal(
                lambda: Salesforce(username="nobody@example.com", consumer_key=KEY, privatekey_file=key_file)
            ),
            "secret": refusal(lambda: Salesforce(consumer_key=KEY, consumer_secret="no", domain=DOMAIN)),
            "client": refusal(lambda: Salesforce(consumer_key="no", consumer_secret="no", domain=DOMAIN)),
        }
    answer["warned"] = [str(each.message) for each in caught]
    return answer


def read():
    sf = connect()
    soql = "SELECT Id, LastName, Account.Name FROM Contact ORDER BY Id"
    pages = [sf.query(soql)]
    while not pages[-1]["done"]:
        pages.append(sf.query_more(pages[-1]["nextRecordsUrl"], True))
    small = {"headers": {"Sforce-Query-Options": "batchSize=500"}}
    lazily = [record["Id"] for record in sf.query_all_iter(soql, **small)]
    deleted = sf.query_all("SELECT Id, IsDeleted FROM Contact", include_deleted=True)["records"]
    name = pages[0]["records"][0]["LastName"]
    return {
        "pages": [[record["Id"] for record in page["records"]] for page in pages],
        "total": pages[0]["totalSize"],
        "lazily": lazily,
        "with_deleted": len(deleted),
        "formatted": sf.query(format_soql("SELECT Id FROM Contact WHERE LastName = {}", name))["totalSize"],
        "name": name,
        "usage": sf.api_usage["api-usage"],
    }


def describe():
    sf = connect()
    contact = SFType("Contact", sf.session_id, sf.sf_instance)
    return {
        "objects": [each["name"] for each in sf.describe()["sobjects"]],
        "fields": [each["name"] for each in contact.describe()["fields"]],
        "metadata": sorted(contact.metadata()),
        "layout": sorted(sf.Contact.describe_layout("012000000000000AAA")),
        "limits": sorted(sf.limits()),
        "sandbox": sf.is_sandbox(),
        "restful": sorted(sf.restful("sobjects/Contact")),
        "tooling": sf.toolingexecute("query/?q=SELECT+Id+FROM+ApexClass")["records"],
        "search": refusal(lambda: sf.quick_search("Smith")),
        "versions": refusal(lambda: sf.restful("")),
    }


def write():
    sf = connect()
    made = sf.Account.create({"Name": "One & only <Ltd>", "Description": 'ünïcode — "quoted"'})
    changed = sf.Account.update(made["id"], {"Phone": "0123"})
    upserts = [sf.Thing__c.upsert("Key__c/py", {"Name": name}) for name in ("first", "second")]
    by_key = sf.Thing__c.get_by_custom_id("Key__c", "py")
    gone = sf.Account.create({"Name": "Gone"})["id"]
    deleted = sf.Account.delete(gone)
    return {
        "made": made,
        "changed": changed,
        "upserts": upserts,
        "by_key": by_key["Name"],
        "read": sf.Account.get(made["id"])["Description"],
        "deleted": deleted,
        "gone": gone,
        "refused": {
            "field": refusal(lambda: sf.Account.create({"Phone": "1"})),
            "missing": refusal(lambda: sf.Account.get("001000000000000AAA")),
            "deleted": refusal(lambda: sf.Account.update(gone, {"Phone": "1"})),
            "several": refusal(lambda: sf.Twin__c.upsert("Key__c/same", {"Name": "x"})),
            "query": refusal(lambda: sf.query("SELECT Nope__c FROM Account")),
            "session": refusal(lambda: Salesforce(session_id=sf.session_id[:20], instance=sf.sf_instance).limits()),
        },
    }


def changes():
    sf = connect()
    now = datetime.fromisoformat(ENV["NOW"])
    span = (now - timedelta(hours=1), now)
    return {"deleted": sf.Account.deleted(*span), "updated": sf.Account.updated(*span)}


def session_ends():
    """The second page is asked for with a session that has ended meanwhile; the client signs in again."""
    sf = connect()
    token = sf.session_id
    counted = len(sf.query_all("SELECT Id FROM Contact")["records"])
    return {"counted": counted, "signed_in_again": sf.session_id != token}


def bulk1():
    sf = connect()
    rows = [{"LastName": 'Bulk "one", with comma'}, {"FirstName": "nameless"}, {"LastName": "Bulk two"}]
    inserted = sf.bulk.Contact.insert(rows, batch_size=2, use_serial=True)
    first, last = inserted[0]["id"], inserted[2]["id"]
    updated = sf.bulk.Contact.update([{"Id": first, "FirstName": "Changed"}])
    upserted = sf.bulk.Thing__c.upsert([{"Key__c": "bulk1", "Name": "x"}], "Key__c")
    deleted = sf.bulk.Contact.delete([{"Id": last}])
    soql = "SELECT Id, LastName, Account.Name FROM Contact"
    lazily = [row for part in sf.bulk.Contact.query(soql, lazy_operation=True) for row in part]
    everything = sf.bulk.Contact.query_all("SELECT Id, IsDeleted FROM Contact")
    detailed = sf.bulk.Contact.insert([{"LastName": "Detailed"}], include_detailed_results=True)
    return {
        "inserted": inserted,
        "updated": updated,
        "upserted": upserted,
        "deleted": deleted,
        "queried": [row["Id"] for row in lazily],
        "sample": lazily[0],
        "everything": len(everything),
        "none": sf.bulk.Contact.query("SELECT Id FROM Contact WHERE LastName = 'nobody at all'"),
        "detailed": detailed,
        "malformed": refusal(lambda: sf.bulk.Contact.query("SELECT Nope__c FROM Contact")),
        "object": refusal(lambda: sf.bulk.Nope__c.insert([{"Name": "x"}])),
    }


def bulk2():
    sf = connect()
    wait = {"wait": 0.02}
    rows = [{"LastName": 'Two "one", with comma', "FirstName": ""}, {"LastName": "", "FirstName": "nameless"}]
    inserted = sf.bulk2.Contact.insert(records=rows, **wait)
    job = inserted[0]["job_id"]
    results = {
        "good": sf.bulk2.Contact.get_successful_records(job),
        "bad": sf.bulk2.Contact.get_failed_records(job),
        "unprocessed": sf.bulk2.Contact.get_unprocessed_records(job),
    }
    made = results["good"].splitlines()[1].split(",")[0].strip('"')
    updated = sf.bulk2.Contact.update(records=[{"Id": made, "FirstName": "Changed"}], **wait)
    upserted = sf.bulk2.Thing__c.upsert(records=[{"Key__c": "bulk2", "Name": "x"}], external_id_field="Key__c", **wait)
    deleted = sf.bulk2.Contact.delete(records=[{"Id": made}], **wait)
    pages = list(sf.bulk2.Contact.query("SELECT Id, LastName, Account.Name FROM Contact", max_records=1000, **wait))
    everything = list(sf.bulk2.Contact.query_all("SELECT Id, IsDeleted FROM Contact", **wait))
    with tempfile.TemporaryDirectory() as folder:
        files = sf.bulk2.Contact.download("SELECT Id FROM Contact", folder, max_records=1000, **wait)
        downloaded = [each["number_of_records"] for each in files]
    return {
        "inserted": inserted,
        "results": results,
        "updated": updated,
        "upserted": upserted,
        "deleted": deleted,
        "pages": pages,
        "everything": "".join(everything).count("\n"),
        "downloaded": downloaded,
        "malformed": refusal(lambda: list(sf.bulk2.Contact.query("SELECT Nope__c FROM Contact", **wait))),
    }


def blobs():
    sf = connect()
    content = bytes(i * 7 % 256 for i in range(70000))
    sent = base64.b64encode(content).decode()
    account = sf.Account.create({"Name": "With attachment"})["id"]
    attachment = sf.Attachment.create({"ParentId": account, "Name": "a.bin", "Body": sent})["id"]
    version = sf.ContentVersion.create({"Title": "a", "PathOnClient": "a.bin", "VersionData": sent})["id"]
    back = [sf.Attachment.get_base64(attachment), sf.ContentVersion.get_base64(version, base64_field="VersionData")]
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"other")
        file.flush()
        replaced = sf.Attachment.update_base64(attachment, file.name)
    return {
        "same": [each == content for each in back],
        "size": sf.ContentVersion.get(version)["ContentSize"],
        "replaced": replaced,
        "other": sf.Attachment.get_base64(attachment).decode(),
        "missing": refusal(lambda: sf.Attachment.get_base64("00P000000000000AAA")),
    }


print(json.dumps(globals()[sys.argv[1]](), default=bytes.decode))  # it hands out some texts of SOAP as bytes
