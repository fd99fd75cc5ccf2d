"""Which objects of an org are worth a backup by default, how each is read, and in words why the others are not.

The rules are data in `classification.toml`; this module only applies them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from holdfast.salesforce.models import ObjectSummary

CUSTOM_SUFFIX = "__"
_PARTS_OF_A_MANAGED_NAME = 3

ReadingStrategy = Literal["query", "rest only", "big object keyset", "parent walk", "filter", "cannot be read"]


@dataclass(frozen=True)
class Walk:
    """How an object is read that Salesforce only answers for when a column is filtered.

    Attributes:
        field: The column that every query filters.
        parent: The object whose ids are its values; empty where `values` names them.
        most: Values in one query; with 1 the filter is an equation.
        unfiltered_first: The permission with which the object is read without a filter; empty if none helps.
    """

    object: str
    field: str
    parent: str = ""
    values: tuple[str, ...] = ()
    most: int = 1
    unfiltered_first: str = ""

    def in_words(self) -> str:
        """For people: what is asked for each query."""
        if not self.parent:
            return f"{self.field} = {' | '.join(self.values)}"
        how = f"{self.field} of {self.parent}, {self.most:,} at a time"
        return f"{how}; without a filter if the user has {self.unfiltered_first}" if self.unfiltered_first else how


@dataclass(frozen=True)
class Classification:
    """What a backup does with an object.

    Attributes:
        readable: It can be read at all when selected by name.
        recommended: It is taken when a job selects nothing by name. Implies `readable`.
        reason: One sentence why not; empty for recommended ones.
        strategy: How it is read.
        detail: Filter of the queries, in words; empty for strategies without one.
    """

    readable: bool
    recommended: bool
    reason: str = ""
    strategy: ReadingStrategy = "query"
    detail: str = ""


@dataclass(frozen=True)
class Rule:
    """Objects that share a reason: by name, by ending, or by what Salesforce says they belong to."""

    names: frozenset[str]
    suffixes: tuple[str, ...]
    associated: frozenset[str]
    standard_only: bool
    reason: str

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Rule:
        """Read one table of the rules file."""
        return cls(
            names=frozenset(row.get("names", ())),
            suffixes=tuple(row.get("suffixes", ())),
            associated=frozenset(row.get("associated", ())),
            standard_only=row.get("standard_only", False),
            reason=row.get("reason", ""),
        )

    def matches(self, name: str, associated: str | None) -> bool:
        """Whether the rule speaks of this object."""
        if name in self.names or (associated is not None and associated in self.associated):
            return True
        if self.standard_only and CUSTOM_SUFFIX in name:
            return False
        return any(_ends_with(name, suffix) for suffix in self.suffixes)


def _ends_with(name: str, suffix: str) -> bool:
    """A bare ending such as `Log` speaks of standard objects; `Log__c` is somebody's own."""
    if not suffix.startswith(CUSTOM_SUFFIX) and CUSTOM_SUFFIX in name:
        return False
    return name.endswith(suffix) and name != suffix


_TABLE = tomllib.loads(files(__package__).joinpath("classification.toml").read_text("utf-8"))
_UNREADABLE = [Rule.parse(row) for row in _TABLE["unreadable"]]
_NOT_RECOMMENDED = [Rule.parse(row) for row in _TABLE["not_recommended"]]
_NOT_IN_BULK = Rule.parse(_TABLE["not_in_bulk"])
_BIG_OBJECTS = Rule.parse(_TABLE["big_object"])
_WALKS = {row["object"]: Walk(**row) for row in _TABLE["parent_walk"]}
_FILTERS = [(Rule.parse(row), row["field"], tuple(row["values"])) for row in _TABLE["filter"]]


def classify(entry: ObjectSummary) -> Classification:
    """Classify an object by its entry in the org's describe global."""
    reason = _first_reason(_UNREADABLE, entry)
    if not reason and not entry.queryable:
        reason = "Salesforce does not let this object be queried."
    if reason:
        return Classification(readable=False, recommended=False, reason=reason, strategy="cannot be read")
    reason = _first_reason(_NOT_RECOMMENDED, entry) or _by_flags(entry)
    strategy, detail = _how(entry.name)
    return Classification(readable=True, recommended=not reason, reason=reason, strategy=strategy, detail=detail)


def in_bulk(name: str) -> bool:
    """Whether the Bulk API is known to take the object. A refusal at run time is handled all the same."""
    walk = walk_of(name)
    if walk is not None and not walk.unfiltered_first:
        return False
    return not _NOT_IN_BULK.matches(name, None)


def is_big(name: str) -> bool:
    """Whether it is a big object: its records have no ids, and it is read whole in the order of its index."""
    return _BIG_OBJECTS.matches(name, None)


def walk_of(name: str) -> Walk | None:
    """How an object is read that only answers filtered queries; None for all others."""
    if name in _WALKS:
        return _WALKS[name]
    for rule, field, values in _FILTERS:
        if rule.matches(name, None):
            return Walk(name, field, values=values)
    return None


def namespace_of(name: str) -> str:
    """The namespace prefix of the managed package that an object comes from; empty for the org's own."""
    parts = name.split(CUSTOM_SUFFIX)
    return parts[0] if len(parts) == _PARTS_OF_A_MANAGED_NAME else ""


def _how(name: str) -> tuple[ReadingStrategy, str]:
    walk = walk_of(name)
    if walk is not None:
        return "parent walk" if walk.parent else "filter", walk.in_words()
    if is_big(name):
        return "big object keyset", ""
    return "query" if in_bulk(name) else "rest only", ""


def _first_reason(rules: list[Rule], entry: ObjectSummary) -> str:
    return next((rule.reason for rule in rules if rule.matches(entry.name, entry.associate_entity_type)), "")


def _by_flags(entry: ObjectSummary) -> str:
    if not entry.retrieveable:
        return "Single records of this object cannot be retrieved; it is a view for Salesforce's own use."
    if entry.deprecated_and_hidden:
        return "Salesforce has retired this object."
    if entry.is_interface:
        return "This is an interface; its records are backed up in the objects that implement it."
    return ""
