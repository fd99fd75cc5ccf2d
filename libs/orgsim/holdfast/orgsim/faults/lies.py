"""Answers that are well formed and not true: rows too few, too many or in another order, counts that are off.

Everything that an answer says of itself (`Sforce-NumberOfRecords`, `totalSize`, its length) fits the rows that it has:
nothing but a comparison with something else tells.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import orjson

from holdfast.orgsim.api.web import Reply

_ROWS, _LOCATOR = "Sforce-NumberOfRecords", "Sforce-Locator"


def tell(lie: dict[str, Any], reply: Reply) -> None:
    """Change the answer to a query, a page of a Bulk result, or the parts of a composite request in place."""
    packed = reply.headers.get("Content-Encoding") == "gzip"
    body = gzip.decompress(reply.body) if packed else reply.body
    if "csv" in (reply.content_type or ""):
        body = _csv(lie, body, reply)
    elif body[:1] == b"{":
        body = orjson.dumps(_document(lie, orjson.loads(body)))
    reply.body = gzip.compress(body, mtime=0) if packed else body


def _csv(lie: dict[str, Any], body: bytes, reply: Reply) -> bytes:
    header, *rows = _lines(body)
    rows = _changed(lie, rows)
    if _ROWS in reply.headers:
        reply.headers[_ROWS] = str(len(rows))
    if lie.get("last_page") and _LOCATOR in reply.headers:
        reply.headers[_LOCATOR] = "null"
    twice = [header] if lie.get("header_twice") else []
    return b"".join([header, *twice, *rows])


def _lines(body: bytes) -> list[bytes]:
    """Lines of CSV, each with its end; a line break between quotes belongs to its line."""
    lines, begun = [], b""
    for part in body.splitlines(keepends=True):
        begun += part
        if begun.count(b'"') % 2 == 0:
            lines.append(begun)
            begun = b""
    return [*lines, begun] if begun else lines


def _document(lie: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    for part in document.get("compositeResponse", []):
        if isinstance(part.get("body"), dict):
            part["body"] = _document(lie, part["body"])
    if "records" not in document or "totalSize" not in document:
        return document
    before = document["records"]
    document["records"] = _changed(lie, before)
    document["totalSize"] += len(document["records"]) - len(before)
    if not before:
        document["totalSize"] += lie.get("count", 0)
    if lie.get("last_page"):
        document["done"] = True
        document.pop("nextRecordsUrl", None)
    return document


def _changed(lie: dict[str, Any], rows: list[Any]) -> list[Any]:
    steps: dict[str, Callable[[list[Any], Any], list[Any]]] = {
        "drop": lambda all_rows, number: all_rows[: max(0, len(all_rows) - number)],
        "repeat": lambda all_rows, number: all_rows + all_rows[max(0, len(all_rows) - number) :],
        "reorder": lambda all_rows, wanted: all_rows[::-1] if wanted else all_rows,
    }
    for name, step in steps.items():
        if name in lie:
            rows = step(rows, lie[name])
    return rows
