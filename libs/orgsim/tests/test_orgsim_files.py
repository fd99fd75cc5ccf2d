"""Files: uploads in every form, their bytes, and what the platform makes of a content version."""

import base64
import hashlib
import json
from typing import Any

import pytest

V = "/services/data/v62.0"
BINARY = bytes(range(256)) * 300 + b"\r\n--b not the end\r\n"


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


async def make(api, name: str, **values) -> str:
    answer = await api.http.post(f"{V}/sobjects/{name}", json=values)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def version(api, content: bytes = b"hello", name: str = "a.txt", **values) -> dict[str, Any]:
    row = await make(api, "ContentVersion", PathOnClient=name, VersionData=b64(content), **values)
    return (await api.http.get(f"{V}/sobjects/ContentVersion/{row}")).json()


async def rows(api, soql: str, path: str = "query") -> list[dict[str, Any]]:
    answer = await api.query(soql, path)
    assert answer.status_code == 200, answer.text
    return [{k: v for k, v in row.items() if k != "attributes"} for row in answer.json()["records"]]


def parts(*given: tuple[str, str | None, str, bytes]) -> tuple[bytes, dict[str, str]]:
    """A multipart body of (name, filename, type, content) and its header."""
    body = b""
    for name, filename, kind, content in given:
        body += b"--b\r\n" + f'Content-Disposition: form-data; name="{name}"'.encode()
        body += (f'; filename="{filename}"'.encode() if filename else b"") + f"\r\nContent-Type: {kind}".encode()
        body += b"\r\n\r\n" + content + b"\r\n"
    return body + b"--b--\r\n", {"Content-Type": 'multipart/form-data; boundary="b"'}


async def test_a_first_version_makes_its_document_and_links(api) -> None:
    account = await make(api, "Account", Name="a")
    made = await version(api, BINARY, "folder/Plan.final.pdf", FirstPublishLocationId=account)
    assert made["Title"] == "Plan.final" and made["FileType"] == "PDF" and made["FileExtension"] == "pdf"
    assert made["ContentSize"] == len(BINARY) and made["Checksum"] == hashlib.md5(BINARY).hexdigest()
    assert made["IsLatest"] is True and made["VersionNumber"] == "1" and made["ContentLocation"] == "S"
    assert made["VersionData"] == f"{V}/sobjects/ContentVersion/{made['Id']}/VersionData"
    document = (await api.http.get(f"{V}/sobjects/ContentDocument/{made['ContentDocumentId']}")).json()
    same = ("Title", "FileType", "FileExtension", "ContentSize", "OwnerId", "CreatedDate")
    assert {n: document[n] for n in same} == {n: made[n] for n in same}
    assert document["Id"].startswith("069") and document["LatestPublishedVersionId"] == made["Id"]
    links = await rows(api, "SELECT LinkedEntityId, ShareType, Visibility FROM ContentDocumentLink "
                            f"WHERE ContentDocumentId = '{document['Id']}'")  # fmt: skip
    assert sorted(links, key=lambda link: link["LinkedEntityId"]) == [
        {"LinkedEntityId": account, "ShareType": "V", "Visibility": "AllUsers"},
        {"LinkedEntityId": api.org.admin.id, "ShareType": "I", "Visibility": "AllUsers"},
    ]
    answer = await api.http.get(made["VersionData"])
    assert answer.content == BINARY and answer.headers["content-type"] == "application/octet-stream"
    head = await api.http.head(made["VersionData"])
    assert (head.content, head.headers["content-length"]) == (b"", str(len(BINARY)))


async def test_further_versions_join_their_document(api) -> None:
    first = await version(api, b"one", "a.txt")
    document = first["ContentDocumentId"]
    second = await version(api, b"second", "b.csv", ContentDocumentId=document, Title="renamed")
    found = await rows(api, "SELECT Id, VersionNumber, IsLatest FROM ContentVersion ORDER BY VersionNumber")
    assert found == [{"Id": first["Id"], "VersionNumber": "1", "IsLatest": False},
                     {"Id": second["Id"], "VersionNumber": "2", "IsLatest": True}]  # fmt: skip
    (row,) = await rows(api, "SELECT Title, FileType, ContentSize, LatestPublishedVersionId FROM ContentDocument")
    assert row == {"Title": "renamed", "FileType": "CSV", "ContentSize": 6, "LatestPublishedVersionId": second["Id"]}
    old = await api.http.patch(f"{V}/sobjects/ContentVersion/{first['Id']}", json={"Title": "x"})
    assert old.status_code == 400
    await api.http.patch(f"{V}/sobjects/ContentVersion/{second['Id']}", json={"Title": "by version"})
    assert (await rows(api, "SELECT Title FROM ContentDocument")) == [{"Title": "by version"}]
    await api.http.patch(f"{V}/sobjects/ContentDocument/{document}", json={"Title": "by document"})
    assert (await rows(api, "SELECT Title FROM ContentVersion WHERE IsLatest = true")) == [{"Title": "by document"}]
    nowhere = {"PathOnClient": "a", "VersionData": "", "ContentDocumentId": "069000000000000AAA"}
    answer = await api.http.post(f"{V}/sobjects/ContentVersion", json={**nowhere, "VersionData": b64(b"x")})
    assert answer.json()[0]["errorCode"] == "INVALID_CROSS_REFERENCE_KEY"


