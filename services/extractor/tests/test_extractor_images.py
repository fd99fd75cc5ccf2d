"""Images of rich texts come in like files: each content once, in the cell of its text, and never missing in silence."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from extractor_files import API, QUICK, Fetching, Uploads

from holdfast.extractor.files.images import images_of
from holdfast.orgsim.testing import RunningOrg
from holdfast.vault.bodies import image_of

Make = Callable[..., Any]
FIELD = "Story__c"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
RECORD = "a01Hs0000000001AAA"


@pytest.fixture
def uploads(org: RunningOrg) -> Iterator[Uploads]:
    with contextlib.closing(Uploads(org)) as made:
        yield made


@pytest.fixture
def fetching(harness: Make) -> Fetching:
    return Fetching(harness(**QUICK))


@pytest.fixture
def page(org: RunningOrg, thing: str) -> str:
    """An object with a rich text."""
    rich = {"name": FIELD, "type": "textarea", "extraTypeInfo": "richtextarea", "length": 131072}
    org.schema({"objects": [{"name": thing, "fields": [rich]}]})
    return thing


def tag(content: bytes) -> str:
    return f'<img src="data:image/png;base64,{base64.b64encode(content).decode()}"></img>'


def text_of(uploads: Uploads, page: str, record: str) -> str:
    found = uploads.http.get(f"{API}/sobjects/{page}/{record}?fields={FIELD}").raise_for_status().json()
    return str(found[FIELD])


def shown(text: str) -> list[str]:
    return re.findall(r"refid=(\w{15})", text)


def truth(org: RunningOrg) -> dict[str, str]:
    """What the org's ledger says that each image holds, by its reference."""
    return {reference[:15]: str(row["Body"]) for reference, row in org.state("ContentReference").items()}


def cell(text: str, known: Mapping[str, str]) -> str:
    return "\n".join(sorted(f"{reference} {known[reference]}" for reference in shown(text)))


def calls(org: RunningOrg) -> int:
    return sum(r["calls"] for r in org.calls()["routes"] if "richTextImageFields" in r["route"])


def found(*texts: str | None) -> list[tuple[Any, ...]]:
    columns = {"_record_id": [RECORD] * len(texts), "_modified_at": [NOW] * len(texts), FIELD: list(texts)}
    table = pa.table(columns, schema=pa.schema([("_record_id", "string"), ("_modified_at", pa.timestamp("us", "UTC")),
                                                (FIELD, "string")]))  # fmt: skip
    return images_of(table, FIELD).select("part", "kept_with").rows()


A, B = "0EMHs00000000aA", "0EMHs00000000bB"
SOURCE = f"https://x.file.force.com/servlet/rtaImage?eid={RECORD[:15]}&amp;feoid=00NHs0000000001&amp;refid="


@pytest.mark.parametrize(
    ("text", "references"),
    [
        (f'<img src="{SOURCE}{A}"></img>', [A]),
        (f"<IMG width='3' SRC = '{SOURCE}{A}AAA'>", [A]),
        (f'<img alt="a > b" src="{SOURCE}{A}"> <img src="{SOURCE}{B}">', [A, B]),
        (f'<img src="{SOURCE}{B}"><img src="{SOURCE}{A}"><img src="{SOURCE}{B}">', [A, B]),
        (f'<a href="{SOURCE}{A}">large</a>', [A]),
        (f'<img src="/servlet/rtaImage?refid={A}&eid={RECORD[:15]}">', [A]),
        (f'<img src="{SOURCE.replace("&amp;", "&#38;")}{A}">', [A]),
        ('<img src="https://x/servlet/rtaImage?eid=1&refid=short">', []),
        (f'<img src="https://x/logo.png?refid={A}">', []),
        (f"read {SOURCE}{A}", []),
        ("", []),
        (None, []),
    ],
)
def test_references_are_found_in_any_writing(text: str | None, references: list[str]) -> None:
    assert [part for part, _ in found(text)] == references


def test_an_image_of_a_cloned_record_is_kept_with_the_original() -> None:
    other = SOURCE.replace(RECORD[:15], "a01Hs0000000009")
    foreign = SOURCE.replace(RECORD[:15], "a02Hs0000000009")
    assert found(f'<img src="{other}{A}"><img src="{foreign}{B}">') == [(A, "a01Hs0000000009"), (B, None)]


