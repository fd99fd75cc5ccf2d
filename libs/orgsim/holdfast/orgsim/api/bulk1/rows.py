"""The rows of a batch, from CSV, JSON or XML, as one mapping each."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection
from decimal import Decimal
from typing import Any
from xml.etree.ElementTree import Element

from holdfast.orgsim.api.bulk1.formats import read_xml
from holdfast.orgsim.api.bulk1.model import BulkError, Job
from holdfast.orgsim.api.xmltext import is_nil, local_name
from holdfast.orgsim.schema.objects import SObject

NULL = "#N/A"
MOST_ROWS = 10_000
Row = dict[str, Any]


def read(job: Job, body: bytes, obj: SObject) -> list[Row]:
    """Rows with the fields that each names; a field that is left out or empty in CSV is absent, null is None.

    Raises:
        BulkError: InvalidBatch or ClientInputError; nothing of the batch is then processed.
    """
    reader = {"CSV": _csv, "JSON": _json, "XML": _xml}[job.content_type]
    rows = reader(body)
    if len(rows) > MOST_ROWS:
        raise BulkError("InvalidBatch", f"Maximum number of records exceeded: {len(rows)}. The most is {MOST_ROWS}")
    check_names(job.operation, job.external_id_field, obj, {name for row in rows for name in row})
    return [{k: v for k, v in row.items() if v != ""} for row in rows]


def _csv(body: bytes) -> list[Row]:
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig", "replace"), newline=""), strict=True))
    except csv.Error as error:
        raise BulkError("ClientInputError", f"Failed to parse CSV: {error}") from error
    if not lines:
        raise BulkError("InvalidBatch", "Failed to parse CSV: no header row")
    header, rows = lines[0], [line for line in lines[1:] if line]
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise BulkError("ClientInputError", f"Number of columns in row {number} does not match the header")
    return [{k: None if v == NULL else v for k, v in zip(header, row, strict=True)} for row in rows]


def _json(body: bytes) -> list[Row]:
    try:
        rows = json.loads(body, parse_float=Decimal)
    except ValueError as error:
        raise BulkError("InvalidBatch", f"Failed to parse JSON: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BulkError("InvalidBatch", "Failed to parse JSON: an array of objects is needed")
    return [{k: v for k, v in row.items() if k != "attributes"} for row in rows]


def _xml(body: bytes) -> list[Row]:
    root = read_xml(body)
    if local_name(root) != "sObjects":
        raise BulkError("InvalidBatch", "Failed to parse XML: no element sObjects")
    return [_sobject(element) for element in root]


def _sobject(element: Element) -> Row:
    return {local_name(child): _value(child) for child in element if local_name(child) != "type"}


def _value(element: Element) -> Any:
    if is_nil(element):
        return None
    if len(element):  # a relationship: <Owner><sObject><Email>…</Email></sObject></Owner>
        inner = element[0] if local_name(element[0]) == "sObject" else element
        return _sobject(inner)
    return element.text or ""


def check_names(operation: str, external_id_field: str | None, obj: SObject, names: Collection[str]) -> None:
    """Every column must be a field or a relationship, and the operation's key must be among them.

    Raises:
        BulkError: InvalidBatch.
    """
    given = {name.lower() for name in names}
    for name in sorted(names):
        relationship = name.partition(".")[0].rpartition(":")[2]
        related = any(f["relationshipName"] == relationship for f in obj.references())
        if obj.find(name) is None and not related:
            raise BulkError("InvalidBatch", f"Field name not found : {name}")
    key = {"insert": None, "upsert": external_id_field}.get(operation, "Id")
    if given and key is not None and key.lower() not in given:
        raise BulkError("InvalidBatch", f"Field name not found : {key}")