async def test_several_versions_in_one_collection(api) -> None:
    document = (await version(api))["ContentDocumentId"]
    records = [{"attributes": {"type": "ContentVersion"}, "PathOnClient": "a.txt", "VersionData": b64(b"x"),
                **({"ContentDocumentId": document} if n else {})} for n in range(3)]  # fmt: skip
    answer = await api.http.post(f"{V}/composite/sobjects", json={"records": records})
    assert all(row["success"] for row in answer.json()), answer.text
    found = await rows(api, "SELECT VersionNumber, IsLatest FROM ContentVersion "
                            f"WHERE ContentDocumentId = '{document}' ORDER BY VersionNumber")  # fmt: skip
    assert [(r["VersionNumber"], r["IsLatest"]) for r in found] == [("1", False), ("2", False), ("3", True)]
    assert len(await rows(api, "SELECT Id FROM ContentDocument")) == 2
    records = [{**records[1], "Title": "fourth"}, {**records[1], "Title": "x" * 300}]
    answer = await api.http.post(f"{V}/composite/sobjects", json={"records": records})
    assert [row["success"] for row in answer.json()] == [True, False]
    found = await rows(api, "SELECT Title, VersionNumber FROM ContentVersion "
                            f"WHERE ContentDocumentId = '{document}' AND IsLatest = true")  # fmt: skip
    assert found == [{"Title": "fourth", "VersionNumber": "4"}]


async def test_a_deleted_document_takes_versions_and_links_along_and_brings_them_back(api, writer) -> None:
    made = await version(api)
    document = made["ContentDocumentId"]
    refused = await api.http.delete(f"{V}/sobjects/ContentVersion/{made['Id']}")
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (403, "INSUFFICIENT_ACCESS_OR_READONLY")
    assert (await api.http.delete(f"{V}/sobjects/ContentDocument/{document}")).status_code == 204
    for name in ("ContentVersion", "ContentDocument", "ContentDocumentLink"):
        state = [row["IsDeleted"] for row in api.org.table(api.org.schema.objects[name]).rows()]
        assert state == ["true"], name
    assert (await api.http.get(made["VersionData"])).json()[0]["errorCode"] == "ENTITY_IS_DELETED"
    writer.undelete(document)
    assert (await api.http.get(made["VersionData"])).content == b"hello"
    assert [r["IsDeleted"] for r in api.org.table(api.org.schema.objects["ContentDocumentLink"]).rows()] == ["false"]


async def test_links(api) -> None:
    made, account = await version(api), await make(api, "Account", Name="a")
    document = made["ContentDocumentId"]
    link = {"ContentDocumentId": document, "LinkedEntityId": account, "ShareType": "V", "Visibility": "InternalUsers"}
    row = await make(api, "ContentDocumentLink", **link)
    again = (await api.http.post(f"{V}/sobjects/ContentDocumentLink", json=link)).json()[0]
    assert again["errorCode"] == "DUPLICATE_VALUE" and again["fields"] == ["LinkedEntityId"]
    assert again["message"] == f"Document with ID: {document} is already linked with the entity with ID: {account}"
    for wrong in ({"ShareType": "X"}, {"LinkedEntityId": api.org.admin.id, "ShareType": "I"}):
        answer = await api.http.post(f"{V}/sobjects/ContentDocumentLink", json={**link, **wrong})
        assert answer.status_code == 400, wrong
    children = (await api.http.get(f"{V}/sobjects/Account/{account}/ContentDocumentLinks?fields=Id")).json()
    assert [r["Id"] for r in children["records"]] == [row]
    await api.http.delete(f"{V}/sobjects/Account/{account}")
    assert api.org.table(api.org.schema.objects["ContentDocumentLink"]).get(row)["IsDeleted"] == "true"


@pytest.mark.parametrize("name", ["entity_content", "entity_document", "ContentVersion", "whatever"])
async def test_multipart_with_the_json_under_any_name(api, name: str) -> None:
    fields = b'{"Title": "parts", "PathOnClient": "p.bin"}'
    body, headers = parts((name, None, "application/json; charset=UTF-8", fields),
                          ("VersionData", "p.bin", "application/octet-stream", BINARY))  # fmt: skip
    answer = await api.http.post(f"{V}/sobjects/ContentVersion", content=body, headers=headers)
    assert answer.status_code == 201, answer.text
    back = await api.http.get(f"{V}/sobjects/ContentVersion/{answer.json()['id']}/VersionData")
    assert back.content == BINARY


