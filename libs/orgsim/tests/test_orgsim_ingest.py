"""Bulk 2.0 ingest: any CSV in, each row's outcome out, with the input echoed as it came."""

import asyncio
import csv
import io

import pytest

from holdfast.orgsim.api.bulk2 import processing
from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.schema.objects import custom_lookup

V = "/services/data/v62.0/jobs/ingest"


async def ingest(api, operation: str, data: bytes | str, obj: str = "Account", **body) -> tuple[dict, list, list, str]:
    """Job info, successful and failed results as rows (with header), unprocessed as text."""
    job = (await api.http.post(V, json={"object": obj, "operation": operation, **body})).json()
    await api.http.put(f"{V}/{job['id']}/batches", content=data if isinstance(data, bytes) else data.encode())
    assert (await api.http.patch(f"{V}/{job['id']}", json={"state": "UploadComplete"})).status_code == 200
    while (info := (await api.http.get(f"{V}/{job['id']}")).json())["state"] in ("UploadComplete", "InProgress"):
        await asyncio.sleep(0)
    good, bad, left = [
        (await api.http.get(f"{V}/{job['id']}/{name}")).text
        for name in ("successfulResults", "failedResults", "unprocessedrecords")
    ]
    return info, rows_of(good, body), rows_of(bad, body), left


def rows_of(text: str, body: dict) -> list[list[str]]:
    mark = {"TAB": "\t", "PIPE": "|", "SEMICOLON": ";", "CARET": "^", "BACKQUOTE": "`"}.get(
        body.get("columnDelimiter", ""), ","
    )
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=mark))


def names(api) -> list[str | None]:
    return api.org.table(api.org.schema.objects["Account"]).frame()["Name"].to_list()


@pytest.mark.parametrize("delimiter", ["BACKQUOTE", "CARET", "COMMA", "PIPE", "SEMICOLON", "TAB"])
@pytest.mark.parametrize("ending", ["LF", "CRLF"])
async def test_every_delimiter_and_line_ending_comes_back_as_it_was_sent(api, delimiter: str, ending: str) -> None:
    mark = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}[delimiter]
    end = {"LF": "\n", "CRLF": "\r\n"}[ending]
    values = ["plain", f"a{mark}b", 'say "hi"', "two\nlines", " blank ", "é😀", "a\x00b"]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=mark, lineterminator=end).writerows([["Name", "Fax"], *([v, "1"] for v in values)])
    info, good, bad, left = await ingest(api, "insert", text.getvalue(), columnDelimiter=delimiter, lineEnding=ending)
    assert (info["state"], info["numberRecordsProcessed"], info["numberRecordsFailed"]) == ("JobComplete", 7, 0)
    assert [row[1:] for row in good] == [["sf__Created", "Name", "Fax"], *(["true", v, "1"] for v in values)]
    assert names(api) == values
    assert (len(bad), left) == (1, f'"Name"{mark}"Fax"{end}')


async def test_rows_of_another_width_fail_and_the_others_do_not(api) -> None:
    info, good, bad, _ = await ingest(api, "insert", 'Name,Fax\na,1\nshort\nlong,1,"x ""y"""\n\nb,2\n')
    assert (info["numberRecordsProcessed"], info["numberRecordsFailed"]) == (5, 3)
    assert [row[2] for row in good[1:]] == ["a", "b"]
    assert [row[2:] for row in bad[1:]] == [["short"], ["long", "1", 'x "y"'], []]
    assert all(row[1].startswith("INVALID_CSV_LINE:") for row in bad[1:])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [(b"Name\r\na\r\n", "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF"),
     (b'Name,Fax\n"a"b,1\n', "InvalidBatch : Failed to parse CSV. Found unescaped quote."),
     (b'Name,Fax\n"a,1\n', "InvalidBatch : Failed to parse CSV. Found unescaped quote."),
     (b'\xef\xbb\xbf"Name"\n"a"\n', "InvalidBatch : Failed to parse CSV. Found unescaped quote."),
     (b"\xef\xbb\xbfName\na\n", "InvalidBatch : Field name not found : \ufeffName"),
     (b"Name,Nope__c\na,\n", "InvalidBatch : Field name not found : Nope__c"),
     (b"Name,Parent:Account:Name\na,b\n", "InvalidBatch : Field name not found : Parent:Account:Name"),
     (b"Name,Account:Parent.Name\na,b\n",
      "InvalidBatch : type is not needed for non polymorphic foreign key references: Parent"),
     (b"Name,Parent:Account.Name\na,b\n", "InvalidBatch : Unable to find relationship: Account")],
)  # fmt: skip
async def test_what_fails_a_whole_job(api, data: bytes, sentence: str) -> None:
    info, _, _, _ = await ingest(api, "insert", data)
    assert info["errorMessage"].startswith(sentence)
    assert (info["state"], info["numberRecordsProcessed"], names(api)) == ("Failed", 0, [])


async def test_bytes_that_are_no_utf8_are_replaced(api) -> None:
    info, good, _, _ = await ingest(api, "insert", b"Name,Fax\na\xffb,1\n")
    assert (info["state"], good[1][2], names(api)) == ("JobComplete", "a\ufffdb", ["a\ufffdb"])


