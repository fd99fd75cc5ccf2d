"""What became of an object's fields since it was last read, in sentences. Pure.

A field that the org no longer has is a note: nothing can be missing of it. A field that the org has and the user no
longer sees is a gap. Where the user may not read the org's definitions the two look the same, and it is a gap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.salesforce.models import Describe, FieldDescribe

# Parts of these are fields of their own.
_COMPOUND = frozenset({"address", "location"})
_PICKLISTS = frozenset({"picklist", "multipicklist", "combobox"})
_MOST_NAMES = 20


@dataclass(frozen=True)
class FieldShape:
    """A field as it was read.

    Attributes:
        values: Active values of a picklist, in order; None for other types.
        field_id: Id that outlives the name; empty where it was not asked for or not told.
    """

    type: str
    values: tuple[str, ...] | None = None
    field_id: str = ""


@dataclass(frozen=True)
class Shape:
    """The fields of an object at one time, by API name."""

    fields: Mapping[str, FieldShape] = field(default_factory=dict)

    @classmethod
    def of(cls, describe: Describe, field_ids: Mapping[str, str] | None = None) -> Shape:
        """What a describe says; compound fields stand there by their parts."""
        ids = field_ids or {}
        kept = (one for one in describe.fields if one.type not in _COMPOUND)
        return cls({one.name: FieldShape(one.type, _values(one), ids.get(one.name, "")) for one in kept})

    def to_json(self) -> str:
        """One line, for the database."""
        rows = {name: [one.type, one.values, one.field_id] for name, one in self.fields.items()}
        return json.dumps(rows, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Shape:
        """Of `to_json`."""
        rows = json.loads(text).items()
        return cls({name: FieldShape(kind, None if of is None else tuple(of), key) for name, (kind, of, key) in rows})


@dataclass(frozen=True)
class Drift:
    """What happened to an object.

    Attributes:
        notes: Sentences; nothing is missing for them.
        gone: Fields that the org itself no longer has under their name: no gap. In lower case.
    """

    notes: tuple[str, ...] = ()
    gone: frozenset[str] = frozenset()


def lost(before: Shape, now: Shape) -> list[str]:
    """Fields that were read and are not there now, in any spelling."""
    left = {name.lower() for name in now.fields}
    return [name for name in before.fields if name.lower() not in left]


def compare(name: str, before: Shape, now: Shape, field_ids: Mapping[str, str] | None) -> Drift:
    """What became of the fields of object `name`.

    Args:
        field_ids: Every field that the org has, hidden ones included, with its id; None if nobody may know. A list
            that lacks a field which the user sees is not believed.
    """
    missing = lost(before, now)
    defined = None if field_ids is None else {known.lower() for known in field_ids}
    if defined is not None and not defined.issuperset(each.lower() for each in now.fields):
        defined = None
    gone = [] if defined is None else [each for each in missing if each.lower() not in defined]
    renamed = _renamed(before, gone, field_ids or {})
    was = {each.lower(): each for each in before.fields}
    new = [each for each in now.fields if each.lower() not in was and each not in renamed.values()]
    notes = [
        f"{old} of {name} was renamed {to}: its values until now stay under the old name."
        for old, to in renamed.items()
    ]
    deleted = [each for each in gone if each not in renamed]
    if deleted:
        kept = "its last values are kept" if len(deleted) == 1 else "their last values are kept"
        notes.append(f"{listed(deleted)} of {name} no longer {_exist(deleted)} in the org; {kept}.")
    if new:
        notes.append(f"{listed(new)} of {name} {_is(new)} backed up from now on: new, or visible for the first time.")
    if deleted and new and not all(before.fields[each].field_id for each in deleted):
        notes.append("Salesforce did not tell whether a field was renamed; it looks like one removed and one added.")
    for each in now.fields:
        old = was.get(each.lower())
        if old is not None:
            notes += _changes(name, old, each, before.fields[old], now.fields[each])
    return Drift(tuple(notes), frozenset(each.lower() for each in gone))


def _renamed(before: Shape, gone: Sequence[str], field_ids: Mapping[str, str]) -> dict[str, str]:
    now = {key: name for name, key in field_ids.items() if key}
    found = {}
    for name in gone:
        key = before.fields[name].field_id
        if key and key in now:
            found[name] = now[key]
    return found


def _changes(name: str, old: str, new: str, before: FieldShape, now: FieldShape) -> list[str]:
    notes = []
    if old != new:
        notes.append(f"{old} of {name} is now written {new}.")
    if before.type != now.type:
        notes.append(f"{new} of {name} changed its type from {before.type} to {now.type}; older values stay.")
    elif before.values is not None and now.values is not None and before.values != now.values:
        notes += _value_changes(name, new, before.values, now.values)
    return notes


def _value_changes(name: str, field_name: str, before: Sequence[str], now: Sequence[str]) -> list[str]:
    added = [value for value in now if value not in before]
    removed = [value for value in before if value not in now]
    parts = [f"{_quoted(added)} added"] if added else []
    parts += [f"{_quoted(removed)} no longer offered"] if removed else []
    return [f"Values of {field_name} of {name} changed: {'; '.join(parts)}."] if parts else []


def _values(described: FieldDescribe) -> tuple[str, ...] | None:
    if described.type not in _PICKLISTS:
        return None
    return tuple(one.value for one in described.picklist_values if one.active)


def _exist(names: Sequence[str]) -> str:
    return "exists" if len(names) == 1 else "exist"


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _quoted(values: Sequence[str]) -> str:
    return listed([f"“{value}”" for value in values])


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: all of them, or the first and how many more there are."""
    shown = list(names)
    if len(shown) > _MOST_NAMES:
        shown = [*shown[: _MOST_NAMES - 1], f"{len(names) - _MOST_NAMES + 1} more"]
    return " and ".join(part for part in (", ".join(shown[:-1]), shown[-1]) if part)
