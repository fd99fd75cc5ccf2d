"""Runs aiosalesforce as its users do. argv[1] names the scenario; addresses and secrets come from the environment.

The last line printed is JSON for the test to compare with the org.
"""

import asyncio
import json
import os
import sys

import httpx
from aiosalesforce import Salesforce
from aiosalesforce.auth import ClientCredentialsFlow, JwtBearerFlow, SoapLogin
from aiosalesforce.exceptions import SalesforceError

ENV = os.environ
KEY, SECRET, URL = ENV["CLIENT_ID"], ENV["CLIENT_SECRET"], ENV["ORG_URL"]


async def refusal(work):
    """What a user sees of a refusal."""
    try:
        return {"answer": await work}
    except SalesforceError as error:
        return {"kind": type(error).__name__, "code": error.error_code, "message": error.error_message}


async def all_of(records):
    return [record async for record in records]


async def login(http):
    user, password, token = ENV["ORG_USERNAME"], ENV["ORG_PASSWORD"], ENV["ORG_SECURITY_TOKEN"]
    ways = {
        "soap": SoapLogin(user, password, token),
        "jwt": JwtBearerFlow(KEY, user, ENV["PRIVATE_KEY_FILE"]),
        "client_credentials": ClientCredentialsFlow(KEY, SECRET),
    }
    refused = {
        "soap": SoapLogin(user, "wrong", token),
        "jwt": JwtBearerFlow(KEY, "nobody@example.com", ENV["PRIVATE_KEY_FILE"]),
        "client_credentials": ClientCredentialsFlow(KEY, "wrong"),
    }
    return {
        "limits": {way: sorted(await Salesforce(http, URL, auth).get_limits()) for way, auth in ways.items()},
        "refused": {
            way: await refusal(Salesforce(http, URL, auth, retry_policy=None).get_limits())
            for way, auth in refused.items()
        },
    }


async def read(http):
    sf = Salesforce(http, URL, ClientCredentialsFlow(KEY, SECRET))
    records = await all_of(sf.query("SELECT Id, LastName, Account.Name FROM Contact ORDER BY Id"))
    everything = await all_of(sf.query("SELECT Id FROM Contact", include_all_records=True))
    return {
        "ids": [record["Id"] for record in records],
        "sample": records[0],
        "everything": len(everything),
        "refused": await refusal(all_of(sf.query("SELECT Nope__c FROM Contact"))),
    }


async def write(http):
    sf = Salesforce(http, URL, ClientCredentialsFlow(KEY, SECRET))
    made = await sf.sobject.create("Account", {"Name": "Äsync & <co>"})
    await sf.sobject.update("Account", made, {"Phone": "0123"})
    upserts = [await sf.sobject.upsert("Thing__c", "aio", "Key__c", {"Name": name}) for name in ("first", "second")]
    gone = await sf.sobject.create("Account", {"Name": "Gone"})
    await sf.sobject.delete("Account", gone)
    return {
        "made": made,
        "gone": gone,
        "read": await sf.sobject.get("Account", made, fields=["Name", "Phone"]),
        "by_key": await sf.sobject.get("Thing__c", "aio", external_id_field="Key__c"),
        "upserts": [[each.id, each.created] for each in upserts],
        "refused": {
            "field": await refusal(sf.sobject.create("Account", {"Phone": "1"})),
            "missing": await refusal(sf.sobject.get("Account", "001000000000000AAA")),
            "several": await refusal(sf.sobject.upsert("Twin__c", "same", "Key__c", {"Name": "x"})),
        },
    }


async def composite(http):
    sf = Salesforce(http, URL, ClientCredentialsFlow(KEY, SECRET))
    async with sf.composite.batch() as batch:
        account = batch.sobject.create("Account", {"Name": "Batch"})
        query = batch.query("SELECT Id FROM Contact LIMIT 3")
        bad = batch.sobject.create("Account", {"Phone": "1"})
    async with sf.composite(all_or_none=True) as request:
        parent = request.sobject.create("Account", {"Name": "Composite"})
        child = request.sobject.create("Contact", {"LastName": "Child", "AccountId": str(parent.reference.id)})
        found = request.query("SELECT Name FROM Account WHERE Name = 'Composite'")
    return {
        "batch": [account.id, len(query.records), bad.status_code, bad.result],
        "composite": [parent.id, child.id, [record["Name"] for record in found.records]],
    }


async def bulk(http):
    sf = Salesforce(http, URL, ClientCredentialsFlow(KEY, SECRET))

    async def run(operation, sobject, data, **more):
        jobs = sf.bulk_v2.ingest.perform_operation(operation, sobject, data, polling_interval=0.02, **more)
        return [
            {
                "state": each.job_info.state,
                "good": each.successful_results,
                "bad": each.failed_results,
                "unprocessed": each.unprocessed_records,
            }
            async for each in jobs
        ]

    rows = [{"LastName": 'A "quoted", one'}, {"LastName": "", "FirstName": "nameless"}, {"LastName": "Two"}]
    inserted = await run("insert", "Contact", rows)
    ids = [row["sf__Id"] for row in inserted[0]["good"]]
    several = await run(
        "upsert",
        "Thing__c",
        [{"Key__c": f"b{n}", "Name": "x"} for n in range(50)],
        external_id_field="Key__c",
        max_records=20,
    )
    deleted = await run("delete", "Contact", [{"Id": ids[1]}])
    job = await sf.bulk_v2.ingest.create_job("insert", "Contact")
    aborted = await sf.bulk_v2.ingest.abort_job(job.id)
    listed = [each.id async for each in sf.bulk_v2.ingest.list_jobs()]
    await sf.bulk_v2.ingest.delete_job(job.id)
    return {
        "inserted": inserted,
        "several": several,
        "deleted": deleted,
        "job": [job.id, job.state, aborted.state, job.id in listed],
        "after": await refusal(sf.bulk_v2.ingest.get_job(job.id)),
    }


async def main():
    async with httpx.AsyncClient() as http:
        print(json.dumps(await globals()[sys.argv[1]](http)))


asyncio.run(main())