async def test_multipart_changes_an_attachment_and_empty_files_stay_empty(api) -> None:
    account = await make(api, "Account", Name="a")
    fields = b'{"Name": "a.txt", "ParentId": "%s", "ContentType": "text/plain"}' % account.encode()
    body, headers = parts(("entity_a", None, "application/json", fields), ("Body", "a.txt", "text/plain", b""))
    row = (await api.http.post(f"{V}/sobjects/Attachment", content=body, headers=headers)).json()["id"]
    url = f"{V}/sobjects/Attachment/{row}"
    assert (await api.http.get(f"{url}/Body")).content == b""
    body, headers = parts(("entity_a", None, "application/json", b"{}"), ("Body", "a.txt", "text/plain", b"longer"))
    assert (await api.http.patch(url, content=body, headers=headers)).status_code == 204
    answer = await api.http.get(f"{url}/Body")
    assert (answer.content, answer.headers["content-type"]) == (b"longer", "text/plain")
    assert (await api.http.get(f"{url}?fields=BodyLength,Name")).json()["BodyLength"] == 6


async def test_collections_with_several_files(api) -> None:
    records = [
        {
            "attributes": {
                "type": "ContentVersion",
                "binaryPartName": f"part{n}",
                "binaryPartNameAlias": "VersionData",
            },
            "PathOnClient": f"{n}.bin",
        }
        for n in range(2)
    ]
    files = [(f"part{n}", f"{n}.bin", "application/octet-stream", BINARY + bytes([n])) for n in range(2)]
    body, headers = parts(
        ("entity_content", None, "application/json", json.dumps({"records": records}).encode()), *files
    )
    answer = await api.http.post(f"{V}/composite/sobjects", content=body, headers=headers)
    assert [row["success"] for row in answer.json()] == [True, True]
    for n, row in enumerate(answer.json()):
        back = await api.http.get(f"{V}/sobjects/ContentVersion/{row['id']}/VersionData")
        assert back.content == BINARY + bytes([n])
    body, headers = parts(("e", None, "application/json", json.dumps({"records": records}).encode()))
    answer = await api.http.post(f"{V}/composite/sobjects", content=body, headers=headers)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_INPUT")


@pytest.mark.parametrize(
    ("content", "header"),
    [(b"--b\r\nbroken", "multipart/form-data; boundary=b"), (b"x", "multipart/form-data"),
     (b"--b\r\nContent-Disposition: form-data; name=\"e\"\r\n\r\n[1]\r\n--b--", "multipart/form-data; boundary=b"),
     (b"--b--\r\n", "multipart/form-data; boundary=b")],
)  # fmt: skip
async def test_multipart_that_cannot_be_read(api, content: bytes, header: str) -> None:
    answer = await api.http.post(f"{V}/sobjects/ContentVersion", content=content, headers={"Content-Type": header})
    assert answer.status_code == 400 and answer.json()[0]["message"]


async def test_base64_that_is_none_or_too_long(api, monkeypatch) -> None:
    body = {"PathOnClient": "a.txt", "VersionData": "no base64!"}
    answer = (await api.http.post(f"{V}/sobjects/ContentVersion", json=body)).json()[0]
    assert (answer["errorCode"], answer["fields"]) == ("INVALID_TYPE_ON_FIELD_IN_RECORD", ["VersionData"])
    monkeypatch.setattr("holdfast.orgsim.rules.contents.MOST_BASE64_BYTES", 10)
    body["VersionData"] = b64(b"x" * 11)
    answer = (await api.http.post(f"{V}/sobjects/ContentVersion", json=body)).json()[0]
    assert answer["errorCode"] == "STRING_TOO_LONG"
    monkeypatch.setattr("holdfast.orgsim.api.rest.uploads.MOST_OTHER_BYTES", 10)
    content, headers = parts(("e", None, "application/json", b"{}"), ("Body", "x", "text/plain", b"x" * 11))
    answer = await api.http.post(f"{V}/sobjects/Attachment", content=content, headers=headers)
    assert answer.status_code == 413


