"""Fields written as lines of text, as the object reference tells of them.

A line has the field's name, its type and letters for what can be done with it. c: create, u: update, n: nillable,
d: defaulted on create, f: not filterable, g: not groupable, s: not sortable, i: id lookup, N: the name of the record.
Then `:` a length, or digits and decimals of a number, `>` what a lookup points at, `<` how queries name its parent
(`<-`: not at all), and last `=` the values of a restricted picklist (`~` of an open one), a `*` before the default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.orgsim.schema.fields import make_field

UNGROUPABLE = frozenset({"datetime", "double", "currency", "percent"})
_VALUES = re.compile(r"\s[=~]")


def read_field(line: str, groups: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
    """The field of a line. `groups`: lists of objects that a lookup can name by a single sign."""
    head, values = _split(line)
    name, kind, *rest = head.split()
    letters = "".join(part for part in rest if part.isalpha())
    changes: dict[str, Any] = {
        "createable": "c" in letters, "updateable": "u" in letters, "nillable": "n" in letters,
        "defaultedOnCreate": "d" in letters or kind == "boolean", "idLookup": "i" in letters,
        "filterable": "f" not in letters, "groupable": "g" not in letters and kind not in UNGROUPABLE,
        "sortable": "s" not in letters, "permissionable": False,
        "nameField": name in ("Name", "Title") or "N" in letters,
    }  # fmt: skip
    for part in rest:
        if part[0] == ":":
            changes.update(_size(part[1:]))
        elif part[0] == ">":
            parents = list((groups or {}).get(part[1:], part[1:].split(",")))
            changes.update(referenceTo=parents, polymorphicForeignKey=len(parents) > 1, namePointing=len(parents) > 1)
        elif part[0] == "<":
            changes["relationshipName"] = part[1:].strip("-") or None
    return make_field(name, kind, **changes, **_picklist(values))


def _split(line: str) -> tuple[str, str]:
    """What stands before the values of a picklist, and they with the sign before them."""
    found = _VALUES.search(line)
    return (line, "") if found is None else (line[: found.start()], line[found.start() + 1 :])


def _size(text: str) -> dict[str, int]:
    digits, point, decimals = text.partition(".")
    return {"precision": int(digits), "scale": int(decimals)} if point else {"length": int(digits)}


def _picklist(values: str) -> dict[str, Any]:
    if not values:
        return {}
    texts = [text.strip() for text in values[1:].split(",")]
    default = next((text[1:] for text in texts if text.startswith("*")), None)
    picked = [text.removeprefix("*") for text in texts]
    entries = [
        {"active": True, "defaultValue": text == default, "label": text, "validFor": None, "value": text}
        for text in picked
    ]
    return {"picklistValues": entries, "restrictedPicklist": values[0] == "=", "defaultValue": default}