async def test_an_empty_value_is_left_alone_and_na_empties(api) -> None:
    _, good, _, _ = await ingest(api, "insert", "Name,Fax,Phone\na,1,2\nb,3,4\n")
    first, second = (row[0] for row in good[1:])
    info, _, bad, _ = await ingest(api, "update", f"Id,Name,Fax,phone\n{first},,#N/A,9\n{second[:15]},#N/A,5,\n")
    assert info["numberRecordsFailed"] == 1
    assert bad[1] == [second[:15], "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --",
                      second[:15], "#N/A", "5", ""]  # fmt: skip
    rows = api.org.table(api.org.schema.objects["Account"]).frame().select("Name", "Fax", "Phone").rows()
    assert rows == [("a", None, "9"), ("b", "3", "4")]


async def test_ids_that_are_missing_malformed_unknown_or_deleted(api) -> None:
    _, good, _, _ = await ingest(api, "insert", "Name\na\nb\n")
    first, second = (row[0] for row in good[1:])
    await ingest(api, "delete", f"Id\n{second}\n")
    lines = ["", "zz", "001Hs0000099999AAA", second, first]
    _, good, bad, _ = await ingest(api, "update", "Id,Fax\n" + "".join(f"{i},1\n" for i in lines))
    assert [row[1].split(":")[0] for row in bad[1:]] == [
        "MISSING_ARGUMENT", "MALFORMED_ID", "INVALID_CROSS_REFERENCE_KEY", "ENTITY_IS_DELETED"]  # fmt: skip
    assert [row[0] for row in bad[1:]] == lines[:4]
    assert [row[:2] for row in good[1:]] == [[first, "false"]]


async def test_parents_are_found_by_their_keys(api) -> None:
    schema = api.org.schema
    schema.objects["Account"].add(make_field("Ext__c", "string", externalId=True))
    await ingest(api, "insert", "Name,Ext__c\na,x1\nb,X2\nc,same\nd,same\n")
    text = "LastName,Account.Ext__c,Owner.Username\na,X1,\nb,x2,integration@holdfast.test\nc,nobody,\nd,same,\ne,,\n"
    _, good, bad, _ = await ingest(api, "insert", text, obj="Contact")
    assert [row[2] for row in good[1:]] == ["a", "b", "e"]
    accounts = dict(api.org.table(schema.objects["Account"]).frame().select("Name", "Id").rows())
    contacts = api.org.table(schema.objects["Contact"]).frame().select("LastName", "AccountId").rows()
    assert contacts == [("a", accounts["a"]), ("b", accounts["b"]), ("e", None)]
    assert bad[1][1] == (
        "INVALID_FIELD:Foreign key external ID: nobody not found for field Ext__c in entity Account: --"
    )
    task = schema.define("Task")
    schema.add_field(task, custom_lookup("WhatId", ["Account", "Opportunity"]) | {"relationshipName": "What"})
    _, good, bad, _ = await ingest(api, "insert", "Account:What.Ext__c\nx1\n", obj="Task")
    assert (len(good), api.org.table(task).frame()["WhatId"].to_list()) == (2, [accounts["a"]]), bad


async def test_upsert_by_external_id_with_keys_that_come_twice(api) -> None:
    api.org.schema.objects["Account"].add(make_field("Ext__c", "string", externalId=True))
    await ingest(api, "insert", "Name,Ext__c\nold,k1\n")
    text = "Ext__c,Name\nk1,new\nk2,made\n,lost\nk3,one\nK3,two\n"
    info, good, bad, _ = await ingest(api, "upsert", text, externalIdFieldName="Ext__c")
    assert [row[1:] for row in good[1:]] == [["false", "k1", "new"], ["true", "k2", "made"]]
    assert [row[1] for row in bad[1:]] == [
        "MISSING_ARGUMENT:Ext__c not specified: --",
        "DUPLICATE_VALUE:Duplicate external id specified: k3:Ext__c --",
        "DUPLICATE_VALUE:Duplicate external id specified: K3:Ext__c --",
    ]
    assert (names(api), info["numberRecordsFailed"]) == (["new", "made"], 3)


async def test_a_large_job_lets_the_org_answer_and_can_be_aborted(api, monkeypatch) -> None:
    monkeypatch.setattr(processing, "AT_ONCE_BYTES", 100)
    monkeypatch.setattr(processing, "SLICE_ROWS", 10)
    data = "Name\n" + "".join(f"n{n}\n" for n in range(95)) + "too,wide\n"
    info, good, bad, _ = await ingest(api, "insert", data)
    assert (info["state"], info["numberRecordsProcessed"], len(good), len(bad)) == ("JobComplete", 96, 96, 2)
    job = (await api.http.post(V, json={"object": "Account", "operation": "insert"})).json()["id"]
    await api.http.put(f"{V}/{job}/batches", content=data.encode())
    await api.http.patch(f"{V}/{job}", json={"state": "UploadComplete"})
    while not (info := (await api.http.get(f"{V}/{job}")).json())["numberRecordsProcessed"]:
        assert info["state"] in ("UploadComplete", "InProgress")
        await asyncio.sleep(0)
    assert (await api.http.patch(f"{V}/{job}", json={"state": "Aborted"})).json()["state"] == "Aborted"
    await api.org.bulk_jobs.get(job, "V2Ingest", api.org.admin.username, api.org.clock.now()).task
    done = len(names(api)) - 95
    left = (await api.http.get(f"{V}/{job}/unprocessedrecords")).text.splitlines()
    assert (0 < done < 95, done % 10) == (True, 0)
    assert len(left) == 1 + 96 - done
    assert left[-1] == '"too","wide"'
