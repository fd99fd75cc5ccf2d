"""Positions among records that have no id, such as those of big objects: by the fields of the object's index. Pure.

Source: Big Objects Implementation Guide, "SOQL with Big Objects": "Build an index query, starting from the first field
defined in the index, without gaps between the first and last field in the query … You can use the range operations <,
>, <=, or >= only on the last field of your query", and "Populate a Custom Big Object": "SOQL removes any leading or
trailing white space before it compares it", so that a key with white space at an end cannot be asked for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from holdfast.extractor.literals import value_literal
from holdfast.vault.schema import RecordSchema

# What Salesforce may cut off the ends of a text: more than it does, to be safe.
_CUT_OFF = "".join(map(chr, range(0x21))) + "\x7f\x85\xa0\u2028\u2029\u3000"


class KeyField(NamedTuple):
    """A field of an object's index, with its type in the describe."""

    name: str
    type: str
    descending: bool = False


def key_of(schema: RecordSchema) -> tuple[KeyField, ...]:
    """The index of a schema's object, in its order; empty where records have ids."""
    types = {field.name: field.type for field in schema.fields}
    return tuple(KeyField(name, types[name], name in schema.descending) for name in schema.key)


def place_of(key: Sequence[KeyField], table: pa.Table) -> str | None:
    """The last place in a page's rows from which reading can go on; None if no row has a key that can be asked for."""
    columns = [table.column(each.name) for each in key]
    for row in reversed(range(table.num_rows)):
        values = [column[row].as_py() for column in columns]
        if all(value and value == value.strip().strip(_CUT_OFF) for value in values):
            return json.dumps(values, ensure_ascii=False)
    return None


def first_of(key: Sequence[KeyField], table: pa.Table) -> str | None:
    """The key of a page's first row, as one text."""
    if not table.num_rows:
        return None
    return json.dumps([table.column(each.name)[0].as_py() for each in key], ensure_ascii=False)


def following(key: Sequence[KeyField], place: str) -> list[list[str]]:
    """The conditions, query by query, for the record at a place and all that come after it in the order of the index.

    The record itself comes once more, and with it any whose key differs from it for us and not for Salesforce, as in
    upper and lower case: what is read twice is told by its content, what is left out is lost.
    """
    literals = [value_literal(value, each.type) for each, value in zip(key, json.loads(place), strict=True)]
    ranges: list[list[str]] = []
    for last in reversed(range(len(key))):
        equal = [f"{key[n].name} = {literals[n]}" for n in range(last)]
        operator = "<" if key[last].descending else ">"
        inclusive = "=" if last == len(key) - 1 else ""
        ranges.append([*equal, f"{key[last].name} {operator}{inclusive} {literals[last]}"])
    return ranges
