"""Images of rich texts: taken out of the text that brings them, shown by an address, handed out, and gone with it."""

import base64
import hashlib
import re
from typing import Any

import pytest

V = "/services/data/v62.0"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20
TEXT = {"name": "Story__c", "type": "textarea", "extraTypeInfo": "richtextarea", "length": 131072}


def tag(content: bytes, kind: str = "png") -> str:
    return f'<img alt="a" src="data:image/{kind};base64,{base64.b64encode(content).decode()}"></img>'


@pytest.fixture
async def page(api) -> Any:
    """An object with a rich text and a plain one."""
    fields = [TEXT, {"name": "Plain__c", "type": "textarea", "length": 32000}]
    answer = await api.http.post("/_org/schema", json={"objects": [{"name": "Page__c", "fields": fields}]})
    assert answer.status_code == 200, answer.text
    return api


async def save(api, **values: str) -> tuple[str, str]:
    """A new record's id, and its text as the platform has it."""
    answer = await api.http.post(f"{V}/sobjects/Page__c", json=values)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], await text_of(api, answer.json()["id"])


async def text_of(api, record: str) -> str:
    return (await api.http.get(f"{V}/sobjects/Page__c/{record}")).json()["Story__c"]


def shown(text: str) -> list[str]:
    return re.findall(r"refid=(\w{15})", text)


async def get(api, record: str, reference: str, field: str = "Story__c"):
    return await api.http.get(f"{V}/sobjects/Page__c/{record}/richTextImageFields/{field}/{reference}")


async def test_an_image_is_taken_out_of_the_text_and_handed_out(page) -> None:
    record, text = await save(page, Story__c=f"<p>one {tag(PNG)} two {tag(b'GIF89a', 'gif')}</p>")
    first, second = shown(text)
    field = page.org.schema.objects["Page__c"].field_id("Story__c")
    assert f'src="http://org/servlet/rtaImage?eid={record[:15]}&amp;feoid={field}&amp;refid={first}"' in text
    assert "base64" not in text
    answer = await get(page, record, first)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, PNG, "image/png")
    assert (await get(page, record, second)).headers["content-type"] == "image/gif"


async def test_an_image_belongs_to_its_record_and_field(page) -> None:
    record, text = await save(page, Story__c=tag(PNG), Plain__c=tag(PNG))
    other, _ = await save(page, Story__c=text)
    (reference,) = shown(text)
    for at, field in ((other, "Story__c"), (record, "Plain__c"), (record, "Nope__c")):
        assert (await get(page, at, reference, field)).status_code == 404
    assert (await get(page, record, "0EM000000000000")).status_code == 404
    assert "base64" in page.org.table(page.org.schema.objects["Page__c"]).get(record)["Plain__c"]


async def test_an_image_that_the_text_no_longer_shows_is_gone(page) -> None:
    record, text = await save(page, Story__c=tag(PNG) + tag(b"second"))
    first, second = shown(text)
    changed = {"Story__c": text.partition("</img>")[0] + "</img>" + tag(b"third")}
    assert (await page.http.patch(f"{V}/sobjects/Page__c/{record}", json=changed)).status_code == 204
    kept, third = shown(await text_of(page, record))
    assert kept == first
    assert [(await get(page, record, ref)).status_code for ref in (first, second, third)] == [200, 404, 200]
    await page.http.delete(f"{V}/sobjects/Page__c/{record}")
    assert (await get(page, record, first)).json()[0]["errorCode"] == "ENTITY_IS_DELETED"


async def test_the_ledger_tells_of_images_and_nobody_can_query_them(page) -> None:
    record, text = await save(page, Story__c=tag(PNG))
    (entry,) = [e for e in page.org.ledger.since(0) if e.object == "ContentReference"]
    assert entry.id[:15] == shown(text)[0]
    assert (entry.after["ParentId"], entry.after["Field"]) == (record, "Story__c")
    assert entry.after["Body"] == f"sha256:{hashlib.sha256(PNG).hexdigest()}:{len(PNG)}"
    assert (await page.http.get(f"/_org/blobs/{entry.id}/Body")).content == PNG
    assert "does not support query" in (await page.query("SELECT Id FROM ContentReference")).json()[0]["message"]


async def test_what_is_no_image_is_refused(page) -> None:
    wrong = '<img src="data:image/png;base64,no base64!">'
    answer = await page.http.post(f"{V}/sobjects/Page__c", json={"Story__c": wrong})
    assert (answer.status_code, answer.json()[0]["fields"]) == (400, ["Story__c"])