async def test_other_objects_with_files(api) -> None:
    folder = await make(api, "Folder", Name="f", AccessType="Public", Type="Document")
    document = await make(api, "Document", Name="My doc", FolderId=folder, Body=b64(b"doc"), ContentType="text/x")
    resource = await make(api, "StaticResource", Name="r", Body=b64(b"js"), ContentType="text/javascript",
                          CacheControl="Public")  # fmt: skip
    for name, row, content, kind in (("Document", document, b"doc", "text/x"),
                                     ("StaticResource", resource, b"js", "text/javascript")):  # fmt: skip
        answer = await api.http.get(f"{V}/sobjects/{name}/{row}/Body")
        assert (answer.content, answer.headers["content-type"]) == (content, kind)
    record = (await api.http.get(f"{V}/sobjects/Document/{document}")).json()
    assert (record["DeveloperName"], record["BodyLength"]) == ("My_doc", 3)
    log = {"object": "EventLogFile", "values": {"EventType": "API", "LogDate": "2026-01-01T00:00:00Z",
                                                "LogFileContentType": "text/csv", "Sequence": 0, "ApiVersion": 62.0},
           "content": {"LogFile": b64(b"A,B\n1,2\n")}}  # fmt: skip
    row = (await api.http.post("/_org/files", json=log)).json()["id"]
    answer = await api.http.get(f"{V}/sobjects/EventLogFile/{row}/LogFile")
    assert (answer.content, answer.headers["content-type"]) == (b"A,B\n1,2\n", "text/csv")
    (found,) = await rows(api, "SELECT EventType, LogFileLength FROM EventLogFile")
    assert found == {"EventType": "API", "LogFileLength": 8.0}
    assert (await api.http.post(f"{V}/sobjects/EventLogFile", json={"EventType": "API"})).status_code == 400


async def test_a_note_is_a_document_of_type_snote(api) -> None:
    note = await make(api, "ContentNote", Title="n", Content=b64(b"<p>one</p>"))
    assert note.startswith("069")
    record = (await api.http.get(f"{V}/sobjects/ContentNote/{note}")).json()
    assert (record["Title"], record["FileType"], record["ContentSize"]) == ("n", "SNOTE", 10)
    assert (await api.http.get(record["Content"])).content == b"<p>one</p>"
    (found,) = await rows(api, "SELECT FileType, Title, FileExtension FROM ContentVersion")
    assert found == {"FileType": "SNOTE", "Title": "n", "FileExtension": "snote"}
    url = f"{V}/sobjects/ContentNote/{note}"
    assert (await api.http.patch(url, json={"Content": b64(b"two"), "Title": "m"})).status_code == 204
    assert (await api.http.get(f"{url}/Content")).content == b"two"
    assert len(await rows(api, "SELECT Id FROM ContentVersion")) == 2
    assert (await rows(api, "SELECT Title FROM ContentDocument")) == [{"Title": "m"}]
    assert (await api.http.delete(url)).status_code == 204
    assert await rows(api, "SELECT Id FROM ContentNote") == []
    assert (await api.http.get(url)).json()[0]["errorCode"] == "ENTITY_IS_DELETED"


async def test_the_ledger_carries_digest_and_length_and_the_admin_hands_out_the_bytes(api) -> None:
    made = await version(api, BINARY, "a.bin")
    entries = [e for e in api.org.ledger.since(0) if getattr(e, "id", None) == made["Id"]]
    reference = entries[0].after["VersionData"]
    assert reference == f"sha256:{hashlib.sha256(BINARY).hexdigest()}:{len(BINARY)}"
    answer = await api.http.get(f"/_org/blobs/{made['Id']}/VersionData")
    assert answer.content == BINARY and answer.headers["X-MD5"] == made["Checksum"]
    assert (await api.http.get(f"/_org/blobs/{made['Id']}/Nope")).status_code == 404


async def test_file_storage_falls_by_what_files_hold(api) -> None:
    before = (await api.http.get(f"{V}/limits")).json()
    content, headers = parts(("e", None, "application/json", b'{"PathOnClient": "big.bin"}'),
                             ("VersionData", "big.bin", "application/octet-stream", bytes(3 << 20)))  # fmt: skip
    assert (await api.http.post(f"{V}/sobjects/ContentVersion", content=content, headers=headers)).status_code == 201
    after = (await api.http.get(f"{V}/limits")).json()
    fell = {n: before[n]["Remaining"] - after[n]["Remaining"] for n in ("FileStorageMB", "DataStorageMB")}
    assert fell == {"FileStorageMB": 3, "DataStorageMB": 0}
    assert before["MaxContentDocumentsLimit"]["Remaining"] - after["MaxContentDocumentsLimit"]["Remaining"] == 1


async def test_refused_uploads_leave_nothing_behind(api) -> None:
    ledger = api.org.ledger.sequence
    for values in ({"VersionData": b64(b"x")}, {"PathOnClient": "a.txt"},
                   {"PathOnClient": "a.txt", "VersionData": b64(b"x"), "Title": "x" * 300}):  # fmt: skip
        answer = await api.http.post(f"{V}/sobjects/ContentVersion", json=values)
        assert answer.status_code == 400, values
    assert api.org.ledger.sequence == ledger
    assert await rows(api, "SELECT Id FROM ContentDocument") == []