@pytest.mark.integration
async def test_many_images_are_stored_once_each(
    org: RunningOrg, uploads: Uploads, fetching: Fetching, page: str
) -> None:
    logo = b"the logo" * 500
    texts = [f"<p>{n} {tag(logo)} and {tag(b'only here %d' % n * 40) if n % 2 else ''}</p>" for n in range(120)]
    ids = uploads.make(page, [{FIELD: text} for text in texts] + [{FIELD: "no image"}, {"Name": "no text"}])
    org.reset_calls()
    said = await fetching.run(page)
    assert (said["failed"], said["missing"], said["stored"]) == (0, [], 180)
    assert calls(org) == 180
    known = truth(org)
    # A record whose images come one after the other may be told of in between.
    cells = {record: values[-1:] for record, values in (await fetching.cells()).items()}
    assert cells == {record: [cell(text_of(uploads, page, record), known)] for record in ids[:120]}
    assert len(fetching.blobs()) == 61
    for record, text in zip(ids, texts[:5], strict=False):
        named = [
            fetching.content(image_of(cells[record][0], ref).text) for ref in shown(text_of(uploads, page, record))
        ]
        assert [tag(content) for content in named] == re.findall(r"<img.*?</img>", text)


@pytest.mark.integration
async def test_a_replaced_image_costs_one_call_and_a_lost_one_none(
    org: RunningOrg, uploads: Uploads, fetching: Fetching, page: str
) -> None:
    first, second = uploads.make(page, [{FIELD: tag(b"kept") + tag(b"old")}, {FIELD: tag(b"alone")}])
    async with fetching.running():
        run_id = await fetching.one.request(page)
        await fetching.one.finished(run_id)
        await fetching.settled(run_id)
        before, known = text_of(uploads, page, first), truth(org)
        was = {first: [cell(before, known)], second: [cell(text_of(uploads, page, second), known)]}
        kept = before.partition("</img>")[0] + "</img>"
        await asyncio.to_thread(org.advance, 1)
        uploads.change(page, first, {FIELD: kept + tag(b"new")})
        uploads.change(page, second, {FIELD: "nothing to see"})
        org.reset_calls()
        later = await fetching.one.request(page)
        await fetching.one.finished(later)
        said = await fetching.settled(later)
    assert (calls(org), said["missing"], said["stored"]) == (1, [], 2)
    is_now = cell(text_of(uploads, page, first), truth(org))
    assert await fetching.cells() == {first: [*was[first], is_now], second: was[second]}
    assert fetching.content(image_of(is_now, shown(kept)[0]).text) == b"kept"


@pytest.mark.integration
async def test_a_clone_shows_the_image_of_its_original(
    org: RunningOrg, uploads: Uploads, fetching: Fetching, page: str
) -> None:
    (original,) = uploads.make(page, [{FIELD: tag(b"shared")}])
    (clone,) = uploads.make(page, [{FIELD: text_of(uploads, page, original)}])
    said = await fetching.run(page)
    assert said["missing"] == []
    cells = await fetching.cells()
    assert cells[clone] == cells[original] == [cell(text_of(uploads, page, original), truth(org))]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("status", "code", "words"), [(404, "NOT_FOUND", "no longer has"), (403, "INSUFFICIENT_ACCESS", "not allowed")]
)
async def test_an_image_that_is_refused_is_said_and_comes_later(
    org: RunningOrg, uploads: Uploads, fetching: Fetching, page: str, status: int, code: str, words: str
) -> None:
    (record,) = uploads.make(page, [{FIELD: tag(b"seen") + tag(b"refused")}])
    text = text_of(uploads, page, record)
    seen, refused = shown(text)
    org.faults(
        {"path": refused, "count": None, "effect": {"status": status, "body": [{"errorCode": code, "message": words}]}}
    )
    async with fetching.running():
        run_id = await fetching.one.request(page)
        await fetching.one.finished(run_id)
        said = await fetching.settled(run_id)
        assert (said["failed"], said["stored"]) == (1, 1)
        assert f"{page} {record} ({FIELD})" in said["missing"][0]
        assert words in said["missing"][0]
        assert await fetching.cells() == {record: [f"{seen} {truth(org)[seen]}"]}
        org.clear_faults()
        await fetching.one.request(page)
        async with asyncio.timeout(20):
            while (again := (await fetching.said(run_id))[-1])["failed"]:
                await asyncio.sleep(0.05)
    assert again["missing"] == []
    assert (await fetching.cells())[record][-1] == cell(text, truth(org)), "the cell holds both in the end"


@pytest.mark.integration
async def test_an_image_that_is_taken_away_before_it_is_read_is_said_to_be_missing(
    org: RunningOrg, uploads: Uploads, fetching: Fetching, page: str
) -> None:
    (record,) = uploads.make(page, [{FIELD: tag(b"gone soon")}])
    run_id = await fetching.one.request(page)
    async with fetching.one.running():  # no image is fetched yet
        await fetching.one.finished(run_id)
    uploads.change(page, record, {FIELD: "without"})
    async with fetching.running():
        said = await fetching.settled(run_id)
    assert (said["failed"], said["stored"]) == (1, 0)
    assert "no longer has" in said["missing"][0]
    assert await fetching.cells() == {}
