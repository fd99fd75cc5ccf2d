"""Standard objects without a recorded describe, with the fields that the object reference lists for them.

One text file per family. An object begins with `name | label | plural | key prefix | what it can do`; its fields
follow, indented, in the form of `lines`. Besides:

    Name copy Event.WhoId     the field of a recorded describe, under this name
    @address Billing          the fields of a compound address
    - IsDeleted               system fields that the object lacks
    … /Tasks                  how a subquery names the children, on a lookup (`/-`: not at all); `!` if they are deleted
                              with their parent
    … #{0000}                 an auto-number
    + Event.WhatId /Events!   not indented: the children that a recorded object is of objects written here

Nothing is read before somebody asks for an object that is neither recorded nor made.
"""

from __future__ import annotations

import copy
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from holdfast.orgsim.schema.lines import read_field
from holdfast.orgsim.schema.recordings import recorded
from holdfast.orgsim.schema.traits import AutoNumber

if TYPE_CHECKING:
    from holdfast.orgsim.schema.objects import Schema, SObject

_ABILITIES = {"create": "createable", "update": "updateable", "delete": "deletable", "undelete": "undeletable",
              "replicate": "replicateable", "search": "searchable", "trigger": "triggerable", "layout": "layoutable",
              "mru": "mruEnabled", "feed": "feedEnabled"}  # fmt: skip
_MARKS = re.compile(r"\s([/#])(\S+)")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True)
class Line:
    """One field of a family file: its text without the marks, and the marks."""

    text: str
    children: str | None = None  # how a subquery names them; None: not at all
    listed: bool = False  # among the parents' child relationships
    cascades: bool = False
    number: str | None = None


@dataclass(frozen=True)
class Standard:
    """An object as a family file writes it."""

    name: str
    label: str
    plural: str
    prefix: str
    abilities: frozenset[str]
    lines: list[Line] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Child:
    """An entry of a parent's child relationships."""

    child: str
    field: str
    relationship: str | None
    cascades: bool


def standard_object(name: str) -> Standard | None:
    """The object called `name`, whatever its case."""
    catalogue = _read()[0]
    return catalogue.get(name) or next((s for n, s in catalogue.items() if n.lower() == name.lower()), None)


def standard_names() -> Sequence[str]:
    """All objects of the family files."""
    return list(_read()[0])


def shape(schema: Schema, obj: SObject, standard: Standard) -> None:
    """Give an object that was just defined, with the system fields only, all that its file says."""
    system = {name: f for name, f in obj.fields.items() if name not in standard.absent}
    first = [f for name, f in system.items() if name in ("Id", "IsDeleted")]
    written = [f for line in standard.lines for f in _fields(line)]
    obj.fields = {}
    for definition in (*first, *written, *(f for f in system.values() if f not in first)):
        obj.add(definition)
    obj.describe.update({key: word in standard.abilities for word, key in _ABILITIES.items()})
    obj.describe.update(label=standard.label, labelPlural=standard.plural, mergeable=False)
    for line in standard.lines:
        if line.number is not None:
            obj.traits.auto_numbers[line.text.split()[0]] = AutoNumber(line.number)
    for entry in sorted(_children()[obj.name], key=lambda entry: entry.child):
        obj.child_relationships.append(_described(entry))
        if entry.cascades:
            schema.cascades.add((entry.child, entry.field))


def _described(entry: Child) -> dict[str, Any]:
    return {"cascadeDelete": entry.cascades, "childSObject": entry.child, "deprecatedAndHidden": False,
            "field": entry.field, "junctionIdListNames": [], "junctionReferenceTo": [],
            "relationshipName": entry.relationship, "restrictedDelete": False}  # fmt: skip


def _fields(line: Line) -> Iterator[dict[str, Any]]:
    name, kind, *rest = line.text.split()
    if name == "@address":
        for recording in recorded()["Account"]["fields"]:
            if recording["name"].startswith("Billing"):
                yield _renamed(recording, "Billing", kind)
    elif kind == "copy":
        yield {**_recording(rest[0]), "name": name}
    else:
        made = read_field(line.text)
        made["label"] = _WORDS.sub(" ", name.removesuffix("Id")) + (" ID" if name.endswith("Id") else "")
        if line.number is not None:
            made.update(autoNumber=True, defaultedOnCreate=True, nillable=False)
        yield made


def _renamed(recording: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    made = copy.deepcopy(dict(recording))
    for key in ("name", "label", "compoundFieldName"):
        made[key] = made[key] and made[key].replace(old, new)
    return made


def _recording(path: str) -> dict[str, Any]:
    """A copy of a field of a recorded describe."""
    name, _, field_name = path.partition(".")
    return copy.deepcopy(next(f for f in recorded()[name]["fields"] if f["name"] == field_name))


@cache
def _children() -> Mapping[str, Sequence[Child]]:
    """The child relationships of each object of the family files."""
    catalogue, beside = _read()
    lookups = [(standard.name, line) for standard in catalogue.values() for line in standard.lines if line.listed]
    found: defaultdict[str, list[Child]] = defaultdict(list)
    for name, line in lookups:
        for definition in _fields(line):
            _note(found, name, definition, line)
    for line in beside:
        _note(found, line.text.partition(".")[0], _recording(line.text), line)
    return found


def _note(found: Mapping[str, list[Child]], name: str, definition: Mapping[str, Any], line: Line) -> None:
    for parent in definition["referenceTo"]:
        found[parent].append(Child(name, definition["name"], line.children, line.cascades))


@cache
def _read() -> tuple[dict[str, Standard], list[Line]]:
    """The objects of all families, and the lookups of recorded objects that point at them."""
    catalogue: dict[str, Standard] = {}
    beside: list[Line] = []
    files = (f for f in resources.files("holdfast.orgsim.schema.standard").iterdir() if f.name.endswith(".txt"))
    for text in (file.read_text("utf-8") for file in sorted(files, key=lambda file: file.name)):
        for row in text.splitlines():
            if row.startswith("+ "):
                beside.append(_line(row[2:]))
            elif not row.startswith(" "):
                name, label, plural, prefix, abilities = (part.strip() for part in row.split("|"))
                latest = catalogue[name] = Standard(name, label, plural, prefix, frozenset(abilities.split()))
            elif row.startswith("  - "):
                latest.absent.extend(row[4:].split())
            else:
                latest.lines.append(_line(row.strip()))
    return catalogue, beside


def _line(text: str) -> Line:
    marks: dict[str, str] = dict(_MARKS.findall(text.partition(" ~")[0].partition(" =")[0]))
    for sign, value in marks.items():
        text = text.replace(f" {sign}{value}", "", 1)
    children = marks.get("/")
    name = None if children is None else children.rstrip("!").strip("-") or None
    return Line(text, name, children is not None, bool(children and children.endswith("!")), marks.get("#"))
