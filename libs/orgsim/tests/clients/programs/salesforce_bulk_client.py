"""Runs salesforce-bulk as its users do. argv[1] names the scenario; addresses and secrets come from the environment.

The last line printed is JSON for the test to compare with the org.
"""

import csv
import io
import json
import os
import sys

from salesforce_bulk import BulkApiError, CsvDictsAdapter, SalesforceBulk

ENV = os.environ
QUICK = {"timeout": 30, "sleep_interval": 0.05}


def refusal(work):
    """What a user sees of a refusal."""
    try:
        return {"answer": work()}
    except BulkApiError as error:
        return {"kind": type(error).__name__, "status": error.status_code, "text": str(error)}


def login():
    user, password, token = ENV["ORG_USERNAME"], ENV["ORG_PASSWORD"], ENV["ORG_SECURITY_TOKEN"]
    bulk = SalesforceBulk(username=user, password=password, security_token=token)
    job = bulk.create_query_job("Contact", contentType="CSV")
    return {"endpoint": bulk.endpoint, "state": bulk.job_state(job)}


def connect():
    return SalesforceBulk(sessionId=ENV["ACCESS_TOKEN"], host=ENV["ORG_URL"])


def rows_of(bulk, batch):
    return [
        row
        for part in bulk.get_all_results_for_query_batch(batch)
        for row in csv.DictReader(io.TextIOWrapper(part, encoding="utf-8", newline=""))
    ]


def query():
    bulk = connect()
    job = bulk.create_query_job("Contact", contentType="CSV", concurrency="Parallel")
    batch = bulk.query(job, "SELECT Id, LastName, Account.Name FROM Contact")
    bulk.close_job(job)
    bulk.wait_for_batch(job, batch, **QUICK)
    rows = rows_of(bulk, batch)
    asked = bulk.get_query_batch_request(batch)
    empty_job = bulk.create_query_job("Contact", contentType="CSV")
    empty = bulk.query(empty_job, "SELECT Id FROM Contact WHERE LastName = 'nobody at all'")
    bulk.wait_for_batch(empty_job, empty, **QUICK)
    [nothing] = bulk.get_all_results_for_query_batch(empty)
    json_job = bulk.create_queryall_job("Contact", contentType="JSON")
    json_batch = bulk.query(json_job, "SELECT Id, LastName, CreatedDate FROM Contact LIMIT 3")
    bulk.wait_for_batch(json_job, json_batch, **QUICK)
    as_json = [row for part in bulk.get_all_results_for_query_batch(json_batch) for row in json.load(part)]
    return {
        "ids": [row["Id"] for row in rows],
        "sample": rows[0],
        "asked": asked,
        "nothing": nothing.read().decode(),
        "json": as_json,
        "status": bulk.job_status(job),
    }


def chunked():
    """Primary-key chunking: the first batch is not processed, the chunks are found in the batch list."""
    bulk = connect()
    job = bulk.create_query_job("Contact", contentType="CSV", pk_chunking=1000)
    first = bulk.query(job, "SELECT Id FROM Contact")
    chunks = []
    for info in bulk.get_batch_list(job):
        if info["id"] == first:
            continue
        bulk.wait_for_batch(job, info["id"], **QUICK)
        bulk.batches[info["id"]] = job
        chunks.append([row["Id"] for row in rows_of(bulk, info["id"])])
    bulk.close_job(job)
    return {"first": bulk.batch_state(first, reload=True), "chunks": chunks}


def write():
    bulk = connect()
    rows = [{"LastName": 'Bulk "one", with comma\nand line'}, {"LastName": ""}, {"LastName": "Bulk two"}]
    job = bulk.create_insert_job("Contact", contentType="CSV", concurrency="Parallel")
    batch = bulk.post_batch(job, CsvDictsAdapter(iter(rows)))
    bulk.wait_for_batch(job, batch, **QUICK)
    inserted = bulk.get_batch_results(batch)
    listed = bulk.get_batch_list(job)
    bulk.close_job(job)
    ids = [each.id for each in inserted]

    def run(job, rows):
        batch = bulk.post_batch(job, CsvDictsAdapter(iter(rows)))
        bulk.wait_for_batch(job, batch, **QUICK)
        bulk.close_job(job)
        return bulk.get_batch_results(batch)

    return {
        "inserted": inserted,
        "listed": listed,
        "updated": run(bulk.create_update_job("Contact"), [{"Id": ids[0], "FirstName": "Changed"}]),
        "upserted": run(bulk.create_upsert_job("Thing__c", "Key__c"), [{"Key__c": "sb", "Name": "x"}]),
        "deleted": run(bulk.create_delete_job("Contact"), [{"Id": ids[2]}]),
        "state": bulk.job_state(job),
    }


def errors():
    bulk = connect()
    stale = SalesforceBulk(sessionId=ENV["ACCESS_TOKEN"][:20], host=ENV["ORG_URL"])
    job = bulk.create_query_job("Contact", contentType="CSV")
    batch = bulk.query(job, "SELECT Nope__c FROM Contact")
    closed = bulk.create_insert_job("Contact", contentType="CSV")
    bulk.close_job(closed)
    aborted = bulk.create_insert_job("Contact", contentType="CSV")
    bulk.abort_job(aborted)
    return {
        "session": refusal(lambda: stale.create_query_job("Contact")),
        "object": refusal(lambda: bulk.create_insert_job("Nope__c")),
        "job": refusal(lambda: bulk.job_status("750000000000000AAA")),
        "query": refusal(lambda: bulk.wait_for_batch(job, batch, **QUICK)),
        "closed": refusal(lambda: bulk.post_batch(closed, CsvDictsAdapter(iter([{"LastName": "x"}])))),
        "aborted": bulk.job_state(aborted),
    }


print(json.dumps(globals()[sys.argv[1]]()))
