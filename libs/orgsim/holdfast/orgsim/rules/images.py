"""Images of rich texts: a save that brings one as `data:` gets it kept apart, and the text shows it by its address.

The platform keeps each image as a ContentReference, which nobody can query; so does this one, and the ledger tells of
it: whose it is, and in `Body` what it holds. One that its text no longer shows is gone.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from holdfast.orgsim import ids
from holdfast.orgsim.rules.batch import Batch
from holdfast.orgsim.rules.following import fresh_rows
from holdfast.orgsim.schema.lines import read_field
from holdfast.orgsim.schema.objects import SObject

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org

RICH_TEXT = "richtextarea"
OBJECT = "ContentReference"
_FIELDS = ("ParentId string", "Field string", "ContentType string", "Body base64 fgs")
_GIVEN = re.compile(r"""(<img\b[^>]*?\bsrc=)(["'])data:(image/(?:png|jpeg|gif));base64,([^"']*)\2""", re.IGNORECASE)
_SHOWN = re.compile(r"/servlet/rtaImage\?[^\"']*?refid=([0-9A-Za-z]{15})")


def keep_images(batch: Batch) -> None:
    """Take the images out of the texts that are being saved."""
    for name in _rich_texts(batch):
        if not batch.after[name].str.contains("data:image/", literal=True).any():
            continue
        texts = batch.after[name].to_list()
        wrong = [False] * len(texts)
        for row, (text, record) in enumerate(zip(texts, batch.after["Id"].to_list(), strict=True)):
            try:
                texts[row] = text and _GIVEN.sub(partial(_address, batch, name, record), text)
            except (binascii.Error, ValueError):
                wrong[row] = True
        batch.refuse(pl.Series(wrong, dtype=pl.Boolean), "INVALID_FIELD", f"{name}: not an image", [name])
        batch.set(name, pl.Series(name, texts, dtype=pl.String))


def _rich_texts(batch: Batch) -> list[str]:
    return sorted(name for name in batch.given if batch.obj.fields[name].get("extraTypeInfo") == RICH_TEXT)


def _address(batch: Batch, name: str, record: str, found: re.Match[str]) -> str:
    """The tag up to its source, which is an address from now on."""
    org = batch.org
    content = org.blobs.keep(base64.b64decode(found[4], validate=True))
    reference = str(org.new_ids(references(org), 1)[0])
    org.unsaved_images[reference] = (found[3].lower(), content)
    query = f"eid={record[:15]}&amp;feoid={ids.field_id(batch.obj.name, name)}&amp;refid={reference[:15]}"
    return f'{found[1]}"{org.instance_url}/servlet/rtaImage?{query}"'


def follow_images(batch: Batch) -> None:
    """After a save: images that came with it are kept, those that no text of their record shows any more are gone."""
    names = [] if batch.operation not in ("insert", "update") else _saved_rich_texts(batch)
    for name in names:
        fresh: list[dict[str, str]] = []
        for record, text in zip(batch.after["Id"].to_list(), batch.after[name].to_list(), strict=True):
            for shown in _SHOWN.findall(text or ""):
                kept = batch.org.unsaved_images.pop(ids.to18(shown), None)
                if kept is not None:
                    fresh.append({"Id": ids.to18(shown), "ParentId": record, "Field": name,
                                  "ContentType": kept[0], "Body": kept[1]})  # fmt: skip
        if fresh:
            obj = references(batch.org)
            batch.also(obj, "insert", None, fresh_rows(batch, obj, pl.DataFrame(fresh)), "image of a rich text")
        if batch.operation == "update":
            _drop(batch, name)


def _saved_rich_texts(batch: Batch) -> list[str]:
    rich = [name for name, field in batch.obj.fields.items() if field.get("extraTypeInfo") == RICH_TEXT]
    return [name for name in rich if name in batch.after.columns and batch.changed(name).any()]


def _drop(batch: Batch, name: str) -> None:
    obj = references(batch.org)
    rows = batch.org.table(obj).where_in("ParentId", batch.after["Id"]).filter(pl.col("Field") == name)
    shown = {ids.to18(ref) for text in batch.after[name].drop_nulls().to_list() for ref in _SHOWN.findall(text)}
    gone = rows.filter(~pl.col("Id").is_in(list(shown)))
    if gone.height:
        batch.org.transactions.save(obj, "harddelete", gone, None, who=batch.user.id, api=batch.api,
                                    notes="no longer shown by its text")  # fmt: skip


def references(org: Org) -> SObject:
    """The object that holds the images; made when the first one comes."""
    known = org.schema.objects.get(OBJECT)
    if known is not None:
        return known
    made = org.schema.define(OBJECT, prefix="0EM", label="Content Reference")
    for unused in ("Name", "OwnerId"):
        made.fields.pop(unused, None)
    for line in _FIELDS:
        made.add(read_field(line))
    can = ("createable", "updateable", "deletable", "undeletable", "queryable", "retrieveable", "replicateable",
           "searchable", "layoutable", "triggerable")  # fmt: skip
    made.describe.update(dict.fromkeys(can, False))
    return made
